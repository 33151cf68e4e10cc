"""What only boxes that are real processes can show: deaths, orphans, and servers that die first."""

import asyncio
import errno
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hyperhive.domain.actors import Role
from hyperhive.domain.errors import InvalidError, UnavailableError
from hyperhive.domain.instances import BoxSpec, Instance, Phase
from hyperhive.domain.paths import HivePaths
from hyperhive.runtimes import environment, processes
from hyperhive.runtimes.clocks import SystemClock
from hyperhive.runtimes.process import ProcessRuntime
from tests.pace import on_this_machine

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 30.0

SLEEPER = ("sleep", "600")

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""

PARENT = """
import os, subprocess, time
plain = subprocess.Popen(["sleep", "600"])
bare = subprocess.Popen(["sleep", "600"], env={})
away = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(plain.pid, bare.pid, away.pid, flush=True)
time.sleep(600)
"""

SERVER = """
import asyncio, json, sys
from pathlib import Path
from hyperhive.domain.actors import Role
from hyperhive.domain.instances import BoxSpec
from hyperhive.runtimes.clocks import SystemClock
from hyperhive.runtimes.process import ProcessRuntime

async def main():
    state_dir, run_dir, *argv = sys.argv[1:]
    spec = BoxSpec("alice", Role.WORKER, tuple(argv), Path(state_dir), Path(run_dir))
    runtime = ProcessRuntime(spec.paths, SystemClock())
    await runtime.start(spec)
    box = (await runtime.observe())["alice"]
    print(json.dumps([box.incarnation, box.pid]), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def paths(tmp_path: Path) -> HivePaths:
    return HivePaths(tmp_path / "state", tmp_path / "run")


@pytest.fixture
async def runtime(paths: HivePaths) -> AsyncIterator[ProcessRuntime]:
    runtime = ProcessRuntime(paths, SystemClock())
    yield runtime
    for name in await runtime.observe():
        await runtime.stop(name, 0)
    runtime.close()


def a_spec(
    paths: HivePaths,
    *argv: str,
    role: Role = Role.WORKER,
    variables: dict[str, str] | None = None,
) -> BoxSpec:
    return BoxSpec("alice", role, argv, paths.state_dir, paths.run_dir, variables or {})


def python(script: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-E", "-c", script)


async def seen(runtime: ProcessRuntime) -> Instance:
    return (await runtime.observe())["alice"]


async def pid_of(runtime: ProcessRuntime) -> int:
    pid = (await seen(runtime)).pid
    assert pid is not None
    return pid


async def failed(runtime: ProcessRuntime) -> Instance:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (box := await seen(runtime)).phase is not Phase.FAILED:
            await runtime.changed()
    return box


async def last_line(runtime: ProcessRuntime) -> str:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (lines := await runtime.logs("alice", 1)):  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.01)
    return lines[0]


def a_stranger(variables: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a process that no runtime started."""
    return subprocess.Popen(SLEEPER, env=variables, start_new_session=True)


def is_gone(pid: int) -> bool:
    found = processes.look_up(pid)
    return found is None or found.is_zombie


async def gone(pid: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_gone(pid):  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.01)


async def orphaned(paths: HivePaths, *argv: str) -> tuple[str, int]:
    """Let a real second server start a box and be killed; give the box's incarnation and pid."""
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SERVER,
        str(paths.state_dir),
        str(paths.run_dir),
        *argv,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        incarnation, pid = json.loads(await server.stdout.readline())
    server.kill()
    await server.wait()
    return incarnation, pid


async def test_a_killed_harness_is_noticed_within_a_second(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    await runtime.start(a_spec(paths, *SLEEPER))
    pid = await pid_of(runtime)
    killed_at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    assert (await failed(runtime)).exit_status == -signal.SIGKILL
    assert time.monotonic() - killed_at < on_this_machine(1.0)


async def test_a_killed_harness_is_noticed_within_a_second_without_process_descriptors(
    runtime: ProcessRuntime, paths: HivePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int) -> int:
        raise OSError(errno.ENOSYS, "not here")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    await runtime.start(a_spec(paths, *SLEEPER))
    pid = await pid_of(runtime)
    killed_at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    await failed(runtime)
    assert time.monotonic() - killed_at < on_this_machine(1.0)


async def test_what_a_killed_server_left_running_is_found_again(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    incarnation, pid = await orphaned(paths, *SLEEPER)
    box = await seen(runtime)
    assert (box.phase, box.incarnation, box.pid) == (Phase.RUNNING, incarnation, pid)


async def test_starting_what_a_killed_server_left_running_changes_nothing(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    _, pid = await orphaned(paths, *SLEEPER)
    await runtime.start(a_spec(paths, *SLEEPER))
    assert await pid_of(runtime) == pid


async def test_the_end_of_a_found_box_is_noticed_within_a_second_with_unknown_status(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    _, pid = await orphaned(paths, *SLEEPER)
    await runtime.observe()
    killed_at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    assert (await failed(runtime)).exit_status is None
    assert time.monotonic() - killed_at < on_this_machine(1.0)


async def test_a_found_box_stops_with_everything_it_started(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    _, pid = await orphaned(paths, *python(PARENT))
    children = [int(child) for child in (await last_line(runtime)).split()]
    await runtime.stop("alice", 0)
    assert [is_gone(one) for one in (pid, *children)] == [True] * 4


async def test_what_a_found_box_left_at_its_death_is_ended_by_its_stop(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    _, pid = await orphaned(paths, *python(PARENT))
    children = [int(child) for child in (await last_line(runtime)).split()]
    await runtime.observe()
    os.kill(pid, signal.SIGKILL)
    await failed(runtime)
    await runtime.stop("alice", 0)
    assert [is_gone(child) for child in children] == [True] * 3


async def test_a_box_that_died_while_no_server_lived_did_not_fail(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    _, pid = await orphaned(paths, *SLEEPER)
    os.kill(pid, signal.SIGKILL)
    await gone(pid)
    assert (await seen(runtime)).phase is Phase.STOPPED


async def test_a_failure_that_the_last_server_saw_is_still_one_for_the_next(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    await runtime.start(a_spec(paths, *python("raise SystemExit(7)")))
    before = await failed(runtime)
    successor = ProcessRuntime(paths, SystemClock())
    assert await seen(successor) == before
    successor.close()


async def test_a_runtime_that_is_closed_leaves_its_boxes_running(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    predecessor = ProcessRuntime(paths, SystemClock())
    await predecessor.start(a_spec(paths, *SLEEPER))
    predecessor.close()
    assert (await seen(runtime)).phase is Phase.RUNNING


async def test_a_stop_ends_everything_that_the_harness_started(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    await runtime.start(a_spec(paths, *python(PARENT)))
    children = [int(child) for child in (await last_line(runtime)).split()]
    await runtime.stop("alice", PATIENCE_SECONDS)
    assert [is_gone(child) for child in children] == [True] * 3


async def test_a_start_ends_what_a_dead_harness_left(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    await runtime.start(a_spec(paths, *python(PARENT)))
    children = [int(child) for child in (await last_line(runtime)).split()]
    os.kill(await pid_of(runtime), signal.SIGKILL)
    await failed(runtime)
    await runtime.start(a_spec(paths, *SLEEPER))
    assert [is_gone(child) for child in children] == [True] * 3


async def test_a_harness_that_will_not_end_is_killed_after_the_grace(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    await runtime.start(a_spec(paths, *python(STUBBORN)))
    await last_line(runtime)
    pid = await pid_of(runtime)
    await runtime.stop("alice", 0.1)
    assert is_gone(pid)


async def test_a_stranger_who_has_the_process_id_now_is_neither_seen_nor_touched(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    await runtime.start(a_spec(paths, *SLEEPER))
    await runtime.stop("alice", 0)
    with a_stranger() as stranger:
        a_note(paths, pid=stranger.pid, kernel_start=1)
        phase = (await seen(runtime)).phase
        await runtime.stop("alice", 0)
        survived = not is_gone(stranger.pid)
        stranger.kill()
    assert phase is Phase.STOPPED
    assert survived


async def test_a_process_of_an_earlier_boot_is_not_taken_for_a_running_box(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    own = processes.look_up(os.getpid())
    assert own is not None
    a_note(paths, pid=own.pid, kernel_start=own.kernel_start, boot="another")
    assert (await seen(runtime)).phase is Phase.STOPPED


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": 1, "surplus": 2}', "\x00"])
async def test_a_note_that_makes_no_sense_is_a_trace_to_clear(
    runtime: ProcessRuntime, paths: HivePaths, text: str
) -> None:
    paths.records.mkdir(parents=True)
    (paths.records / "alice.json").write_text(text)
    phase = (await seen(runtime)).phase
    await runtime.stop("alice", 0)
    assert phase is Phase.STOPPED
    assert await runtime.observe() == {}


async def test_a_process_started_just_before_its_server_died_is_ended_by_a_stop(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    spec = a_spec(paths, *SLEEPER)
    a_note(paths, pid=0, kernel_start=0)
    variables = environment.environment_of(spec, os.environ)
    with a_stranger(variables) as orphan:
        await runtime.stop("alice", 0)
        assert orphan.wait(PATIENCE_SECONDS) == -signal.SIGKILL


async def test_a_start_that_nobody_waits_for_any_more_is_finished_all_the_same(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    starting = asyncio.create_task(runtime.start(a_spec(paths, *SLEEPER)))
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "alice" not in await runtime.observe():
            await runtime.changed()
    os.kill(await pid_of(runtime), signal.SIGKILL)
    assert (await failed(runtime)).exit_status == -signal.SIGKILL


async def test_a_box_finds_its_paths_and_nothing_of_the_hosts_secrets(
    runtime: ProcessRuntime, paths: HivePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "do not tell")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("TMPDIR", raising=False)
    print_all = "import json, os; print(json.dumps([os.getcwd(), dict(os.environ)]))"
    own = {"HYPERHIVE_AGENT": "mallory", "EDITOR": "ed"}
    await runtime.start(a_spec(paths, *python(print_all), variables=own))
    cwd, found = json.loads(await last_line(runtime))
    assert cwd == str(paths.agents / "alice" / "state")
    assert found.pop("LC_CTYPE", "C.UTF-8") == "C.UTF-8"  # Python itself may add it
    assert found == {
        "PATH": os.environ["PATH"],
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "TZ": "UTC",
        "EDITOR": "ed",
        "HOME": str(paths.state_dir / "homes" / "alice"),
        "HYPERHIVE_AGENT": "alice",
        "HYPERHIVE_AGENTS": str(paths.agents),
        "HYPERHIVE_DOCS": str(paths.docs),
        "HYPERHIVE_SHARED": str(paths.shared),
        "GIT_CONFIG_SYSTEM": str(paths.socket("alice").with_name("gitconfig")),
        "HYPERHIVE_SOCKET": str(paths.run_dir / "agents" / "alice" / "agent.sock"),
        "HYPERHIVE_STATE": str(paths.agents / "alice" / "state"),
    }


def test_only_the_manager_is_told_where_the_applied_configuration_is(paths: HivePaths) -> None:
    manager = a_spec(paths, role=Role.MANAGER)
    worker = a_spec(paths, role=Role.WORKER)
    assert environment.environment_of(manager, {})["HYPERHIVE_APPLIED"] == str(paths.applied)
    assert "HYPERHIVE_APPLIED" not in environment.environment_of(worker, {})


def test_private_directories_are_closed_and_the_shared_one_keeps_its_group(
    paths: HivePaths,
) -> None:
    environment.make_directories(a_spec(paths))
    modes = [
        stat.S_IMODE(path.stat().st_mode)
        for path in (paths.state("alice"), paths.home("alice"), paths.run("alice"), paths.shared)
    ]
    assert modes == [0o700, 0o700, 0o700, 0o2770]


def test_a_directory_that_is_there_is_left_as_it_is(paths: HivePaths) -> None:
    environment.make_directories(a_spec(paths))
    paths.home("alice").chmod(0o750)
    environment.make_directories(a_spec(paths))
    assert stat.S_IMODE(paths.home("alice").stat().st_mode) == 0o750


async def test_a_link_in_the_place_of_a_directory_is_refused(
    runtime: ProcessRuntime, paths: HivePaths, tmp_path: Path
) -> None:
    environment.make_directories(a_spec(paths))
    paths.state("alice").rmdir()
    paths.state("alice").symlink_to(tmp_path)
    with pytest.raises(UnavailableError, match="must be a directory"):
        await runtime.start(a_spec(paths, *SLEEPER))


async def test_a_box_of_another_hives_directories_is_refused(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    elsewhere = HivePaths(tmp_path / "elsewhere", tmp_path / "run")
    with pytest.raises(InvalidError):
        await runtime.start(a_spec(elsewhere, *SLEEPER))


async def test_a_large_log_is_put_aside_at_the_start_and_still_read(
    runtime: ProcessRuntime, paths: HivePaths
) -> None:
    paths.logs.mkdir(parents=True)
    paths.log("alice").write_bytes(b"x" * environment.LOG_BYTES_MAX + b"\nlast words\n")
    await runtime.start(a_spec(paths, *python("print('hello')")))
    await failed(runtime)
    assert paths.log("alice").stat().st_size < 100
    assert await runtime.logs("alice", 2) == ["last words", "hello"]


def a_note(paths: HivePaths, *, pid: int, kernel_start: int, boot: str | None = None) -> None:
    """Write the note of a box by hand."""
    note = {
        "incarnation": "i1",
        "digest": "d1",
        "started_at": 1.0,
        "boot": boot or processes.boot_id(),
        "pid": pid,
        "kernel_start": kernel_start,
    }
    paths.records.mkdir(parents=True, exist_ok=True)
    (paths.records / "alice.json").write_text(json.dumps(note))

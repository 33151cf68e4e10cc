"""What a bubblewrap box is like from inside, and what becomes of one from outside."""

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hyperhive.domain.actors import Role
from hyperhive.domain.confinement import Mount
from hyperhive.domain.errors import ConflictError, UnavailableError
from hyperhive.domain.instances import BoxSpec, Phase
from hyperhive.runtimes import processes
from hyperhive.runtimes.bubblewrap import BubblewrapRuntime
from hyperhive.runtimes.clocks import SystemClock
from hyperhive.runtimes.process import ProcessRuntime
from hyperhive.runtimes.users import User, box_user
from tests.walls import PATIENCE_SECONDS, Boxes, some_boxes

pytestmark = pytest.mark.anyio

SLEEPER = ("sleep", "600")

PARENT = """
import os, subprocess, time
subprocess.Popen(["sleep", "600"])
subprocess.Popen(["sleep", "600"], env={}, start_new_session=True)
print("ready", flush=True)
time.sleep(600)
"""

POLITE = """
import json, signal, sys, time
def end(*_):
    print(json.dumps("asked"), flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(600)
"""

TRY_TO_WRITE = """
import json, sys
told = {}
for path in sys.argv[1:]:
    try:
        with open(path, "a") as file:
            file.write("x")
        told[path] = "written"
    except OSError as error:
        told[path] = error.strerror
print(json.dumps(told))
"""


@pytest.fixture
async def boxes() -> AsyncIterator[Boxes]:
    async with some_boxes() as boxes:
        yield boxes


def members(pid: int) -> list[int]:
    """Find a process and all that descend from it."""
    parents = processes.parents()
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def all_gone(pids: list[int]) -> bool:
    states = [processes.look_up(pid) for pid in pids]
    return all(state is None or state.is_zombie for state in states)


async def a_family(boxes: Boxes) -> list[int]:
    """Start a harness with children, and give the ids of bubblewrap and all below it."""
    await boxes.runtime.start(boxes.spec("alice", *boxes.python(PARENT)))
    await boxes.line("alice")
    note = json.loads((boxes.paths.records / "alice.json").read_text())
    family = members(note["pid"])
    assert len(family) >= 5
    return family


async def test_the_paths_of_a_box_are_the_same_for_every_agent(boxes: Boxes) -> None:
    script = "import json, os; print(json.dumps([os.getcwd(), dict(os.environ)]))"
    cwd, found = await boxes.tells("alice", script)
    assert cwd == "/agents/alice/state"
    assert {key: value for key, value in found.items() if key not in {"PATH", "LANG", "TZ"}} == {
        "HOME": "/home/agent",
        "HYPERHIVE_AGENT": "alice",
        "HYPERHIVE_AGENTS": "/agents",
        "HYPERHIVE_DOCS": "/docs",
        "HYPERHIVE_SHARED": "/shared",
        "GIT_CONFIG_SYSTEM": "/run/hyperhive/gitconfig",
        "HYPERHIVE_SOCKET": "/run/hyperhive/agent.sock",
        "HYPERHIVE_STATE": "/agents/alice/state",
        "PWD": "/agents/alice/state",
        "TMPDIR": "/tmp",
    } | ({"LC_CTYPE": found["LC_CTYPE"]} if "LC_CTYPE" in found else {})


async def test_what_a_box_writes_is_on_the_host_where_the_hive_keeps_it(boxes: Boxes) -> None:
    script = """
import json, os
for path in ("/agents/alice/state/a", "/home/agent/b", "/shared/c"):
    open(path, "w").close()
print(json.dumps(0))
"""
    await boxes.tells("alice", script)
    paths = boxes.paths
    written = (paths.state("alice") / "a", paths.home("alice") / "b", paths.shared / "c")
    assert [path.is_file() for path in written] == [True] * 3


async def test_what_one_agent_puts_into_shared_another_can_edit(boxes: Boxes) -> None:
    await boxes.tells("alice", "open('/shared/plan', 'w').write('a'); print(1)")
    told = await boxes.tells("bob", TRY_TO_WRITE, "/shared/plan")
    assert told == {"/shared/plan": "written"}


async def test_a_box_runs_as_an_ordinary_user_whoever_started_it(boxes: Boxes) -> None:
    uids = await boxes.tells("alice", "import json, os; print(json.dumps(os.getresuid()))")
    assert uids == [boxes.walls.identity.uid] * 3
    assert 0 not in uids


async def test_a_box_inherits_nothing_but_its_log_and_an_empty_input(boxes: Boxes) -> None:
    script = """
import json, os
links = [os.readlink(f"/proc/{pid}/fd/{n}") for pid in (1, os.getpid())
         for n in os.listdir(f"/proc/{pid}/fd") if os.path.lexists(f"/proc/{pid}/fd/{n}")]
print(json.dumps(sorted(link for link in set(links) if not link.startswith("anon_inode"))))
"""
    links = await boxes.tells("alice", script)
    assert [link for link in links if link != "/dev/null"] == [str(boxes.paths.log("alice"))]


async def test_a_worker_sees_the_state_of_nobody_else(boxes: Boxes) -> None:
    await boxes.tells("bob", "print(0)")
    assert await boxes.tells("alice", LIST_AGENTS) == ["alice"]


LIST_AGENTS = "import json, os; print(json.dumps(sorted(os.listdir('/agents'))))"


async def test_the_manager_reads_the_state_of_everyone_and_writes_its_own(boxes: Boxes) -> None:
    await boxes.tells("bob", "print(0)")
    await boxes.runtime.start(boxes.spec("queen", *SLEEPER, role=Role.MANAGER))
    await boxes.runtime.stop("queen", 0)
    paths = ("/agents/bob/state/x", "/agents/queen/state/x", "/applied/x", "/docs/x")
    told = await boxes.tells("queen", TRY_TO_WRITE, *paths, role=Role.MANAGER)
    assert list(told.values()) == [
        "Read-only file system",
        "written",
        *["Read-only file system"] * 2,
    ]


async def test_a_manager_that_may_write_states_cannot_rename_them(boxes: Boxes) -> None:
    await boxes.tells("bob", "print(0)")
    script = """
import json, os
open("/agents/bob/state/x", "w").close()
told = []
for path in ("/agents/bob/state", "/agents/bob"):
    try:
        os.rename(path, path + "2")
        told.append("renamed")
    except OSError as error:
        told.append("refused")
print(json.dumps(told))
"""
    told = await boxes.tells("queen", script, role=Role.MANAGER, manager_writes=True)
    assert told == ["refused", "refused"]
    assert (boxes.paths.state("bob") / "x").exists()


async def propose(boxes: Boxes) -> Path:
    """Give bob a configuration, as spawning does."""
    await boxes.tells("bob", "print(0)")
    proposed = boxes.paths.config("bob")
    proposed.mkdir()
    os.chown(proposed, boxes.walls.identity.uid, boxes.walls.identity.gid)
    (boxes.paths.agents / "bob" / "config").symlink_to("../../configs/bob")
    return proposed


async def test_the_manager_writes_a_configuration_and_its_agent_reads_it_at_the_same_path(
    boxes: Boxes,
) -> None:
    await propose(boxes)
    path = "/agents/bob/config/agent.json"
    assert await boxes.tells("queen", TRY_TO_WRITE, path, role=Role.MANAGER) == {path: "written"}

    assert await boxes.tells("bob", TRY_TO_WRITE, path) == {path: "Read-only file system"}
    assert await boxes.tells("bob", f"print(len(open({path!r}).read()))") >= 0
    assert await boxes.tells("bob", LIST_AGENTS) == ["bob"]


async def test_a_configuration_that_the_manager_exchanged_for_a_link_leads_nowhere(
    boxes: Boxes,
) -> None:
    proposed = await propose(boxes)
    proposed.rmdir()
    proposed.symlink_to("/")
    script = "import json, os; print(json.dumps(os.listdir('/agents/bob')))"
    assert await boxes.tells("bob", script) == ["state"]


async def test_declared_mounts_are_there_and_read_only_unless_said(boxes: Boxes) -> None:
    for name in ("data", "work"):
        (boxes.directory / name).mkdir()
        os.chown(boxes.directory / name, boxes.walls.identity.uid, -1)
    mounts = (
        Mount(boxes.directory / "data", Path("/data")),
        Mount(boxes.directory / "work", Path("/srv/work"), is_read_only=False),
    )
    told = await boxes.tells("alice", TRY_TO_WRITE, "/data/x", "/srv/work/x", mounts=mounts)
    assert told == {"/data/x": "Read-only file system", "/srv/work/x": "written"}


async def test_a_declared_mount_whose_source_is_a_link_is_refused(boxes: Boxes) -> None:
    (boxes.directory / "data").symlink_to("/etc")
    mounts = (Mount(boxes.directory / "data", Path("/data")),)
    with pytest.raises(UnavailableError, match="is a link"):
        await boxes.runtime.start(boxes.spec("alice", *SLEEPER, mounts=mounts))


async def test_a_drivers_program_comes_with_its_packages_and_nothing_beside_them(
    boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = boxes.directory / "npm"
    package = prefix / "lib/node_modules/some-cli"
    package.mkdir(parents=True)
    (package / "answer").write_text("42")
    (package / "cli").write_text('#!/bin/sh\ncat "$(dirname "$(readlink -f "$0")")/answer"\n')
    (package / "cli").chmod(0o755)
    (prefix / "private").write_text("secret")
    (prefix / "bin").mkdir()
    (prefix / "bin/some-cli").symlink_to("../lib/node_modules/some-cli/cli")
    monkeypatch.setenv("PATH", f"{prefix}/bin:{os.environ['PATH']}")
    script = """
import json, os, subprocess, sys
told = subprocess.check_output(["some-cli"], text=True)
print(json.dumps([told, sorted(os.listdir(sys.argv[1]))]))
"""
    told = await boxes.tells("alice", script, str(prefix), programs=("some-cli", "nothing-of-that"))
    assert told == ["42", ["bin", "lib"]]


async def test_a_drivers_program_in_the_hosts_tmp_is_shown(boxes: Boxes) -> None:
    program = a_program(boxes.directory)
    script = "import json, subprocess, sys; print(json.dumps(subprocess.call(sys.argv[1])))"
    assert await boxes.tells("alice", script, str(program), programs=(str(program),)) == 42


async def test_what_lies_where_a_box_has_a_link_is_refused_by_name_with_a_remedy(
    boxes: Boxes,
) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        program = a_program(Path(place))
        shown = Mount(Path("/etc/hosts"), Path("/var/tmp/hosts"))
        for declared in ({"programs": (str(program),)}, {"mounts": (shown,)}):
            with pytest.raises(UnavailableError) as refused:
                await boxes.runtime.start(boxes.spec("alice", *SLEEPER, **declared))
            path = program if "programs" in declared else shown.mount_point
            assert f"{path} is needed in the box, whose /var/tmp is a link" in refused.value.detail
            assert "Keep it elsewhere" in refused.value.remedy
    assert await boxes.runtime.observe() == {}


def a_program(directory: Path) -> Path:
    directory.chmod(0o755)
    program = directory / "answer"
    program.write_text("#!/bin/sh\nexit 42\n")
    program.chmod(0o755)
    return program


async def test_a_program_that_is_missing_is_the_reason_of_the_failure(boxes: Boxes) -> None:
    with pytest.raises(UnavailableError, match="/nonexistent"):
        await boxes.runtime.start(boxes.spec("alice", "/nonexistent"))


async def test_a_box_that_ends_at_once_has_run(boxes: Boxes) -> None:
    await boxes.runtime.start(boxes.spec("alice", "sh", "-c", "exit 7"))
    assert (await boxes.failed("alice")).exit_status == 7


async def test_a_killed_harness_takes_everything_with_it(boxes: Boxes) -> None:
    family = await a_family(boxes)
    pid = (await boxes.runtime.observe())["alice"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert (await boxes.failed("alice")).exit_status == -signal.SIGKILL
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not all_gone(family):  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.01)


async def test_what_is_orphaned_in_a_box_is_reaped_when_it_ends(boxes: Boxes) -> None:
    script = """
import json, os, subprocess, time
child = subprocess.check_output(["sh", "-c", "sleep 0.1 >/dev/null & echo $!"], text=True).strip()
until = time.monotonic() + 10
while os.path.exists(f"/proc/{child}") and time.monotonic() < until:
    time.sleep(0.01)
print(json.dumps(os.path.exists(f"/proc/{child}")))
"""
    assert await boxes.tells("alice", script) is False


async def test_a_stop_asks_the_harness_itself(boxes: Boxes) -> None:
    await boxes.runtime.start(boxes.spec("alice", *boxes.python(POLITE)))
    await boxes.line("alice")
    await boxes.runtime.stop("alice", PATIENCE_SECONDS)
    assert await boxes.runtime.logs("alice", 1) == ['"asked"']


async def test_a_stop_leaves_nothing_of_a_box(boxes: Boxes) -> None:
    family = await a_family(boxes)
    await boxes.runtime.stop("alice", 0)
    assert all_gone(family)


async def test_a_box_whose_outer_process_was_killed_is_ended_by_the_next_start(
    boxes: Boxes,
) -> None:
    family = await a_family(boxes)
    os.kill(family[0], signal.SIGKILL)
    await boxes.failed("alice")
    await boxes.runtime.start(boxes.spec("alice", *SLEEPER))
    assert all_gone(family)


async def test_the_next_server_finds_a_box_and_ends_all_of_it(boxes: Boxes) -> None:
    family = await a_family(boxes)
    before = (await boxes.runtime.observe())["alice"]
    boxes.runtime.close()
    boxes.runtime = boxes.walls.runtime(boxes.paths)
    assert (await boxes.runtime.observe())["alice"] == before
    await boxes.runtime.stop("alice", 0)
    assert all_gone(family)


async def test_a_box_of_one_kind_is_not_started_while_it_runs_as_another(boxes: Boxes) -> None:
    await boxes.runtime.start(boxes.spec("alice", *SLEEPER))
    other = ProcessRuntime(boxes.paths, SystemClock())
    spec = BoxSpec("alice", Role.WORKER, SLEEPER, boxes.paths.state_dir, boxes.paths.run_dir)
    with pytest.raises(ConflictError):
        await other.start(spec)
    await other.stop("alice", 0)
    assert await other.observe() == {}
    other.close()
    assert (await boxes.runtime.observe())["alice"].phase is Phase.RUNNING


async def test_a_box_without_a_network_has_the_loopback_alone(boxes: Boxes) -> None:
    script = "import json, socket; print(json.dumps([n for _, n in socket.if_nameindex()]))"
    assert await boxes.tells("alice", script, has_network=False) == ["lo"]


async def test_a_machine_without_bubblewrap_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "hyperhive.runtimes.bubblewrap.box_user",
        lambda user: User("someone", 1234, 1234, "someone", dropped_to=False),
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Install bubblewrap" in (BubblewrapRuntime.fault() or "")


async def test_root_without_an_ordinary_user_is_told_to_create_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(UnavailableError, match="useradd --system --user-group nobody-of-that-name"):
        box_user("nobody-of-that-name")


async def test_root_is_never_whom_boxes_run_as(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(UnavailableError, match="never run as root"):
        box_user("root")

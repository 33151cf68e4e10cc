"""An agent that does all it can to get out of its box, and what it gains: nothing.

Each attack runs in a real box, beside the real directories of another agent. What the probe says
of such a box is held against what was promised.
"""

import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.actors import Role
from hyperhive.domain.errors import UnavailableError
from hyperhive.domain.instances import BoxSpec
from hyperhive.domain.isolation import differences, expected, remarks
from hyperhive.runtimes import mounts, processes
from hyperhive.runtimes.clocks import SystemClock
from hyperhive.runtimes.process import ProcessRuntime
from tests.walls import SOURCES, Boxes, some_boxes

pytestmark = pytest.mark.anyio

SLEEPER = ("sleep", "600")

ATTEMPT = """
import ctypes, json, os, shutil, signal, socket, subprocess, sys
def attempt(deed):
    try:
        found = deed()
    except BaseException as error:
        return "refused: " + str(error)
    return "done" if found is None else found
def run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.stderr or "failed")
def call(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def write(path):
    with open(path, "a") as file:
        file.write("x")
def reach(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
"""


@pytest.fixture
async def boxes() -> AsyncIterator[Boxes]:
    """Give boxes, with bob's state and home filled and his socket and the admin's listening."""
    async with some_boxes() as boxes:
        await boxes.tells("bob", "import json; print(json.dumps(0))")
        (boxes.paths.state("bob") / "notes").write_text("bob's own")
        (boxes.paths.home("bob") / ".settings").write_text("bob's own")
        with ExitStack() as stack:
            stack.enter_context(a_listener(boxes, boxes.paths.socket("bob")))
            stack.enter_context(a_listener(boxes, boxes.paths.admin_socket))
            yield boxes


@contextmanager
def a_listener(boxes: Boxes, path: Path) -> Iterator[None]:
    """Listen on a socket that the boxes' user could connect to, if it saw it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        os.chown(path, boxes.walls.identity.uid, -1)
        listening.listen()
        yield


@contextmanager
def a_port() -> Iterator[str]:
    """Listen as the operator's page does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


async def gains(boxes: Boxes, deeds: str, *arguments: str, **declared: Any) -> list[Any]:
    """Let alice attempt some deeds, one a line, and give what came of each."""
    listed = ", ".join(f"lambda: {deed}" for deed in deeds.strip().splitlines())
    script = f"{ATTEMPT}\nprint(json.dumps([attempt(deed) for deed in [{listed}]]))"
    told: list[Any] = await boxes.tells("alice", script, *arguments, **declared)
    assert len(told) == len(deeds.strip().splitlines())
    return told


def all_refused(told: list[Any]) -> bool:
    return all(isinstance(one, str) and one.startswith("refused") for one in told)


async def test_the_sockets_of_others_cannot_be_reached(boxes: Boxes) -> None:
    paths = [boxes.paths.socket("bob"), boxes.paths.admin_socket]
    seen = ["/run/hyperhive/../bob/agent.sock", "/run/hyperhive/../../admin.sock"]
    deeds = "\n".join(f"reach({str(path)!r})" for path in [*paths, *seen])
    assert all_refused(await gains(boxes, deeds))


async def test_an_agents_own_socket_can_be_reached(boxes: Boxes) -> None:
    with a_listener(boxes, boxes.paths.socket("alice")):
        assert await gains(boxes, "reach('/run/hyperhive/agent.sock')") == ["done"]


async def test_its_own_socket_cannot_be_replaced(boxes: Boxes) -> None:
    with a_listener(boxes, boxes.paths.socket("alice")):
        deeds = """
os.unlink("/run/hyperhive/agent.sock")
write("/run/hyperhive/other.sock")
"""
        assert all_refused(await gains(boxes, deeds))


async def test_the_state_and_home_of_others_cannot_be_seen_by_any_path(boxes: Boxes) -> None:
    deeds = "\n".join(
        f"open({path!r}).read()"
        for path in (
            "/agents/bob/state/notes",
            str(boxes.paths.state("bob") / "notes"),
            str(boxes.paths.home("bob") / ".settings"),
            "/agents/alice/state/../../bob/state/notes",
            f"/proc/self/root{boxes.paths.state('bob')}/notes",
            f"/proc/1/root{boxes.paths.state('bob')}/notes",
            "/proc/1/cwd/../../bob/state/notes",
        )
    )
    assert all_refused(await gains(boxes, deeds))


async def test_links_lead_nowhere_outside_the_box(boxes: Boxes) -> None:
    for name, target in (("out", boxes.paths.state("bob")), ("up", "../../bob/state")):
        (boxes.paths.shared / name).symlink_to(target)
    deeds = """
open("/shared/out/notes").read()
open("/shared/up/notes").read()
"""
    assert all_refused(await gains(boxes, deeds))


async def test_nothing_can_be_planted_where_another_agent_finds_it(boxes: Boxes) -> None:
    deeds = """
os.makedirs("/agents/bob/state/.claude")
write("/agents/bob/settings.json")
os.symlink("/shared", "/agents/bob")
os.rename("/agents/alice", "/agents/bob")
write("/home/bob")
os.makedirs("/home/agent/../bob")
"""
    assert all_refused(await gains(boxes, deeds))
    assert sorted(path.name for path in boxes.paths.state("bob").iterdir()) == ["notes"]


async def test_a_box_whose_source_was_exchanged_for_a_link_does_not_start(boxes: Boxes) -> None:
    state = boxes.paths.state("bob")
    state.rename(state.with_name("aside"))
    state.symlink_to(boxes.paths.state("alice"))
    with pytest.raises(UnavailableError, match="must be a directory"):
        await boxes.runtime.start(boxes.spec("bob", *SLEEPER))


async def test_a_link_in_the_middle_of_a_source_is_not_followed(boxes: Boxes) -> None:
    await gains(boxes, "None")
    agent = boxes.paths.state("bob").parent
    agent.rename(agent.with_name("aside"))
    agent.symlink_to(boxes.paths.state("alice").parent)
    with pytest.raises(UnavailableError, match="must be a directory"):
        await boxes.runtime.start(boxes.spec("bob", *SLEEPER))


async def test_a_source_exchanged_while_the_box_is_made_ends_the_start_and_leaves_nothing(
    boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = mounts.Arrangement.show
    pids: list[int] = []

    def exchange(made: mounts.Arrangement, root: Path, parts: Path, *rest: Any, **how: Any) -> None:
        opened(made, root, parts, *rest, **how)
        if parts.name == "state":
            source = root / parts
            source.rename(source.with_name("aside"))
            source.mkdir(mode=0o777)

    def remember(made: mounts.Arrangement, root: Path) -> None:
        pids.append(int(root.parent.name))
        verified(made, root)

    verified = mounts.Arrangement.verify
    monkeypatch.setattr(mounts.Arrangement, "show", exchange)
    monkeypatch.setattr(mounts.Arrangement, "verify", remember)
    with pytest.raises(UnavailableError, match="was exchanged"):
        await boxes.runtime.start(boxes.spec("bob", *SLEEPER))
    assert await boxes.runtime.observe() == {}
    found = processes.look_up(pids[0])
    assert found is None or found.is_zombie


async def test_the_docs_and_the_hosts_files_cannot_be_changed(boxes: Boxes) -> None:
    deeds = """
write("/docs/page")
write("/etc/passwd")
write("/etc/profile")
write("/usr/bin/env")
write("/x")
os.mkdir("/agents/alice/x")
os.rename("/docs", "/docs2")
os.rename("/agents/alice/state", "/agents/alice/old")
os.rmdir("/home/agent")
"""
    assert all_refused(await gains(boxes, deeds))


async def test_what_is_deployed_is_read_only_to_the_manager_and_hidden_from_others(
    boxes: Boxes,
) -> None:
    (boxes.paths.applied / "commit").write_text("1")
    deeds = """
open("/applied/commit").read()
write("/applied/commit")
"""
    read, written = await gains(boxes, deeds, role=Role.MANAGER)
    assert (read, all_refused([written])) == ("1", True)
    assert all_refused(await gains(boxes, deeds))


async def test_mounts_cannot_be_changed_nor_namespaces_made(boxes: Boxes) -> None:
    deeds = """
run("mount", "-o", "remount,rw,bind", "/docs")
run("mount", "-o", "remount,rw", "/")
run("mount", "-t", "tmpfs", "none", "/agents/alice/state")
run("umount", "/docs")
run("unshare", "--user", "--map-root-user", "true")
run("unshare", "--mount", "true")
call("unshare", 0x10000000)
call("chroot", b"/tmp")
"""
    assert all_refused(await gains(boxes, deeds))


async def test_no_setuid_program_gives_rights_and_none_can_be_planted(boxes: Boxes) -> None:
    deeds = """
os.setuid(0)
run("su", "-c", "true")
run("setpriv", "--reuid", "0", "true")
"""
    assert all_refused(await gains(boxes, deeds))
    script = """
import json, os, shutil, subprocess
shutil.copy("/usr/bin/id", "/agents/alice/state/id")
os.chmod("/agents/alice/state/id", 0o6755)
print(subprocess.check_output(["/agents/alice/state/id", "-u"], text=True).strip())
"""
    assert await boxes.tells("alice", script) == boxes.walls.identity.uid


async def test_processes_outside_are_neither_seen_nor_killed_nor_traced(boxes: Boxes) -> None:
    await boxes.runtime.start(boxes.spec("bob", *SLEEPER))
    bob = (await boxes.runtime.observe())["bob"].pid
    with subprocess.Popen(SLEEPER) as outside:  # noqa: ASYNC220 - it only has to be there
        pids = [str(bob), str(os.getpid()), str(outside.pid)]
        deeds = "\n".join(
            deed.format(pid=pid)
            for pid in pids
            for deed in (
                "os.kill({pid}, 9)",
                "call('ptrace', 16, {pid}, 0, 0)",
                "open('/proc/{pid}/environ', 'rb').read()",
            )
        )
        told = await gains(
            boxes, f"{deeds}\nsorted(map(int, filter(str.isdigit, os.listdir('/proc'))))"
        )
        alive = outside.poll() is None
        outside.kill()
    assert all_refused(told[:-1])
    assert told[-1] == [1, told[-1][1]]
    assert alive
    assert (await boxes.runtime.observe())["bob"].pid == bob


async def test_killing_everything_in_reach_ends_nothing_but_the_box(boxes: Boxes) -> None:
    await boxes.runtime.start(boxes.spec("bob", *SLEEPER))
    before = (await boxes.runtime.observe())["bob"]
    await boxes.runtime.start(boxes.spec("alice", "sh", "-c", "kill -9 -1; kill -9 1; exit 5"))
    await boxes.failed("alice")
    assert (await boxes.runtime.observe())["bob"] == before


async def test_filling_the_scratch_space_stops_at_its_size(
    boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "SCRATCH_BYTES", 1 << 20)
    deeds = """
open("/tmp/x", "wb").write(bytes(2 << 20))
open("/dev/shm/x", "wb").write(bytes(2 << 20))
open("/dev/x", "wb").write(bytes(1))
"""
    assert all_refused(await gains(boxes, deeds))


async def test_what_one_box_leaves_in_tmp_no_other_finds(boxes: Boxes) -> None:
    await gains(boxes, "write('/tmp/x')")
    assert await gains(boxes, "os.listdir('/tmp')") == [[]]


async def test_with_the_hosts_network_the_operators_port_is_in_reach(boxes: Boxes) -> None:
    with a_port() as operator:
        probe, _ = await probed(boxes, boxes.spec("alice"), operator)
    assert probe["network"]["operator_reachable"] is True


async def test_without_a_network_the_operators_port_is_out_of_reach(boxes: Boxes) -> None:
    with a_port() as operator:
        spec = boxes.spec("alice", has_network=False)
        probe, found = await probed(boxes, spec, operator)
    assert probe["network"]["operator_reachable"] is False
    assert found == ()


async def probed(
    boxes: Boxes, spec: BoxSpec, operator: str = ""
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Let a box look at itself; give what it says, and how that differs from what was promised."""
    boxes.operate(operator)
    argv = boxes.walls.module("hyperhive.harness.probe")
    with a_listener(boxes, boxes.paths.socket(spec.name)):
        probe = await boxes.says(replace(spec, argv=argv))
    return probe, differences(probe, expected(spec, processes.namespaces()))


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("manager_writes", [False, True])
async def test_a_box_looks_from_inside_as_it_was_promised(
    boxes: Boxes, role: Role, manager_writes: bool
) -> None:
    spec = boxes.spec("alice", role=role, manager_writes=manager_writes)
    _, found = await probed(boxes, spec)
    assert found == ()


async def test_the_probe_tells_a_box_with_a_hole_from_one_without(
    boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_holes(made: mounts.Arrangement, spec: BoxSpec) -> None:
        made.add("--ro-bind", spec.paths.agents, "/agents")
        made.add("--bind", spec.paths.home("bob"), "/srv/hole")
        shown(made, spec)

    shown = mounts._show_hive
    monkeypatch.setattr(mounts, "_show_hive", with_holes)
    _, found = await probed(boxes, boxes.spec("alice"))
    assert found == (
        "It can write where it should not: /srv/hole.",
        "It sees the state of bob.",
    )


async def test_a_plain_process_promises_nothing_and_its_probe_shows_why(boxes: Boxes) -> None:
    runtime = ProcessRuntime(boxes.paths, SystemClock())
    argv = ("env", f"PYTHONPATH={SOURCES}", boxes.walls.python, "-m", "hyperhive.harness.probe")
    spec = BoxSpec("carol", Role.WORKER, argv, boxes.paths.state_dir, boxes.paths.run_dir)
    boxes.runtime.close()
    boxes.runtime = runtime
    probe = await boxes.says(spec)
    promised = expected(spec, processes.namespaces())
    assert str(boxes.paths.socket("bob")) in probe["sockets"]["others"]
    assert probe["states"]["bob"] != "absent"
    assert differences(probe, promised) == ()
    assert "Nothing is kept from this agent" in remarks(probe, promised)[0]

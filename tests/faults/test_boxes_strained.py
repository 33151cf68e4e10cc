"""Agents in boxes that print without end, find no program, no room, or leave processes behind."""

import os
import pwd
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hyperhive.client.answers import Turn, TurnEvent
from hyperhive.domain.errors import HiveError
from tests.demos import Player
from tests.faults.hives import WAIT_SECONDS, HiveOfProcesses, is_alive, until
from tests.promises import promise

pytestmark = pytest.mark.xdist_group("alone")

FLOOD_BYTES = int(os.environ.get("HYPERHIVE_FLOOD_MIB", "48")) << 20
HARNESS_KIB_MAX = 60_000
"""Forty megabytes are what a harness may have; what it holds of a turn comes on top, bounded."""
SERVER_KIB_MAX = 200_000
ROOM_BYTES = 256 * 1024
LAST_WORDS = "the last half of a line"

IDLE = '{ kind = "command", command = ["true"] }'
FLOOD = f"""
head -c {FLOOD_BYTES // 3} /dev/zero; echo
head -c {FLOOD_BYTES // 6} /dev/urandom; echo
yes $(printf %04000d) | head -c {FLOOD_BYTES // 2}; echo
printf '{LAST_WORDS}'
"""
DAEMONS = """
import os, subprocess, sys
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 3)
            os.execve("/bin/sleep", ["sleep", "600"], {})
        os._exit(0)
    os.wait()
"""
"""Leaves processes that have left everything by which they could be told, except their box."""
UNTIL_GO = "touch began; until test -e go; do sleep 0.05; done"
WRITE = "head -c 100 /dev/zero > kept"
DRIVERS = {
    "queen": IDLE,
    "flood": f'{{ kind = "command", command = ["sh", "-c", """{FLOOD}"""] }}',
    "lost": '{ kind = "command", command = ["no-such-program"] }',
    "parent": f"{{ kind = \"command\", command = ['python3', '-S', '-c', '''{DAEMONS}'''] }}",
    "state": f'{{ kind = "command", command = ["sh", "-c", "{WRITE}"] }}',
    "home": IDLE,
    "worker": f'{{ kind = "command", command = ["sh", "-c", "{UNTIL_GO}"] }}',
}


class Strained:
    """A hive that runs, and its server."""

    def __init__(self, hive: HiveOfProcesses) -> None:
        self.hive = hive
        self.server = hive.started(hive.up()).pid
        for agent in DRIVERS:
            self.comes(agent, "ready")

    def comes(self, agent: str, state: str) -> None:
        until(lambda: self.hive.state_of(agent) == state, f"{agent} is {state}", 60)

    def handles(self, number: int) -> None:
        until(lambda: self.hive.message(number)["state"] == "acked", "it is handled", 60)

    def turns(self, agent: str) -> list[Turn]:
        """Give an agent's turns that have ended, newest first."""
        with self.hive.operator() as operator:
            return [turn for turn in operator.turns(agent)["turns"] if turn["ended_at"]]

    def fails(self, agent: str, times: int) -> str:
        """Wait until so many turns of an agent have failed, and give the latest reason."""
        until(lambda: len(self.turns(agent)) >= times, f"{agent} has failed")
        turn = self.turns(agent)[0]
        assert turn["outcome"] == "failed"
        return str(turn["error"])

    def last_lines(self, agent: str) -> list[TurnEvent]:
        """Give the end of the transcript of an agent's latest turn."""
        number, after = self.turns(agent)[0]["id"], None
        found: list[TurnEvent] = []
        with self.hive.operator() as operator:
            while True:
                page = operator.turn_events(number, after=after, limit=500)
                found = (found + page["events"])[-20:]
                if not page["more"]:
                    return found
                after = page["events"][-1]["n"]


@pytest.fixture(scope="module")
def strained(player: Player) -> Iterator[Strained]:
    settings = "[restart]\nbackoffSeconds = 0.5"
    with HiveOfProcesses(DRIVERS, player=player, settings=settings) as hive:
        yield Strained(hive)


@contextmanager
def no_file_grows(strained: Strained, most: int) -> Iterator[None]:
    """Let no file that the server writes to become larger than that, as on a full disk."""

    def limit(bytes_or_word: str) -> None:
        # Its own user may do that; root needs a right for it that containers lack.
        asked = ["prlimit", "--pid", str(strained.server), f"--fsize={bytes_or_word}:"]
        done = strained.hive.run(asked, user=strained.hive.player.user)
        assert done.wait(WAIT_SECONDS) == 0

    limit(str(most))
    try:
        yield
    finally:
        limit("unlimited")


@promise("S1", "S2")
def test_a_full_disk_under_the_database_refuses_sends_and_agents_go_on_when_there_is_room(
    strained: Strained,
) -> None:
    hive, harness = strained.hive, strained.hive.harness_of("worker")
    work = hive.send("worker", "work")
    until(hive.file("worker", "began").exists, "it works")
    accepted: dict[int, str] = {}
    size = (hive.paths.state_dir / "hive.db-wal").stat().st_size
    refusal = ""
    with no_file_grows(strained, size + 600_000):
        for number in range(1000):
            body = f"{number} " + "x" * 16_000
            try:
                accepted[hive.send("queen", body)] = body
            except HiveError as error:
                refusal = str(error)
                break
    with no_file_grows(strained, 0):
        # What the harness has to tell now, nobody can take down.
        hive.file("worker", "go").touch()
        threading.Event().wait(1.5)
        assert hive.message(work)["state"] == "leased"
        assert hive.state_of("worker") == "busy"

    print(f"{len(accepted)} were accepted; then: {refusal}")
    assert "The database cannot be used" in refusal
    strained.handles(work)
    assert hive.message(work)["attempts"] == 0
    assert [step["kind"] for step in hive.message(work)["history"]].count("message_leased") == 1
    for message, body in accepted.items():
        strained.handles(message)
        assert hive.message(message)["body"] == body
    assert hive.harness_of("worker") == harness


def memory_of(pid: int, what: str = "VmHWM") -> int:
    """Give the most memory that a process has had, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(f"{what}:"))
    return int(line.split()[1])


def test_a_driver_that_prints_without_end_costs_neither_memory_nor_anybody_elses_time(
    strained: Strained,
) -> None:
    hive, harness = strained.hive, strained.hive.harness_of("flood")
    before = memory_of(harness), memory_of(strained.server, "VmRSS")
    number = hive.send("flood", "work")
    strained.comes("flood", "busy")
    strained.handles(hive.send("queen", "are you there?"))
    assert hive.message(number)["state"] == "leased"

    strained.handles(number)

    after = memory_of(harness), memory_of(strained.server)
    turn = strained.turns("flood")[0]
    database = sum(path.stat().st_size for path in hive.paths.state_dir.glob("hive.db*")) >> 20
    print(
        f"{FLOOD_BYTES >> 20} MiB in {(turn['ended_at'] or 0) - (turn['started_at'] or 0):.1f} s: "
        f"harness {before[0]} -> {after[0]} KiB, server {before[1]} -> {after[1]} KiB, "
        f"database {database} MiB"
    )
    assert after[0] < HARNESS_KIB_MAX
    assert after[1] < SERVER_KIB_MAX
    said = strained.last_lines("flood")[-1]
    assert (said["kind"], said["data"]["text"]) == ("text", LAST_WORDS)
    assert hive.harness_of("flood") == harness


def test_a_program_that_is_not_in_the_box_fails_the_turn_by_name_and_not_the_agent(
    strained: Strained,
) -> None:
    hive, harness = strained.hive, strained.hive.harness_of("lost")
    number = hive.send("lost", "work")

    reason = strained.fails("lost", 2)

    assert "no-such-program" in reason
    assert "No such file" in reason
    message = hive.message(number)
    assert (message["state"], message["attempts"], message["redelivered"]) == ("queued", 2, True)
    assert message["not_before"] is not None
    strained.comes("lost", "ready")
    assert hive.harness_of("lost") == harness


@promise("H3")
def test_what_forks_away_in_a_turn_is_gone_with_the_agents_box(strained: Strained) -> None:
    hive = strained.hive
    quiet = hive.family_of("parent")
    strained.handles(hive.send("parent", "work"))
    box = hive.family_of("parent")
    assert len(box) >= len(quiet) + 3

    with hive.operator() as operator:
        operator.stop("parent")
    strained.comes("parent", "stopped")

    assert [pid for pid in box if is_alive(pid)] == []


@contextmanager
def small_disk(place: Path, user: str | None) -> Iterator[Path]:
    """Put a disk of a quarter of a MiB over a directory, full but for a file to remove."""
    owner = pwd.getpwnam(user).pw_uid if user is not None else os.geteuid()
    options = f"size={ROOM_BYTES},mode=0700,uid={owner}"
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.strip()}")
    ballast = place / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)) == 4096:
                pass
    except OSError:
        pass
    try:
        yield ballast
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("agent", ["state", "home"])
def test_a_full_disk_of_an_agent_fails_its_turns_with_the_reason_until_there_is_room(
    strained: Strained, agent: str
) -> None:
    hive = strained.hive
    place = hive.paths.state(agent) if agent == "state" else hive.paths.home(agent)
    with hive.operator() as operator:
        operator.stop(agent)
        strained.comes(agent, "stopped")
        with small_disk(place, hive.player.user) as ballast:
            operator.start(agent)
            strained.comes(agent, "ready")
            harness = hive.harness_of(agent)
            number = hive.send(agent, "work")

            reason = strained.fails(agent, 2)

            assert "No space left" in reason
            assert hive.message(number)["attempts"] == 2
            assert hive.harness_of(agent) == harness
            ballast.unlink()
            strained.handles(hive.send(agent, "there is room again"))
            operator.stop(agent)
            strained.comes(agent, "stopped")

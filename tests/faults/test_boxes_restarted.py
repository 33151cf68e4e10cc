"""Servers and agents in boxes are restarted, under load, in order, and killed in the middle."""

import itertools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from hyperhive.client.answers import Event
from hyperhive.domain.errors import HiveError
from tests.demos import Player
from tests.faults.hives import WAIT_SECONDS, HiveOfProcesses, result_of, until
from tests.faults.quick_server import QuickServer
from tests.faults.test_server_restarted import (
    BACK_SECONDS,
    SCRIPT,
    is_acked,
    leases,
    use_every_tool,
    waits_in_recv,
)
from tests.pace import on_this_machine
from tests.promises import promise

pytestmark = pytest.mark.xdist_group("alone")

AT_ONCE = 4
MESSAGES = 80
"""What is sent while everybody is restarted."""
UNTIL_GO = "touch began; until test -e go; do sleep 0.05; done; cat >> seen"
NOTING = '{ kind = "command", command = ["sh", "-c", "cat >> seen"], model = "small" }'
WORKERS = ("alice", "bob", "cleo", "dora", "emil")
RESTARTED = ("queen", *WORKERS)
DRIVERS = {
    **dict.fromkeys(RESTARTED, NOTING),
    "alice": f'{{ kind = "command", command = ["sh", "-c", "{UNTIL_GO}"] }}',
    "bob": '{ kind = "scripted", script = "bob.toml" }',
    # Nobody is in its box: a client that somebody connected by hand.
    "hand": f"{NOTING}\nenable = false",
}


class Served:
    """A hive with a server that can be killed and started again."""

    def __init__(self, hive: HiveOfProcesses) -> None:
        self.hive = hive
        self.server = QuickServer(hive, with_agents=True)
        self.start()

    def start(self) -> None:
        self.server.start()
        self.hive.ready(self.server.is_running)

    def kill(self) -> None:
        self.server.signal(signal.SIGKILL)

    def end(self) -> None:
        self.server.signal(signal.SIGTERM)
        self.server.close()

    def all_ready(self) -> dict[str, str]:
        """Wait until every agent is ready for good, and say which boxes they are in."""
        until(self.is_settled, "no restart is under way", 60)
        until(lambda: set(self.states().values()) == {"ready"}, "all are ready", 60)
        return self.boxes()

    def states(self) -> dict[str, str]:
        with self.hive.operator() as operator:
            agents = operator.state()["agents"]
        return {each["name"]: each["state"] for each in agents if each["name"] in RESTARTED}

    def boxes(self) -> dict[str, str]:
        notes = {name: self.hive.note_of(name) for name in RESTARTED}
        return {name: note["incarnation"] for name, note in notes.items() if note is not None}

    def seq(self) -> int:
        with self.hive.operator() as operator:
            return operator.state()["seq"]

    def events(self, after: int) -> list[Event]:
        """Give what has happened after a position, oldest first."""
        found: list[Event] = []
        before = None
        with self.hive.operator() as operator:
            while True:
                page = operator.history(before=before, limit=500)
                found += [event for event in page["events"] if event["seq"] > after]
                if not page["more"] or page["events"][-1]["seq"] <= after:
                    return found[::-1]
                before = page["events"][-1]["seq"]

    def reaches(self, phase: str) -> None:
        """Wait until the restart that is under way is in a phase, and an agent is on its way."""

        def is_there() -> bool:
            with self.hive.operator() as operator:
                rollout = operator.state()["hive"]["rollout"]
            assert rollout is not None, "the restart is over already"
            return rollout["phase"] == phase and (bool(rollout["going"]) or phase == "draining")

        until(is_there, f"the restart is in phase {phase}")

    def is_settled(self) -> bool:
        with self.hive.operator() as operator:
            state = operator.state()
        transients = {each["transient"] for each in state["agents"]}
        return state["hive"]["rollout"] is None and transients == {None}


@pytest.fixture(scope="module")
def served(player: Player) -> Iterator[Served]:
    settings = "[restart]\nbackoffSeconds = 0.5\n[restart.rollout]\ndrainSeconds = 20.0"
    with HiveOfProcesses(DRIVERS, player=player, settings=settings) as hive:
        (hive.directory / "bob.toml").write_text(SCRIPT)
        served = Served(hive)
        yield served
        served.end()
        assert [name for name in RESTARTED if hive.note_of(name) is not None] == []


@promise("T4", "H5", "M13")
def test_agents_in_boxes_go_on_through_a_kill_of_the_server_with_all_tools_in_five_seconds(
    served: Served,
) -> None:
    hive, before = served.hive, served.all_ready()
    by_hand = hive.bridge("hand")
    work = [hive.send("alice", "work"), hive.send("bob", "work")]
    until(hive.file("alice", "began").exists, "alice works")
    until(lambda: waits_in_recv(hive, "bob"), "bob waits for a message")
    open_wait = by_hand.call("recv", wait_seconds=50)
    result_of(by_hand.call("whoami"))

    served.kill()
    meanwhile = by_hand.call("send", to="alice", body="while nobody was there")
    began = time.monotonic()
    # This one imports everything, as a server does that somebody starts.
    server = hive.started(hive.up())
    start = time.monotonic() - began

    sent = result_of(meanwhile)["id"]
    use_every_tool(by_hand, sent)
    until(lambda: hive.state_of("alice") == "busy" == hive.state_of("bob"), "both are busy")
    back = time.monotonic() - began
    print(f"the server answered after {start:.2f} s, everything was usable after {back:.2f} s")
    assert back < on_this_machine(BACK_SECONDS)
    to_hand = hive.send("hand", "hello")
    assert [each["id"] for each in result_of(open_wait)["messages"]] == [to_hand]
    hive.file("alice", "go").touch()
    word = hive.send("bob", "go on")
    until(lambda: is_acked(hive, *work, word, sent), "all is handled")
    assert [leases(hive, number) for number in (*work, word, sent, to_hand)] == [1] * 5
    assert served.boxes() == before
    assert by_hand.process.poll() is None
    server.kill()
    server.wait()
    served.start()


@promise("B1")
def test_a_changed_model_and_a_hangup_signal_restart_that_agent_only(served: Served) -> None:
    hive, before = served.hive, served.all_ready()
    known = hive.config.stat()
    text = hive.config.read_text()
    head, mark, tail = text.partition("[agents.dora]")
    changed = head + mark + tail.replace('"small"', '"large"', 1)
    assert (len(changed), changed != text) == (len(text), True)
    # Neither its length nor its time tells of the change: nobody reads it before the signal.
    with hive.config.open("r+") as file:
        file.write(changed)
    os.utime(hive.config, ns=(known.st_atime_ns, known.st_mtime_ns))

    os.kill(served.server.pid, signal.SIGHUP)

    until(lambda: served.boxes().get("dora") not in (None, before["dora"]), "dora is restarted")
    after = served.all_ready()
    assert {name for name in RESTARTED if before[name] != after[name]} == {"dora"}
    number = hive.send("dora", "hello")
    until(lambda: is_acked(hive, number), "dora works")
    with hive.operator() as operator:
        assert operator.turns("dora")["turns"][0]["model"] == "large"
        assert operator.plan()["actions"] == []


def restart_all(hive: HiveOfProcesses, *options: str) -> "subprocess.Popen[bytes]":
    return hive.command("restart", "--all", "--reason", "a rebuild", *options)


def first(events: Sequence[Event], kind: str, agent: str, *states: str) -> int:
    """Say at which position something happened to an agent first."""
    return next(
        event["seq"]
        for event in events
        if (event["kind"], event["agent"]) == (kind, agent)
        and (not states or event["data"]["state"] in states)
    )


def told(events: Sequence[Event], word: str) -> list[int]:
    """Say where in the log the manager was told of something."""
    return [
        event["seq"]
        for event in events
        if event["kind"] == "message_queued"
        and event["agent"] == "queen"
        and event["data"]["message"]["preview"].startswith(f"{word} ")
    ]


def was_in_order(events: Sequence[Event]) -> None:
    """Check that the manager was ready and told before anybody else was restarted."""
    restarted = {name: first(events, "transient_set", name) for name in RESTARTED}
    after = [event for event in events if event["seq"] > restarted["queen"]]
    starting = first(after, "agent_state_changed", "queen", "starting")
    after = [event for event in after if event["seq"] > starting]
    ready = first(after, "agent_state_changed", "queen", "ready", "busy")
    (announced,) = told(events, "hive_restarting")
    (finished,) = told(events, "hive_restarted")
    others = [restarted[name] for name in WORKERS]
    assert restarted["queen"] < ready < announced < min(others) < max(others) < finished


def most_at_once(events: Sequence[Event]) -> int:
    """Say how many were on their way at the same time at most."""
    under_way: set[str] = set()
    most = 0
    for event in events:
        if event["kind"] == "agent_state_changed" and event["agent"] is not None:
            if event["data"]["state"] in ("stopping", "starting"):
                under_way.add(event["agent"])
            else:
                under_way.discard(event["agent"])
        most = max(most, len(under_way))
    return most


@contextmanager
def load(hive: HiveOfProcesses) -> Iterator[dict[int, str]]:
    """Send to everyone all the while; give what was accepted, by number: to whom and what."""
    accepted: dict[int, str] = {}
    errors: list[HiveError] = []
    enough = threading.Event()

    def send() -> None:
        try:
            with hive.agent("hand") as hand:
                for number, to in zip(range(MESSAGES), itertools.cycle(RESTARTED), strict=False):
                    sent = hand.send(to, f"body {number} to {to}.")
                    assert sent["id"] is not None
                    accepted[sent["id"]] = to
                    if enough.wait(0.03):
                        return
        except HiveError as error:
            errors.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield accepted
    finally:
        enough.set()
        thread.join(WAIT_SECONDS)
    assert errors == []


def test_all_are_restarted_under_load_the_manager_first_four_at_a_time_and_nothing_is_lost(
    served: Served,
) -> None:
    hive, before = served.hive, served.all_ready()
    # Whoever would wait for a word works at once, and what bob gets no rule of his is for.
    hive.file("alice", "go").touch()
    (hive.directory / "bob.toml").write_text("")
    seq = served.seq()
    with load(hive) as accepted:
        until(lambda: len(accepted) > len(RESTARTED), "messages flow")
        began = time.monotonic()
        command = restart_all(hive)
        status = command.wait(WAIT_SECONDS * 2)
        seconds = time.monotonic() - began
    assert status == 0, hive.output.read_text()[-2000:]
    until(served.is_settled, "the restart is over")
    until(lambda: is_acked(hive, *accepted), "all is handled", 60)

    after, events = served.all_ready(), served.events(seq)
    print(f"{len(accepted)} messages while {len(after)} agents were restarted in {seconds:.1f} s")
    assert {name for name in RESTARTED if before[name] != after[name]} == set(RESTARTED)
    was_in_order(events)
    assert most_at_once(events) <= AT_ONCE
    for number, to in accepted.items():
        message = hive.message(number)
        times = hive.file(to, "seen").read_text().count(message["body"]) if to != "bob" else 1
        assert times == 1 or (times > 1 and message["redelivered"]), message


@promise("B1")
def test_a_restart_whose_server_is_killed_in_every_phase_is_finished_and_told_once(
    served: Served,
) -> None:
    hive, before = served.hive, served.all_ready()
    for name in ("began", "go"):
        hive.file("alice", name).unlink(missing_ok=True)
    work = hive.send("alice", "work")
    until(hive.file("alice", "began").exists, "alice works")
    seq = served.seq()
    assert restart_all(hive, "--no-wait").wait(WAIT_SECONDS) == 0
    for phase in ("draining", "manager", "others"):
        served.reaches(phase)
        served.kill()
        served.start()
        hive.file("alice", "go").touch()

    until(served.is_settled, "the restart is over", 60)
    after, events = served.all_ready(), served.events(seq)
    assert {name for name in RESTARTED if before[name] != after[name]} == set(RESTARTED)
    was_in_order(events)
    (digest,) = told(events, "hive_restarted")
    body = next(e for e in events if e["seq"] == digest)["data"]["message"]["preview"]
    assert '"failed": {}' in body
    until(lambda: is_acked(hive, work), "the work is handled")
    assert hive.message(work)["attempts"] == 0

"""A storm: many write, many receive, and the server is killed under them again and again.

Senders write over agents' sockets, each message under a key, and repeat it until it is accepted.
Two agents are received for by hand, with acks; two by the real loop of a harness, whose driver
here works in this process, receives more within its turns and fails now and then; or they live in
boxes, and a program of theirs writes down what it was woken with. Kill the server
whenever you like; `Storm.calm` then waits until everything that was accepted is settled, and
`faults` compares what was accepted, what arrived and what the database says.
"""

import asyncio
import json
import random
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from hyperhive.client import AgentClient
from hyperhive.client import agent as agent_client
from hyperhive.domain.errors import HiveError, UnavailableError
from hyperhive.domain.turns import TurnOutcome
from hyperhive.harness import session as harness_session
from hyperhive.harness import turns as harness_turns
from hyperhive.harness.box import Box
from hyperhive.harness.drivers.port import Assignment, Emit, TurnResult
from hyperhive.harness.loop import Harness
from hyperhive.harness.probing import Probing
from hyperhive.harness.watchdog import Watchdog
from tests.faults.hives import HiveOfProcesses

BY_HAND: Final = ("alice", "bob")
BY_HARNESS: Final = ("queen", "carol")
EVERYONE: Final = (*BY_HARNESS, *BY_HAND)
IN_FLIGHT_MAX: Final = 60
"""Senders pause while so many accepted messages have not arrived, so that all of them work."""
BROADCAST_SHARE: Final = 0.1
FAILING_SHARE: Final = 0.1
PATIENCE_SECONDS: Final = 120.0
"""Servers that are killed all the time may leave a call that waits without an answer for long."""
_PAUSE_SECONDS: Final = 0.02
IDLE: Final = '{ kind = "command", command = ["true"] }'
_FILE: Final = "arrived"
_BOXED: Final = rf"""
import json, random, re, sys
prompt = sys.stdin.read()
head = re.search(r"^Message (\d+) from (\S+), .*:$", prompt, re.M)
again = re.search(r"^This is delivery attempt (\d+):", prompt, re.M)
mark = re.search(r"^(--- [0-9a-f]+)$", prompt, re.M).group(1)
body = prompt.split(mark + "\n")[1][:-1]
attempt = int(again.group(1)) if again else 1
told = [int(head.group(1)), head.group(2), body, attempt, again is not None]
with open("{_FILE}", "a") as file:
    file.write(json.dumps(told) + "\n")
sys.exit(again is None and random.random() < {FAILING_SHARE})
"""
"""What runs in a box: notes what it was woken with, and fails now and then, never twice."""


def drivers(*, boxed: bool) -> dict[str, str]:
    """Give the drivers of a hive for a storm, as `HiveOfProcesses` takes them."""
    noting = f"""{{ kind = "command", command = ["python3", "-S", "-E", "-c", '''{_BOXED}'''] }}"""
    if not boxed:
        return dict.fromkeys(EVERYONE, IDLE)
    # No box may take what is received by hand.
    by_hand = dict.fromkeys(BY_HAND, f"{IDLE}\nenable = false")
    return dict.fromkeys(BY_HARNESS, noting) | by_hand


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it was handed to its receiver."""

    id: int
    sender: str
    body: str
    attempt: int
    redelivered: bool


@dataclass(slots=True)
class Ledger:
    """What the clients know: what was accepted and what arrived."""

    accepted: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    """By the message's number: sender, recipient, body."""
    arrived: defaultdict[str, list[Arrival]] = field(default_factory=lambda: defaultdict(list))
    repeats: int = 0
    failed_on_purpose: int = 0
    errors: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    _seen: set[int] = field(default_factory=set)
    _awaited: set[int] = field(default_factory=set)

    def accept(self, sender: str, ids: Mapping[str, int], body: str) -> None:
        """Note what a send was answered: who got it under which number."""
        with self.changed:
            for to, number in ids.items():
                if number in self.accepted:
                    self.errors.append(f"{sender} was given the number {number} of another message")
                self.accepted[number] = (sender, to, body)
                if number not in self._seen:
                    self._awaited.add(number)
            self.changed.notify_all()

    def arrive(self, receiver: str, messages: list[dict[str, Any]]) -> None:
        """Note what a receiver was handed."""
        with self.changed:
            for each in messages:
                arrival = Arrival(
                    each["id"], each["from"], each["body"], each["attempt"], each["redelivered"]
                )
                self.arrived[receiver].append(arrival)
                self._seen.add(arrival.id)
                self._awaited.discard(arrival.id)
            self.changed.notify_all()

    def wait_for_news(self, seconds: float) -> None:
        """Return the moment anything is accepted or arrives."""
        with self.changed:
            self.changed.wait(seconds)

    def wait_for_room(self, stopping: threading.Event) -> None:
        """Wait while too much is on its way."""
        with self.changed:
            while len(self._awaited) > IN_FLIGHT_MAX:
                if stopping.is_set() or self.errors:
                    return
                self.changed.wait(1.0)

    def fail(self, who: str, error: BaseException) -> None:
        """Note that a client met an error it should not meet."""
        with self.changed:
            self.errors.append(f"{who}: {type(error).__name__}: {error}")
            self.changed.notify_all()


class Storm:
    """The clients of one hive; use it as a context manager."""

    def __init__(self, hive: HiveOfProcesses, seed: int, *, boxed: bool = False) -> None:
        self.ledger = Ledger()
        self._hive = hive
        self._seed = seed
        self._patches = ExitStack()
        self._no_more_sending = threading.Event()
        self._no_more_receiving = threading.Event()
        self._senders = [self._thread(self._send, name) for name in EVERYONE]
        self._receivers = [self._thread(self._receive, name) for name in BY_HAND]
        if boxed:
            self._receivers += [self._thread(self._read_box, name) for name in BY_HARNESS]
        else:
            self._receivers.append(self._thread(self._run_harnesses, "harnesses"))

    def __enter__(self) -> "Storm":
        # Servers here live for half a second; clients that back off as they should would sleep.
        self._patches.enter_context(
            patch.object(agent_client, "_BACKOFF_SECONDS", (_PAUSE_SECONDS,))
        )
        self._patches.enter_context(patch.object(harness_session, "_STEADY_SECONDS", 0.0))
        self._patches.enter_context(patch.object(harness_turns, "find_driver", lambda _kind: self))
        for thread in (*self._receivers, *self._senders):
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._no_more_sending.set()
        self._no_more_receiving.set()
        for thread in (*self._senders, *self._receivers):
            thread.join()
        self._patches.close()

    def calm(self, seconds: float) -> None:
        """Stop sending, and wait until nothing is on its way; a server must run."""
        self._no_more_sending.set()
        deadline = time.monotonic() + seconds
        for thread in self._senders:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._hive.operator() as operator:
            while time.monotonic() < deadline and not self.ledger.errors:
                open_now = [
                    message
                    for state in ("queued", "leased")
                    for message in operator.messages(state=state)["messages"]
                ]
                if not open_now and not any(thread.is_alive() for thread in self._senders):
                    break
                time.sleep(0.05)

    def _thread(self, work: Callable[[str], None], name: str) -> threading.Thread:
        def guarded() -> None:
            try:
                work(name)
            except Exception as error:  # noqa: BLE001 - every error of a client is a finding
                self.ledger.fail(f"{work.__name__} {name}", error)

        return threading.Thread(target=guarded, name=f"storm-{work.__name__}-{name}", daemon=True)

    def _send(self, sender: str) -> None:
        chance = random.Random(f"{self._seed} send {sender}")
        number = 0
        with self._hive.agent(sender, patience_seconds=0.0) as client:
            while not self._no_more_sending.is_set() and not self.ledger.errors:
                number += 1
                body = f"{sender} {number} " + "x" * chance.choice((0, 0, 100, 4000))
                if chance.random() < BROADCAST_SHARE:
                    to = "*"
                else:
                    to = chance.choice([name for name in EVERYONE if name != sender])
                sent = self._insist(client, to, body, key=f"{sender}-{number}")
                ids = sent["ids"] if to == "*" else {to: sent["id"]}
                self.ledger.accept(sender, ids, body)
                self.ledger.wait_for_room(self._no_more_sending)

    def _insist(self, client: AgentClient, to: str, body: str, key: str) -> Any:
        while True:
            try:
                return client.send(to, body, key=key)
            except UnavailableError:
                self.ledger.repeats += 1
                if self._no_more_receiving.wait(_PAUSE_SECONDS):
                    raise

    def _receive(self, receiver: str) -> None:
        chance = random.Random(f"{self._seed} receive {receiver}")
        with self._client(receiver) as client:
            while not self._no_more_receiving.is_set() and not self.ledger.errors:
                got = client.call("recv", wait_seconds=1, max=chance.choice((1, 2, 8, 32)))
                if got["messages"]:
                    self.ledger.arrive(receiver, got["messages"])
                    client.ack([each["id"] for each in got["messages"]])

    def _read_box(self, receiver: str) -> None:
        """Follow what an agent in a box writes down."""
        path, known = self._hive.file(receiver, _FILE), 0
        while True:
            # What was written when the storm ends is still read.
            is_over = self._no_more_receiving.wait(_PAUSE_SECONDS)
            text = path.read_text() if path.exists() else ""
            lines = text[: text.rfind("\n") + 1].splitlines()
            told = [json.loads(line) for line in lines[known:]]
            known = len(lines)
            if told:
                names = ("id", "from", "body", "attempt", "redelivered")
                self.ledger.arrive(receiver, [dict(zip(names, each, strict=True)) for each in told])
            if is_over:
                return

    def _run_harnesses(self, _name: str) -> None:
        asyncio.run(self._harnesses())

    async def _harnesses(self) -> None:
        harnesses = []
        for name in BY_HARNESS:
            socket = str(self._hive.paths.socket(name))
            box = Box(socket, name, self._hive.directory, {})
            harnesses.append(Harness(box, Watchdog.from_environment(), Probing({})))
        running = [asyncio.ensure_future(harness.run()) for harness in harnesses]
        await asyncio.to_thread(self._no_more_receiving.wait)
        for harness in harnesses:
            harness.stop("The storm is over.")
        await asyncio.gather(*running)

    async def run(self, assignment: Assignment, emit: Emit) -> TurnResult:
        """Be the driver of both harnesses: take note, receive some more, fail now and then."""
        return await asyncio.to_thread(self._turn, assignment)

    def _turn(self, assignment: Assignment) -> TurnResult:
        agent, turn = assignment.box.agent, assignment.turn
        chance = random.Random(f"{self._seed} turn {turn.id}")
        messages = [message.as_json() for message in turn.messages]
        self.ledger.arrive(agent, messages)
        if chance.random() < 0.5:
            with self._client(agent, turn=turn.id) as client:
                try:
                    more = client.call("recv", wait_seconds=0.05, max=chance.choice((1, 4, 16)))
                except HiveError as error:
                    return TurnResult(TurnOutcome.FAILED, str(error))
            self.ledger.arrive(agent, more["messages"])
            messages += more["messages"]
        # A second failure would put a message off for half a minute.
        if chance.random() < FAILING_SHARE and all(each["attempt"] == 1 for each in messages):
            self.ledger.failed_on_purpose += 1
            return TurnResult(TurnOutcome.FAILED, "as the storm wills")
        return TurnResult(TurnOutcome.OK)

    def _client(self, agent: str, *, turn: int | None = None) -> AgentClient:
        return self._hive.agent(agent, turn=turn, patience_seconds=PATIENCE_SECONDS)


def faults(ledger: Ledger, database: Path) -> list[str]:
    """Say in a sentence each what is wrong; the server must have ended."""
    found = list(ledger.errors)
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        for pragma in ("integrity_check", "foreign_key_check"):
            told = [tuple(row) for row in connection.execute(f"PRAGMA {pragma}")]
            if told not in ([], [("ok",)]):
                found.append(f"{pragma}: {told[:3]}")
        stored = {row["id"]: row for row in connection.execute("SELECT * FROM message")}
        events = connection.execute("SELECT * FROM event ORDER BY seq").fetchall()
    found += _lost_or_stuck(ledger, stored)
    found += _doubled(ledger, stored)
    found += _out_of_order(ledger)
    found += _untrue_events(events, stored)
    return found


def _lost_or_stuck(ledger: Ledger, stored: Mapping[int, sqlite3.Row]) -> Iterator[str]:
    for number, (sender, to, body) in ledger.accepted.items():
        row = stored.get(number)
        if row is None:
            yield f"message {number} from {sender} to {to} was accepted and is lost"
        elif (row["sender"], row["recipient"], row["body"]) != (sender, to, body):
            yield f"message {number} is not the one that was accepted under this number"
        elif row["state"] != "acked":
            yield f"message {number} to {to} is stuck: {row['state']}, turn {row['turn']}"
        elif number not in {arrival.id for arrival in ledger.arrived[to]}:
            yield f"message {number} is acked and never reached {to}"


def _doubled(ledger: Ledger, stored: Mapping[int, sqlite3.Row]) -> Iterator[str]:
    written = defaultdict(list)
    for row in stored.values():
        written[row["sender"], row["recipient"], row["body"]].append(row["id"])
    for (sender, to, _), numbers in written.items():
        if len(numbers) > 1:
            yield f"one message from {sender} to {to} is stored as {numbers}"
        if numbers[0] not in ledger.accepted:
            yield f"message {numbers[0]} from {sender} to {to} is stored and was never accepted"
    for receiver, arrivals in ledger.arrived.items():
        seen: set[int] = set()
        for arrival in arrivals:
            if arrival.id in seen and not arrival.redelivered:
                yield f"message {arrival.id} came to {receiver} again without a flag"
            seen.add(arrival.id)


def _out_of_order(ledger: Ledger) -> Iterator[str]:
    """Each sender's messages must first arrive in each inbox in the order they were written."""
    for receiver, arrivals in ledger.arrived.items():
        latest: dict[str, int] = {}
        seen: set[int] = set()
        for arrival in arrivals:
            if arrival.id in seen:
                continue
            seen.add(arrival.id)
            number = int(arrival.body.split()[1])
            if number < latest.get(arrival.sender, 0):
                yield f"{receiver} got number {number} of {arrival.sender} after a later one"
            latest[arrival.sender] = number


def _untrue_events(events: list[sqlite3.Row], stored: Mapping[int, sqlite3.Row]) -> Iterator[str]:
    """The events, applied in order, must tell of each message what its row says."""
    seqs = [event["seq"] for event in events]
    if seqs != list(range(1, len(seqs) + 1)):
        yield "the positions of the events have gaps or repeats"
    states = {}
    for event in events:
        told = json.loads(event["data_json"])
        match event["kind"]:
            case "message_queued":
                states[told["message"]["id"]] = told["message"]["state"]
            case "message_leased" | "message_acked" | "message_dead":
                states[told["id"]] = event["kind"].removeprefix("message_")
            case "message_released":
                states[told["id"]] = "queued"
            case _:
                pass
    wrong = [number for number, row in stored.items() if states.get(number) != row["state"]]
    if wrong or len(states) != len(stored):
        yield f"the events do not tell what became of {wrong[:5] or 'messages that are not stored'}"

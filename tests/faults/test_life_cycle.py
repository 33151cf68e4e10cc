"""No interleaving loses, reorders or silently repeats a message.

A machine does to a real store and its services what agents, harnesses, clients, clocks and
crashes do, in any order that Hypothesis thinks of, and compares every row with a model after each
step.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from hyperhive.bus import Bus
from hyperhive.domain.errors import ConflictError, TurnOverError
from hyperhive.domain.events import Event
from hyperhive.services.callers import Caller
from hyperhive.services.control import Control
from hyperhive.store import Reading, Store, alerts, events, tables
from hyperhive.store.store import FILE_NAME
from tests.builders import UNBOUND, Desk, ManualClock, a_hive, an_actor, wired
from tests.faults.life_cycle_model import HAND_SECONDS, KEY_SECONDS, Known, KnownTurn, Model
from tests.promises import promise

BECOMES = {"released": "queued", "requeued": "queued", "withdrawn": "dropped"}
"""What a message is after a step, where that has another name."""
AGENTS = ("queen", "alice")
SENDERS = (*AGENTS, "operator")
OUTCOMES = ("ok", "failed", "timed_out", "cancelled", "rate_limited", "needs_login")
PAUSING = ("rate_limited", "needs_login")
"""Outcomes after which an agent starts no turn for a while."""

Result = TypeVar("Result")

# One inbox is busier than the other: what matters happens between messages of one.
agents = st.sampled_from(("alice", "alice", "alice", "queen"))
counts = st.integers(1, 3)


@cache
def empty_database() -> bytes:
    """Make the schema once: every run begins with a copy."""

    async def make(directory: Path) -> None:
        store = await Store.open(directory, Bus(), clock=ManualClock())
        await store.close()

    with tempfile.TemporaryDirectory() as made:
        asyncio.run(make(Path(made)))
        return (Path(made) / FILE_NAME).read_bytes()


class LifeCycle(RuleBasedStateMachine):
    """The hive, what is done to it, and what should have come of that."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="life-cycle-"))
        (self.directory / FILE_NAME).write_bytes(empty_database())
        self.hive = a_hive(self.directory, self.directory / "run", AGENTS, hive=UNBOUND)
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.model = Model(self.clock())
        self.crashed: list[Store] = []
        self.left_over: list[int] = []
        self.sessions = dict.fromkeys(AGENTS, 0)
        self.connected: set[str] = set()
        self.requests: list[tuple[str, int | None, str, int]] = []
        self.seen: set[int] = set()
        self.number = 0
        self.told: dict[int, str] = {}
        self.last_seq = 0

    @initialize(sent=st.integers(0, 3))
    def start(self, sent: int) -> None:
        self.desk = self.run(self._opened())
        for _ in range(sent):
            self.send("queen", "alice", keyed=False)

    def teardown(self) -> None:
        async def close() -> None:
            for store in (*self.crashed, self.desk.store):
                await store.close()

        if hasattr(self, "desk"):
            self.run(close())
        self.runner.close()
        shutil.rmtree(self.directory)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        async def bounded() -> Result:
            async with asyncio.timeout(20):
                return await work

        return self.runner.run(bounded())

    async def _opened(self) -> Desk:
        store = await Store.open(self.directory, Bus(), clock=self.clock)
        desk = await wired(store, self.hive)
        self.left_over = await desk.recovery.begin()
        return desk

    def fresh(self, name: str) -> str:
        self.number += 1
        return f"{name}{self.number}"

    def session(self, agent: str) -> str:
        return f"{agent}-{self.sessions[agent]}"

    def turn(self, agent: str) -> KnownTurn:
        return self.model.turns[agent]

    # What senders do.

    @rule(sender=st.sampled_from(SENDERS), to=agents, keyed=st.booleans())
    def send(self, sender: str, to: str, keyed: bool) -> None:
        body, key = self.fresh("body"), self.fresh("key") if keyed else None
        answer = self.run(self.desk.messages.send(an_actor(sender), to, body, key=key))

        known = self.model.accept(sender, to, body)
        assert answer["id"] == known.id
        self._remember(sender, key, to, body, answer)

    @rule(sender=st.sampled_from(SENDERS), keyed=st.booleans())
    def broadcast(self, sender: str, keyed: bool) -> None:
        body, key = self.fresh("body"), self.fresh("key") if keyed else None
        answer = self.run(self.desk.messages.send(an_actor(sender), "*", body, key=key))

        others = [agent for agent in AGENTS if agent != sender]
        assert answer["ids"] == {to: self.model.accept(sender, to, body).id for to in others}
        self._remember(sender, key, "*", body, answer)

    def _remember(self, sender: str, key: str | None, to: str, body: str, answer: Any) -> None:
        if key is not None:
            self.model.keys[(sender, key)] = (self.clock(), (to, body, answer))

    @precondition(lambda self: self.model.keys)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        sender, key = data.draw(st.sampled_from(sorted(self.model.keys)))
        at, (to, body, answer) = self.model.keys[(sender, key)]
        again = self.run(self.desk.messages.send(an_actor(sender), to, body, key=key))
        if at > self.clock() - KEY_SECONDS:
            assert again == answer
            return
        others = [agent for agent in AGENTS if agent != sender] if to == "*" else [to]
        accepted = [self.model.accept(sender, name, body).id for name in others]
        assert accepted == (list(again["ids"].values()) if to == "*" else [again["id"]])
        self.model.keys[(sender, key)] = (self.clock(), (to, body, again))

    # What clients do.

    @rule(agent=agents, count=counts)
    def receive_by_hand(self, agent: str, count: int) -> None:
        self._receive(agent, None, self.fresh("r"), count)

    @precondition(lambda self: self._working())
    @rule(data=st.data(), count=counts, arrives=st.booleans())
    def receive_in_turn(self, data: st.DataObject, count: int, arrives: bool) -> None:
        agent = data.draw(st.sampled_from(self._working()))
        delivery = self.fresh("r")
        self._receive(agent, self.turn(agent).id, delivery, count)
        if arrives:
            self._confirm(agent, delivery)

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """A request whose answer was lost on the way is repeated, perhaps much later."""
        agent, turn, delivery, count = data.draw(st.sampled_from(self.requests[-6:]))
        open_turn = self.model.turns.get(agent)
        if turn is not None and (open_turn is None or open_turn.id != turn):
            with pytest.raises(TurnOverError):
                self.run(self.desk.recv(agent, turn=turn, delivery=delivery))
            return
        self._receive(agent, turn, delivery, count)

    def _receive(self, agent: str, turn: int | None, delivery: str, count: int) -> None:
        got = self.run(self.desk.recv(agent, turn=turn, delivery=delivery, count=count))

        again = self.model.leased(agent, delivery=delivery)
        expected = again or self.model.deliverable(agent, count)
        if not again:
            until = self.clock() + HAND_SECONDS if turn is None else None
            self.model.lease(expected, turn, delivery, until)
            self.requests.append((agent, turn, delivery, count))
        self._check_received(got, expected, again=bool(again))

    def _check_received(
        self, got: list[dict[str, Any]], expected: list[Known], *, again: bool
    ) -> None:
        assert [
            (message["id"], message["body"], message["attempt"], message["redelivered"])
            for message in got
        ] == [(known.id, known.body, known.attempts + 1, known.flagged) for known in expected]
        for message in got:
            silent = message["id"] in self.seen and not message["redelivered"] and not again
            assert not silent, f"message {message['id']} came again without a flag"
            assert message["redelivered"] == ("delivered before" in (message["hint"] or ""))
            self.seen.add(message["id"])

    @rule(agent=agents, count=counts, in_turn=st.booleans(), cancelled=st.booleans())
    def client_lost_while_receiving(
        self, agent: str, count: int, in_turn: bool, cancelled: bool
    ) -> None:
        """The client goes while its messages are leased: it has seen none of them."""
        turn = self.model.turns.get(agent)
        if in_turn and turn is None:
            return

        async def lose() -> None:
            caller = Caller()
            receiving = asyncio.create_task(
                self.desk.recv(
                    agent,
                    turn=turn.id if in_turn and turn is not None else None,
                    delivery=self.fresh("r"),
                    count=count,
                    caller=caller,
                )
            )
            await asyncio.sleep(0)
            if cancelled:
                receiving.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await receiving
            else:
                caller.leave()
                assert await receiving == []

        self.run(lose())
        self.model.release(self.model.deliverable(agent, count), "void", seen=False)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), lost=st.booleans())
    def answer_arrives_or_is_lost(self, data: st.DataObject, lost: bool) -> None:
        agent, _, delivery, _ = data.draw(st.sampled_from(self.requests[-6:]))
        held = self.model.leased(agent, delivery=delivery)
        if lost:
            self.run(self.desk.messages.give_back_delivery(agent, delivery))
            self.model.release([known for known in held if not known.confirmed], "unconfirmed")
        else:
            self._confirm(agent, delivery)

    def _confirm(self, agent: str, delivery: str) -> None:
        held = self.model.leased(agent, delivery=delivery)
        assert self.run(self.desk.messages.confirm(agent, delivery)) == len(held)
        for known in held:
            known.confirmed = True

    @precondition(lambda self: self.model.messages)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        known = self.model.messages[data.draw(st.sampled_from(sorted(self.model.messages)))]
        answer = self.run(self.desk.messages.ack(known.to, [known.id], in_turn=False))

        by_hand = known.is_leased and known.turn is None
        if by_hand:
            self.model.ack(known)
        place = {"acked": "acked", "leased": "acked_by_turn_end"}.get(known.state, "not_leased")
        assert answer[place] == [known.id]

    # What harnesses do.

    @rule(agent=agents, anew=st.booleans())
    def hello(self, agent: str, anew: bool) -> None:
        """A harness connects: the same one on a new connection, or its successor."""
        was_connected, before = agent in self.connected, self.session(agent)
        if anew:
            self.sessions[agent] += 1
        session = self.run(self.desk.hello(agent, self.session(agent)))
        self.connected.add(agent)

        turn = self.model.turns.get(agent)
        if turn is not None and turn.session != self.session(agent):
            known = was_connected and turn.session == before
            self.model.end_turn(agent, "died" if known else "server_restarted")
            turn = None
        assert session.turn == (turn.id if turn is not None else None)

    @precondition(lambda self: self.connected)
    @rule(data=st.data())
    def goodbye(self, data: st.DataObject) -> None:
        """The connection of a harness breaks."""
        agent = data.draw(st.sampled_from(sorted(self.connected)))
        self.connected.remove(agent)
        self.run(self.desk.sessions.goodbye(self.desk.open_sessions[agent]))
        self.model.end_turn(agent, "died")

    @rule(agent=agents, begins=st.booleans(), gone=st.booleans())
    def ask_for_work(self, agent: str, begins: bool, gone: bool = False) -> None:
        if agent not in self.connected:
            self.hello(agent, anew=False)
        session = self.session(agent)

        async def ask() -> dict[str, Any] | None:
            caller = Caller()
            asking = asyncio.create_task(
                self.desk.turns.offer(agent, session, wait_seconds=0, caller=caller)
            )
            await asyncio.sleep(0)
            if gone:
                caller.leave()
            return await asking

        offered = self.run(ask())
        if agent in self.model.turns:
            begun = self.turn(agent).begun
            self.model.end_turn(agent, "failed" if begun else "void", seen=begun)
        expected = self.model.deliverable(agent, 1)
        if gone:
            assert offered is None
            self.model.release(expected, "void", seen=False)
            return
        assert (offered is not None) == bool(expected)
        if offered is None:
            return
        self.model.turns[agent] = KnownTurn(offered["id"], agent, session)
        self.model.lease(expected, offered["id"], None, None)
        if begins:
            self._check_received(offered["messages"], expected, again=False)
            self._begin(agent)

    def _begin(self, agent: str) -> None:
        turn = self.turn(agent)
        self.run(self.desk.turns.begin(agent, turn.session, turn.id))
        turn.begun = True
        for known in self.model.leased(agent, turn=turn.id):
            known.confirmed = True

    def _working(self) -> list[str]:
        return sorted(agent for agent, turn in self.model.turns.items() if turn.begun)

    @precondition(lambda self: self._working())
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES), twice=st.booleans())
    def end_turn(self, data: st.DataObject, outcome: str, twice: bool) -> None:
        self._end(data.draw(st.sampled_from(self._working())), outcome, twice=twice)

    @rule(
        agent=agents,
        count=counts,
        arrives=st.booleans(),
        outcome=st.sampled_from(("ok", "failed", "cancelled", None)),
    )
    def work(self, agent: str, count: int, arrives: bool, outcome: str | None) -> None:
        """A turn in which more is received; it may still run when the next thing happens."""
        self.ask_for_work(agent, begins=True)
        if agent not in self.model.turns:
            return
        delivery = self.fresh("r")
        self._receive(agent, self.turn(agent).id, delivery, count)
        if arrives:
            self._confirm(agent, delivery)
        if outcome is not None:
            self._end(agent, outcome)

    @rule(agent=agents, times=st.integers(1, 5))
    def fail_at_the_same_again_and_again(self, agent: str, times: int) -> None:
        """A message that nobody can handle; the fifth time it dies."""
        for _ in range(times):
            self.ask_for_work(agent, begins=True)
            if agent not in self.model.turns:
                return
            self._end(agent, "failed")
            self.time_passes(600)

    def _end(self, agent: str, outcome: str, *, twice: bool = False) -> None:
        turn = self.turn(agent)
        for _ in range(1 + twice):
            said = self.run(self.desk.end(agent, turn.id, outcome, session=turn.session))
            assert said == outcome
        self.model.end_turn(agent, outcome)
        if outcome in PAUSING:
            self._resume(agent)

    def _resume(self, agent: str) -> None:
        """Let an agent go on at once: how long it pauses is not this model's business."""
        control = Control(self.desk.store, self.desk.agents, self.desk.sessions)
        self.run(control.resume(an_actor("operator"), agent, via="test"))

    # What the operator, time and the machine do.

    @precondition(lambda self: self._dead())
    @rule(data=st.data(), drop=st.booleans())
    def settle_the_dead(self, data: st.DataObject, drop: bool) -> None:
        known = self.model.messages[data.draw(st.sampled_from(self._dead()))]
        act = self.desk.messages.drop if drop else self.desk.messages.requeue
        self.run(act(an_actor("operator"), known.id, via="test"))
        if drop:
            known.state = "dropped"
        else:
            known.state, known.attempts, known.flagged, known.not_before = "queued", 0, True, 0.0
            known.unanswered = 0
        with pytest.raises(ConflictError):
            self.run(act(an_actor("operator"), known.id, via="test"))

    @precondition(lambda self: self._sent())
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """Whoever sent a message takes it back, which works while nobody has seen it, or again."""
        known = self.model.messages[data.draw(st.sampled_from(self._sent()))]
        unseen = known.state == "queued" and not known.flagged
        take_back = self.desk.threads.cancel(
            an_actor(known.sender), "message", known.id, via="test"
        )
        if unseen or known.withdrawn:
            self.run(take_back)
            known.state, known.withdrawn = "dropped", True
        else:
            with pytest.raises(ConflictError):
                self.run(take_back)

    def _sent(self) -> list[int]:
        return [known.id for known in self.model.messages.values() if known.sender in SENDERS]

    def _dead(self) -> list[int]:
        return [known.id for known in self.model.messages.values() if known.state == "dead"]

    @rule(
        seconds=st.sampled_from((1, 29, 30, 120, 600, HAND_SECONDS, KEY_SECONDS, -3600)),
        upkeep=st.booleans(),
    )
    def time_passes(self, seconds: float, upkeep: bool = False) -> None:
        self.clock.advance(seconds)
        self.model.now = self.clock()
        if upkeep:
            self.run(self.desk.messages.release_overdue())
            self.model.expire()

    @rule(
        killed=st.booleans(),
        returning=st.sampled_from(("nobody", "the same", "a new one")),
        settles=st.booleans(),
    )
    def server_restarts(self, killed: bool, returning: str, settles: bool) -> None:
        connected = sorted(self.connected)
        if killed:
            self.crashed.append(self.desk.store)
        else:
            self.run(self.desk.store.close())
        self.desk = self.run(self._opened())
        self.connected.clear()
        assert sorted(self.left_over) == sorted(turn.id for turn in self.model.turns.values())
        for agent in connected if returning != "nobody" else ():
            self.hello(agent, anew=returning == "a new one")
        if settles and self.left_over:
            self.settle()

    @precondition(lambda self: self.left_over)
    @rule()
    def settle(self) -> None:
        """The time in which the sessions of the last run could return is over."""
        self.run(self.desk.recovery.settle(self.left_over, grace_seconds=0))
        for turn in list(self.model.turns.values()):
            returned = turn.agent in self.connected and turn.session == self.session(turn.agent)
            if turn.id in self.left_over and not returned:
                self.model.end_turn(turn.agent, "server_restarted")
        self.left_over = []

    @invariant()
    def every_message_is_where_the_model_has_it(self) -> None:
        if not hasattr(self, "desk"):
            return
        rows, alerted, fresh = self.run(
            self.desk.store.read(lambda asking: _everything(asking, self.last_seq))
        )
        for event in fresh:
            self.last_seq = event.seq
            step = event.kind.removeprefix("message_")
            if step != event.kind:
                number = event.data["message"]["id"] if step == "queued" else event.data["id"]
                self.told[number] = BECOMES.get(step, step)
        expected = [known.columns() for known in self.model.messages.values()]
        assert [{name: row[name] for name in expected[0]} for row in rows] == expected
        assert alerted == {f"dead-message:{number}" for number in self._dead()}
        assert self.told == {known.id: known.state for known in self.model.messages.values()}


def _everything(asking: Reading, seq: int) -> tuple[list[dict[str, Any]], set[str], list[Event]]:
    """Give the rows of all messages, the keys of the alerts, and the events after ``seq``."""
    found = asking.execute(select(tables.message).order_by(tables.message.c.id))
    alerted = {alert["key"] for alert in alerts.standing(asking)}
    return [dict(row._mapping) for row in found], alerted, events.after(asking, seq, 100_000)


@promise("M4", "M7", "M8", "M15")
def test_no_interleaving_loses_reorders_or_silently_repeats_a_message() -> None:
    run_state_machine_as_test(
        LifeCycle,
        settings=settings(
            max_examples=20,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

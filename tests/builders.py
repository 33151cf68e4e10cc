"""Builders that every tier shares: a declaration, a clock, a store, the services on top of it.

Nothing here listens on a socket or starts a process; `a_desk` is the hive as its surfaces see it.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hyperhive.bus import Bus
from hyperhive.config import Hive, parse
from hyperhive.domain import actors
from hyperhive.domain.actors import Actor
from hyperhive.domain.approvals import ApprovalKind
from hyperhive.domain.messages import HAND_LEASE_SECONDS
from hyperhive.services.agents import Agents
from hyperhive.services.approval_threads import ApprovalThreads
from hyperhive.services.approvals import Approvals, Consent
from hyperhive.services.callers import Caller
from hyperhive.services.carrying import Carrying
from hyperhive.services.deliveries import Deliveries
from hyperhive.services.message_threads import MessageThreads
from hyperhive.services.messages import Messages
from hyperhive.services.questions import Questions
from hyperhive.services.quotas import Quotas
from hyperhive.services.recovery import Recovery
from hyperhive.services.recurring import Recurring
from hyperhive.services.reminders import Reminders
from hyperhive.services.sessions import Session, Sessions
from hyperhive.services.threads import Threads
from hyperhive.services.turns import Turns
from hyperhive.store import Store
from hyperhive.store.messages import Holder

THREE: Final = ("queen", "alice", "bob")
UNBOUND: Final = {"quotas": {"messagesPerMinute": 1_000_000, "broadcastsPerMinute": 1_000_000}}
"""What to add to a hive in which a test floods: agents that may send as much as they can."""
EPOCH: Final = 1_700_000_000.0
"""Where a `ManualClock` begins, in seconds since the epoch."""


class ManualClock:
    """A clock that moves when it is told to: call it for the seconds since the epoch."""

    def __init__(self, at: float = EPOCH) -> None:
        self.at = at
        self._passed = 0.0

    def __call__(self) -> float:
        return self.at

    def advance(self, seconds: float) -> None:
        """Let time pass; a negative number sets the clock back, as an administrator might."""
        self.at += seconds
        self._passed += max(0.0, seconds)

    def step(self, seconds: float) -> None:
        """Set the clock, either way, while no time passes."""
        self.at += seconds

    def ticks(self) -> float:
        """Give the seconds that have passed, whatever the clock was set to."""
        return self._passed


def an_agent(**settings: object) -> dict[str, object]:
    """Declare one agent as JSON has it; its driver is a program that does nothing."""
    return {"driver": {"kind": "command", "command": ["true"]}, **settings}


def a_hive(
    state_dir: Path,
    run_dir: Path,
    names: tuple[str, ...] = THREE,
    *,
    hive: Mapping[str, object] | None = None,
    **agents: Mapping[str, object],
) -> Hive:
    """Declare a hive of ``names``, the first its manager.

    A keyword adds settings to the agent of that name (``alice={"mayMessage": ["queen"]}``);
    ``hive`` adds keys to the declaration itself. The operator's port is any free one.
    """
    declared = {
        name: an_agent(
            role="manager" if name == names[0] else "worker", **dict(agents.pop(name, {}))
        )
        for name in names
    }
    assert not agents, f"no such agent in this hive: {', '.join(agents)}"
    document = {
        "stateDir": str(state_dir),
        "runDir": str(run_dir),
        "operator": {"port": 0},
        "agents": declared,
        **(hive or {}),
    }
    return parse(document, state_dir)


@asynccontextmanager
async def a_store(
    directory: Path, *, clock: Callable[[], float] | None = None, bus: Bus | None = None
) -> AsyncIterator[Store]:
    """Open the store in ``directory`` and close it at the end."""
    store = await Store.open(directory, bus or Bus(), clock=clock or ManualClock())
    try:
        yield store
    finally:
        await store.close()


@dataclass(slots=True)
class Desk:
    """The services of one hive, wired as the server wires them, without a surface."""

    hive: Hive
    clock: Callable[[], float]
    store: Store
    agents: Agents
    quotas: Quotas
    messages: Messages
    questions: Questions
    threads: Threads
    turns: Turns
    sessions: Sessions
    recovery: Recovery
    approvals: Approvals
    carrying: Carrying
    reminders: Reminders
    deliveries: Deliveries
    open_sessions: dict[str, Session] = field(default_factory=dict)

    async def send(self, sender: str, to: str, body: str = "hello", **options: Any) -> int:
        """Send one message and return its id."""
        answer = await self.messages.send(an_actor(sender), to, body, **options)
        return int(answer["id"])

    async def recv(
        self,
        agent: str,
        *,
        turn: int | None = None,
        count: int = 1,
        wait_seconds: float = 0.0,
        delivery: str | None = None,
        until: float | None = None,
        caller: Caller | None = None,
    ) -> list[dict[str, Any]]:
        """Receive as a client does: in a turn, or by hand with the lease that goes with it."""
        if turn is None and until is None:
            until = self.clock() + HAND_LEASE_SECONDS
        got = await self.messages.receive(
            agent,
            wait_seconds=wait_seconds,
            count=count,
            holder=Holder(turn, delivery, until),
            caller=caller or Caller(),
        )
        return list(got["messages"])

    async def hello(self, agent: str, session: str = "s1") -> Session:
        """Connect a harness."""
        self.open_sessions[agent] = await self.sessions.hello(agent, session)
        return self.open_sessions[agent]

    async def turn(self, agent: str, session: str = "s1", *, begin: bool = True) -> dict[str, Any]:
        """Have a harness take up the work that is there, which must be some."""
        if self.sessions.of(agent) is None:
            await self.hello(agent, session)
        offered = await self.turns.offer(agent, session, wait_seconds=0, caller=Caller())
        assert offered is not None, f"there is nothing for {agent} to do"
        if begin:
            await self.turns.begin(agent, session, offered["id"])
        return offered

    async def end(
        self,
        agent: str,
        turn: int,
        outcome: str = "ok",
        *,
        session: str = "s1",
        error: str | None = None,
    ) -> str:
        """Have a harness report the end of its turn."""
        return await self.turns.end(
            agent, session, turn, outcome=outcome, error=error, usage={}, tools={}
        )

    async def state(self, message: int) -> str:
        """Say which state a message is in."""
        return str((await self.messages.show(message))["state"])


def an_actor(name: str) -> Actor:
    """Name an actor: the operator, the system, or else an agent."""
    known = {actors.OPERATOR: actors.THE_OPERATOR, actors.SYSTEM: actors.THE_SYSTEM}
    return known.get(name) or actors.agent(name)


async def wired(store: Store, hive: Hive) -> Desk:
    """Put the services onto an open store and declare the hive in it, as a server's start does."""
    ticks = store.clock.ticks if isinstance(store.clock, ManualClock) else time.monotonic
    agents = Agents(store, hive)
    await agents.declare(hive)
    turns, sessions = Turns(store, agents), Sessions(store, agents, ticks)
    recovery = Recovery(store, agents, turns, sessions)
    quotas = Quotas(store, agents)
    messages = Messages(store, agents, quotas)
    questions = Questions(store, agents, quotas)
    approvals = Approvals(store, agents, quotas)
    approvals.executors[ApprovalKind.ACTION] = Consent()
    approvals.executors[ApprovalKind.RECURRING_REMINDER] = Recurring(store)
    reminders = Reminders(store, agents, quotas, approvals)
    sources = (
        questions,
        ApprovalThreads(approvals),
        reminders,
        MessageThreads(store, agents),
    )
    threads = Threads(store, agents, sources)
    carrying = Carrying(store, approvals)
    return Desk(
        hive=hive,
        clock=store.clock,
        store=store,
        agents=agents,
        quotas=quotas,
        messages=messages,
        questions=questions,
        threads=threads,
        turns=turns,
        sessions=sessions,
        recovery=recovery,
        approvals=approvals,
        carrying=carrying,
        reminders=reminders,
        deliveries=Deliveries(store, agents),
    )


@asynccontextmanager
async def a_desk(
    directory: Path,
    *,
    clock: Callable[[], float] | None = None,
    names: tuple[str, ...] = THREE,
    hive: Mapping[str, object] | None = None,
    **agents: Mapping[str, object],
) -> AsyncIterator[Desk]:
    """Run the hive that `a_hive` declares, without sockets."""
    declared = a_hive(directory, directory / "run", names, hive=hive, **agents)
    async with a_store(directory, clock=clock) as store:
        yield await wired(store, declared)

"""Restarting many agents in order: the manager first, told what is coming, then the others.

Pure: `advance` looks at how far a rollout is and at the agents as they stand, and says what to do
next. Its record is stored after each step, so that a rollout outlives the server, and looking
twice does nothing twice.

    draining ── nobody runs a turn, or the time is up ──▶ manager
    manager  ── it is ready, or its time is up ─────────▶ others, after the announcement
    others   ── all are ready or given up ──────────────▶ finished, after the digest
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

from hyperhive.domain.agents import CONNECTED, AgentState

_GIVEN_UP = frozenset({AgentState.STOPPED, AgentState.CRASHED})
"""What only the operator ends, so nobody waits for it: a hold, a crash loop."""


class Phase(StrEnum):
    """How far a rollout is."""

    DRAINING = "draining"
    MANAGER = "manager"
    OTHERS = "others"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class RolloutRules:
    """Its numbers; times in seconds."""

    drain_seconds: float = 60.0
    ready_seconds: float = 90.0
    at_once: int = 4


@dataclass(frozen=True, slots=True)
class Seen:
    """An agent as it stands: ``incarnation`` is its box's, ``turn`` what it runs."""

    state: AgentState
    incarnation: str | None
    turn: int | None = None


@dataclass(frozen=True, slots=True)
class Going:
    """An agent that is being restarted: which incarnation goes, and until when it may take."""

    incarnation: str | None
    deadline: float


@dataclass(frozen=True, slots=True)
class Rollout:
    """The record of a rollout.

    ``order`` are all its agents, the manager first if it is one of them; ``cut`` those whose turn
    was ended for it; ``failed`` says why.
    """

    id: int
    reason: str
    manager: str
    order: tuple[str, ...]
    deadline: float
    phase: Phase = Phase.DRAINING
    cut: tuple[str, ...] = ()
    going: Mapping[str, Going] = field(default_factory=dict)
    restarted: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def waiting(self) -> tuple[str, ...]:
        """Those whose restart has not begun, in order."""
        begun = {*self.going, *self.restarted, *self.failed}
        return tuple(name for name in self.order if name not in begun)


@dataclass(frozen=True, slots=True)
class Cut:
    """End this agent's turn; its messages come again and no attempt is counted."""

    name: str
    turn: int


@dataclass(frozen=True, slots=True)
class Replace:
    """Restart this agent's box."""

    name: str


@dataclass(frozen=True, slots=True)
class Back:
    """This agent is ready again (``failure`` empty) or has been given up."""

    name: str
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the manager what is coming, before anyone else starts."""


@dataclass(frozen=True, slots=True)
class Digest:
    """Tell the manager how it went; the rollout is over."""


Step = Cut | Replace | Back | Announce | Digest


def note(reason: str) -> str:
    """Word what an agent is told whose box was made anew, for whatever reason."""
    return f"You were restarted: {reason}. Your files and your session are intact."


def begin(
    number: int,
    reason: str,
    names: tuple[str, ...],
    manager: str,
    now: float,
    rules: RolloutRules,
) -> Rollout:
    """Order a rollout: the manager first, the others by name."""
    order = tuple(sorted(set(names), key=lambda name: (name != manager, name)))
    return Rollout(number, reason, manager, order, deadline=now + rules.drain_seconds)


def advance(
    rollout: Rollout, agents: Mapping[str, Seen], now: float, rules: RolloutRules
) -> tuple[Rollout, tuple[Step, ...]]:
    """Say what to do now, and how far the rollout is once that is done.

    Whoever runs it asks again until the record stays as it is.
    """
    match rollout.phase:
        case Phase.DRAINING:
            return _drain(rollout, agents, now)
        case Phase.MANAGER:
            return _manager(rollout, agents, now, rules)
        case Phase.OTHERS:
            return _others(rollout, agents, now, rules)
        case Phase.FINISHED:
            return rollout, ()
        case _:
            assert_never(rollout.phase)


def _drain(
    rollout: Rollout, agents: Mapping[str, Seen], now: float
) -> tuple[Rollout, tuple[Step, ...]]:
    running = [
        Cut(name, seen.turn)
        for name in rollout.order
        if (seen := agents.get(name)) is not None and seen.turn is not None
    ]
    if running and now < rollout.deadline:
        return rollout, ()
    cut = tuple(step.name for step in running)
    return replace(rollout, phase=Phase.MANAGER, cut=cut), tuple(running)


def _manager(
    rollout: Rollout, agents: Mapping[str, Seen], now: float, rules: RolloutRules
) -> tuple[Rollout, tuple[Step, ...]]:
    if rollout.manager in rollout.waiting:
        return _start(rollout, rollout.manager, agents, now, rules), (Replace(rollout.manager),)
    rollout, backs = _returned(rollout, agents, now)
    if rollout.manager in rollout.going:
        return rollout, ()
    return replace(rollout, phase=Phase.OTHERS), (*backs, Announce())


def _others(
    rollout: Rollout, agents: Mapping[str, Seen], now: float, rules: RolloutRules
) -> tuple[Rollout, tuple[Step, ...]]:
    rollout, steps = _returned(rollout, agents, now)
    for name in rollout.waiting[: max(0, rules.at_once - len(rollout.going))]:
        rollout = _start(rollout, name, agents, now, rules)
        steps = (*steps, Replace(name))
    if rollout.going or rollout.waiting:
        return rollout, steps
    return replace(rollout, phase=Phase.FINISHED), (*steps, Digest())


def _start(
    rollout: Rollout, name: str, agents: Mapping[str, Seen], now: float, rules: RolloutRules
) -> Rollout:
    seen = agents.get(name)
    going = Going(seen.incarnation if seen else None, now + rules.ready_seconds)
    return replace(rollout, going={**rollout.going, name: going})


def _returned(
    rollout: Rollout, agents: Mapping[str, Seen], now: float
) -> tuple[Rollout, tuple[Step, ...]]:
    """Note whose harness is there under a new incarnation, and give up whose time is over."""
    steps: list[Step] = []
    going = dict(rollout.going)
    restarted, failed = list(rollout.restarted), dict(rollout.failed)
    for name, each in rollout.going.items():
        seen = agents.get(name)
        is_new = seen is not None and seen.incarnation not in (None, each.incarnation)
        if is_new and seen is not None and seen.state in CONNECTED:
            restarted.append(name)
            steps.append(Back(name))
        elif seen is None or seen.state in _GIVEN_UP or now >= each.deadline:
            failed[name] = _failure(seen)
            steps.append(Back(name, failed[name]))
        else:
            continue
        del going[name]
    rollout = replace(rollout, going=going, restarted=tuple(restarted), failed=failed)
    return rollout, tuple(steps)


def _failure(seen: Seen | None) -> str:
    if seen is None:
        return "it is no longer declared"
    if seen.state in _GIVEN_UP:
        return f"it is {seen.state.value} until it is started again"
    return f"it was not ready in time; it is {seen.state.value}"

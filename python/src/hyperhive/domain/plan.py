"""What separates the declared world from the observed one, as actions, and what to call the rest.

Pure: building a plan reads no clock and no file and changes nothing, so every rule about *what
should happen* is testable without a runtime. Doing what a plan says and planning again gives an
empty plan; a plan is never about how the world came to be as it is, so a lost trigger costs
nothing but time.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hyperhive.domain.actors import Role
from hyperhive.domain.agents import AgentState
from hyperhive.domain.backoff import delay_seconds, is_crash_loop, wait_seconds
from hyperhive.domain.instances import BoxSpec, Instance, Phase, Recorded

NOTHING_RECORDED: Final = Recorded()
CHANGED: Final = "its declaration changed"
"""Why a box is restarted that runs from another declaration than the present one."""


@dataclass(frozen=True, slots=True)
class Start:
    """Make the box anew and run it."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the box and clear away what it left."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Restart:
    """Stop the box, then start it as it is declared now."""

    name: str
    reason: str


Action = Start | Stop | Restart


def shown(action: Action) -> dict[str, str]:
    """Give the shape that the operator sees."""
    verb = type(action).__name__.lower()
    return {"action": verb, "agent": action.name, "reason": action.reason}


@dataclass(frozen=True, slots=True)
class Standing:
    """How an agent stands whose box does not run and is not to be started now."""

    state: AgentState
    reason: str


_UNDECLARED: Final = Standing(AgentState.STOPPED, "it is not declared, or not enabled")
_HELD: Final = Standing(AgentState.STOPPED, "the operator holds it")
_WAITS: Final = Standing(AgentState.STARTING, "it waits for its turn in a restart")


def plan(
    declared: Mapping[str, BoxSpec],
    recorded: Mapping[str, Recorded],
    observed: Mapping[str, Instance],
    *,
    now: float,
) -> tuple[Action, ...]:
    """Order the actions that turn ``observed`` into ``declared``.

    ``declared`` holds only what is enabled. What the operator holds, what waits for its turn in a
    restart, what backs off from a crash (judged at ``now``) and what is in a crash loop is not
    started. Stops come first: a box must
    release what its successor needs. Then the manager, so that it can coordinate the others.
    """
    stops: list[Action] = []
    starts: list[Action] = []
    for name in sorted({*declared, *observed}):
        memory = recorded.get(name, NOTHING_RECORDED)
        action = _decide(name, declared.get(name), memory, observed.get(name), now)
        if isinstance(action, Stop):
            stops.append(action)
        elif action is not None:
            starts.append(action)
    starts.sort(key=lambda action: (declared[action.name].role is not Role.MANAGER, action.name))
    return (*stops, *starts)


def standings(
    declared: Mapping[str, BoxSpec],
    recorded: Mapping[str, Recorded],
    observed: Mapping[str, Instance],
    *,
    now: float,
) -> dict[str, Standing]:
    """Say why each agent that does not run is not started, by name.

    An agent that runs, or that the plan starts, is not in it: its state is its harness's to tell.
    """
    found: dict[str, Standing] = {}
    for name in sorted({*declared, *recorded, *observed}):
        instance = observed.get(name)
        if instance is not None and instance.phase is Phase.RUNNING:
            continue
        memory = recorded.get(name, NOTHING_RECORDED)
        obstacle = _obstacle(declared.get(name), memory, now)
        if obstacle is not None:
            found[name] = obstacle
    return found


def lost(
    declared: Mapping[str, BoxSpec],
    recorded: Mapping[str, Recorded],
    observed: Mapping[str, Instance],
) -> tuple[str, ...]:
    """Name the agents that ran when a server last looked and whose boxes are gone since, by name.

    A box whose end was seen, a crash or a stop, is not lost.
    """
    return tuple(
        name
        for name, memory in sorted(recorded.items())
        if name in declared
        and memory.incarnation is not None
        and not memory.held
        and memory.state is not AgentState.STOPPED
        and (name not in observed or observed[name].phase is Phase.STOPPED)
    )


def next_due_seconds(
    declared: Mapping[str, BoxSpec], recorded: Mapping[str, Recorded], *, now: float
) -> float:
    """Say in how many seconds time alone makes another plan; infinity when it never does."""
    waits = (
        wait_seconds(_times(recorded[name]), now, spec.restart)
        for name, spec in declared.items()
        if name in recorded and not recorded[name].held
    )
    return min((wait for wait in waits if wait > 0), default=math.inf)


def _decide(
    name: str, spec: BoxSpec | None, memory: Recorded, instance: Instance | None, now: float
) -> Action | None:
    if instance is not None and instance.phase is Phase.RUNNING:
        return _decide_running(name, spec, memory, instance)
    if _obstacle(spec, memory, now) is None:
        crashed = f"it ended; its wait after {_count(memory)} is over"
        return Start(name, crashed if memory.crashes else "it is declared and does not run")
    if instance is not None:
        return Stop(name, "it ended; what it left is cleared away")
    return None


def _decide_running(
    name: str, spec: BoxSpec | None, memory: Recorded, instance: Instance
) -> Action | None:
    if spec is None:
        return Stop(name, _UNDECLARED.reason)
    if memory.held:
        return Stop(name, _HELD.reason)
    for crash in memory.crashes:
        if crash.incarnation == instance.incarnation:
            # Nothing works in it any more, so it has crashed as much as one that has ended.
            return Stop(name, crash.reason)
    if memory.replace is not None and memory.replace.incarnation == instance.incarnation:
        return Restart(name, memory.replace.reason)
    if instance.digest != spec.digest:
        return Restart(name, CHANGED)
    return None


def _obstacle(spec: BoxSpec | None, memory: Recorded, now: float) -> Standing | None:
    if spec is None:
        return _UNDECLARED
    if memory.held:
        return _HELD
    if memory.waits:
        return _WAITS
    times = _times(memory)
    if is_crash_loop(times, spec.restart):
        return Standing(
            AgentState.CRASHED,
            f"{memory.crashes[-1].reason}; after {_count(memory)} it waits for the operator",
        )
    if wait_seconds(times, now, spec.restart) > 0:
        delay = delay_seconds(len(times), spec.restart)
        return Standing(
            AgentState.BACKING_OFF,
            f"{memory.crashes[-1].reason}; after {_count(memory)} it waits {delay:g} s",
        )
    return None


def _times(memory: Recorded) -> tuple[float, ...]:
    return tuple(crash.at for crash in memory.crashes)


def _count(memory: Recorded) -> str:
    return "a crash" if len(memory.crashes) == 1 else f"{len(memory.crashes)} crashes"

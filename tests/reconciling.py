"""What a reconciler needs, in memory: boxes that wait at gates, and time that passes when told."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hyperhive.domain.actors import Role
from hyperhive.domain.agents import AgentState
from hyperhive.domain.errors import UnavailableError
from hyperhive.domain.instances import BoxSpec, Crash, Instance, Phase, Recorded
from hyperhive.domain.plan import Action
from hyperhive.reconcile.loop import Reconciler
from hyperhive.runtimes.clocks import ManualClock
from hyperhive.runtimes.memory import MemoryRuntime

ROLES = {"queen": Role.MANAGER}


class MemoryConditions:
    """What is recorded, without a database; ``shown`` lists every state in order."""

    def __init__(self) -> None:
        self.agents: dict[str, Recorded] = {}
        self.shown: list[tuple[str, AgentState]] = []
        self.plans: list[list[tuple[str, str]]] = []
        self.faulty: set[str] = set()

    async def recorded(self) -> Mapping[str, Recorded]:
        return dict(self.agents)

    async def set_state(self, agent: str, state: AgentState, reason: str) -> None:
        if agent in self.agents:
            self.agents[agent] = replace(self.agents[agent], state=state, reason=reason)
            self.shown.append((agent, state))

    async def record_crash(self, agent: str, crash: Crash) -> None:
        if agent in self.faulty:
            raise UnavailableError("The disk is full.")
        known = self.agents[agent].crashes
        if crash.incarnation not in {one.incarnation for one in known}:
            self.agents[agent] = replace(self.agents[agent], crashes=(*known, crash))

    async def clear_crashes(self, agent: str) -> None:
        self.agents[agent] = replace(self.agents[agent], crashes=())

    async def note_incarnation(self, agent: str, incarnation: str | None) -> None:
        known = self.agents[agent]
        wish = known.replace
        kept = wish if wish is not None and wish.incarnation == incarnation else None
        self.agents[agent] = replace(known, incarnation=incarnation, replace=kept)

    async def note_plan(self, actions: Sequence[Action]) -> None:
        plan = [(type(action).__name__, action.name) for action in actions]
        if not self.plans or self.plans[-1] != plan:
            self.plans.append(plan)

    def hold(self, agent: str) -> None:
        self.agents[agent] = replace(self.agents[agent], held=True)


class GatedRuntime(MemoryRuntime):
    """Holds starts and stops of some agents up until they are let go, and counts them."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.gates: dict[str, asyncio.Event] = {}
        self.under_way: set[str] = set()
        self.most_under_way = 0
        self.at_look: Callable[[], None] | None = None
        """Happens once, while what runs is being looked at."""

    async def observe(self) -> Mapping[str, Instance]:
        seen = await super().observe()
        if self.at_look is not None:
            self.at_look()
            self.at_look = None
        return seen

    async def start(self, spec: BoxSpec) -> None:
        await self._pass_gate(spec.name)
        await super().start(spec)

    async def stop(self, name: str, grace_seconds: float) -> None:
        await self._pass_gate(name)
        await super().stop(name, grace_seconds)

    async def _pass_gate(self, name: str) -> None:
        self.under_way.add(name)
        self.most_under_way = max(self.most_under_way, len(self.under_way))
        if name in self.gates:
            await self.gates[name].wait()
        self.under_way.discard(name)


class World:
    """A declared hive with everything the reconciler needs, and what became of it."""

    def __init__(self, *names: str) -> None:
        self.clock = ManualClock()
        self.runtime = GatedRuntime(self.clock)
        self.conditions = MemoryConditions()
        self.declared: dict[str, BoxSpec] = {}
        for name in names:
            self.declare(name)
        self.reconciler = self.new_server()

    def new_server(self) -> Reconciler:
        return Reconciler(self.runtime, self.conditions, lambda: self.declared, self.clock)

    def declare(self, name: str, argument: str = "run") -> None:
        self.declared[name] = BoxSpec(
            name, ROLES.get(name, Role.WORKER), ("harness", argument), Path("/s"), Path("/r")
        )
        self.conditions.agents.setdefault(name, Recorded())

    async def box(self, name: str) -> Instance | None:
        return (await self.runtime.observe()).get(name)

    async def runs(self, name: str) -> bool:
        box = await self.box(name)
        return box is not None and box.phase is Phase.RUNNING

    def state(self, name: str) -> AgentState | None:
        return self.conditions.agents[name].state

    async def crash(self, name: str, exit_status: int | None = 1) -> None:
        """Let the box end by itself, and the reconciler see it."""
        self.runtime.end(name, exit_status)
        await self.reconciler.pass_once()


async def until(world: World, name: str) -> None:
    """Wait until an agent's box runs, for as many turns of the event loop as are plenty."""
    for _ in range(1000):
        if await world.runs(name):
            world.reconciler.wake(name)
            return
        await asyncio.sleep(0)
    pytest.fail(f"{name} does not run")


async def settled() -> None:
    """Let everything happen that can happen without time passing."""
    for _ in range(100):
        await asyncio.sleep(0)

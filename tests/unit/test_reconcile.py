"""The reconciler over a runtime in memory, with time that passes when told."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hyperhive.domain.actors import Role
from hyperhive.domain.agents import AgentState
from hyperhive.domain.errors import UnavailableError
from hyperhive.domain.instances import BoxSpec, Crash, Instance, Phase, Recorded, Replacement
from hyperhive.domain.plan import Action, Start
from hyperhive.reconcile.loop import LOOK_SECONDS, Reconciler
from hyperhive.runtimes.clocks import ManualClock
from hyperhive.runtimes.memory import MemoryRuntime

pytestmark = pytest.mark.anyio

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


async def test_what_is_being_done_is_shown_until_it_is_done() -> None:
    world = World("alice", "queen")

    await world.reconciler.pass_once()
    await world.reconciler.pass_once()

    begun = [("Start", "alice"), ("Start", "queen")]
    assert world.conditions.plans == [begun, []]


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


async def test_one_pass_starts_what_is_declared() -> None:
    world = World("queen", "alice")
    await world.reconciler.pass_once()
    assert await world.runs("queen")
    assert await world.runs("alice")


async def test_a_second_pass_does_nothing() -> None:
    world = World("queen", "alice")
    await world.reconciler.pass_once()
    assert await world.reconciler.pass_once() == ()


async def test_a_start_shows_starting_and_never_more() -> None:
    world = World("alice")
    await world.reconciler.pass_once()
    assert world.conditions.shown == [("alice", AgentState.STARTING)]


async def test_the_state_that_a_harness_told_is_left_alone_while_its_box_runs() -> None:
    world = World("alice")
    await world.reconciler.pass_once()
    await world.conditions.set_state("alice", AgentState.BUSY, "it works")
    await world.reconciler.pass_once()
    assert world.state("alice") is AgentState.BUSY


async def test_the_manager_is_started_before_anyone_else() -> None:
    world = World("alice", "bob", "queen")
    await world.reconciler.pass_once()
    assert world.runtime.calls[0] == ("start", "queen")


async def test_the_others_wait_for_the_manager_to_be_started() -> None:
    world = World("alice", "queen")
    gate = world.runtime.gates["queen"] = asyncio.Event()
    one_pass = asyncio.create_task(world.reconciler.pass_once())
    await settled()
    assert world.runtime.under_way == {"queen"}
    gate.set()
    await one_pass
    assert await world.runs("alice")


async def test_a_manager_that_cannot_be_started_keeps_nobody_from_starting() -> None:
    world = World("alice", "queen")
    world.runtime.refuse("queen", "no such program")
    await world.reconciler.pass_once()
    assert await world.runs("alice")


async def test_at_most_four_agents_start_at_a_time() -> None:
    names = [f"agent-{n}" for n in range(9)]
    world = World(*names)
    gate = asyncio.Event()
    world.runtime.gates = dict.fromkeys(names, gate)
    one_pass = asyncio.create_task(world.reconciler.pass_once())
    await settled()
    assert len(world.runtime.under_way) == 4
    gate.set()
    await one_pass
    assert world.runtime.most_under_way == 4
    assert all([await world.runs(name) for name in names])


async def test_a_held_agent_is_stopped_and_stands_as_stopped() -> None:
    world = World("alice")
    await world.reconciler.pass_once()
    world.conditions.hold("alice")
    await world.reconciler.pass_once()
    await world.reconciler.pass_once()
    assert not await world.runs("alice")
    assert world.conditions.shown[1:] == [
        ("alice", AgentState.STOPPING),
        ("alice", AgentState.STOPPED),
    ]


async def test_an_agent_that_is_no_longer_declared_is_stopped() -> None:
    world = World("alice")
    await world.reconciler.pass_once()
    del world.declared["alice"]
    await world.reconciler.pass_once()
    assert await world.box("alice") is None


async def test_an_agent_whose_declaration_changed_runs_anew_as_declared() -> None:
    world = World("alice")
    await world.reconciler.pass_once()
    world.declare("alice", "otherwise")
    await world.reconciler.pass_once()
    box = await world.box("alice")
    assert box is not None
    assert box.digest == world.declared["alice"].digest


async def test_a_change_that_comes_during_a_look_is_in_the_box_that_is_asked_for_with_it() -> None:
    world = World("alice")
    await world.reconciler.pass_once()
    await world.reconciler.pass_once()
    box = await world.box("alice")
    assert box is not None

    def change() -> None:
        world.declare("alice", "changed")
        wish = Replacement(box.incarnation, "it was changed")
        known = world.conditions.agents["alice"]
        world.conditions.agents["alice"] = replace(known, replace=wish)

    world.runtime.at_look = change
    await world.reconciler.pass_once()

    made = await world.box("alice")
    assert made is not None
    assert made.incarnation != box.incarnation
    assert made.digest == world.declared["alice"].digest


async def test_it_is_known_whether_a_box_was_made_from_what_is_declared_now() -> None:
    world = World("alice")
    is_so = world.reconciler.runs_as_declared
    assert not is_so("alice", "unseen")
    await world.reconciler.pass_once()
    await world.reconciler.pass_once()
    box = await world.box("alice")
    assert box is not None

    assert is_so("alice", box.incarnation)
    assert not is_so("alice", "another")
    world.declare("alice", "changed")
    assert not is_so("alice", box.incarnation)


async def test_a_change_of_declaration_is_left_to_whoever_restarts_in_order() -> None:
    world = World("queen", "alice")
    await world.reconciler.pass_once()
    before = await world.box("alice")
    told: list[tuple[str, ...]] = []

    async def note(names: tuple[str, ...]) -> None:
        told.append(names)

    in_order = Reconciler(
        world.runtime, world.conditions, lambda: world.declared, world.clock, in_order=note
    )
    world.declare("alice", "another")
    await in_order.pass_once()
    await in_order.pass_once()

    assert told == [("alice",), ("alice",)]
    assert await world.box("alice") == before


async def test_boxes_that_are_gone_when_a_server_begins_are_left_to_whoever_starts_in_order() -> (
    None
):
    world = World("queen", "alice")
    await world.reconciler.pass_once()
    await world.reconciler.pass_once()
    for name in ("queen", "alice"):
        await world.conditions.set_state(name, AgentState.READY, "")
        await world.runtime.stop(name, 0)
    told: list[tuple[str, ...]] = []

    async def note(names: tuple[str, ...]) -> None:
        told.append(names)
        world.conditions.agents["alice"] = replace(world.conditions.agents["alice"], waits=True)

    server = Reconciler(
        world.runtime, world.conditions, lambda: world.declared, world.clock, again=note
    )
    running = asyncio.create_task(server.run())
    await until(world, "queen")
    await settled()
    assert not await world.runs("alice")
    assert world.state("alice") is AgentState.STARTING

    world.conditions.agents["alice"] = replace(world.conditions.agents["alice"], waits=False)
    server.wake("alice")
    await until(world, "alice")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert told == [("alice", "queen")]


async def test_a_crash_backs_off_with_its_reason() -> None:
    world = World("alice")
    await world.reconciler.pass_once()
    await world.crash("alice", -9)
    assert world.state("alice") is AgentState.BACKING_OFF
    assert world.conditions.agents["alice"].reason == (
        "it was killed by SIGKILL; after a crash it waits 5 s"
    )


async def test_what_a_crash_left_is_cleared_at_once() -> None:
    world = World("alice")
    await world.reconciler.pass_once()
    await world.crash("alice")
    assert await world.box("alice") is None


async def test_an_agent_that_crashed_starts_again_when_its_wait_is_over() -> None:
    world = World("alice")
    await world.reconciler.pass_once()
    await world.crash("alice")
    world.clock.advance(5)
    await world.reconciler.pass_once()
    assert await world.runs("alice")


async def test_a_new_server_waits_as_long_as_the_old_one_would_have() -> None:
    world = World("alice")
    await world.reconciler.pass_once()
    await world.crash("alice")
    world.clock.advance(4)
    await world.new_server().pass_once()
    assert not await world.runs("alice")


async def test_one_crash_is_recorded_once_however_often_it_is_seen() -> None:
    world = World("alice")
    await world.reconciler.pass_once()
    world.runtime.end("alice", 1)
    seen = (await world.runtime.observe())["alice"]
    await world.conditions.record_crash("alice", Crash(0.0, seen.incarnation, "seen before"))
    await world.reconciler.pass_once()
    assert len(world.conditions.agents["alice"].crashes) == 1


async def test_five_crashes_in_a_row_are_a_crash_loop_that_waits_for_the_operator() -> None:
    world = World("alice")
    for _ in range(5):
        await world.reconciler.pass_once()
        await world.crash("alice")
        world.clock.advance(100)
    await world.reconciler.pass_once()
    assert world.state("alice") is AgentState.CRASHED
    assert not await world.runs("alice")


async def test_an_agent_whose_crashes_the_operator_cleared_starts_at_once() -> None:
    world = World("alice")
    for _ in range(5):
        await world.reconciler.pass_once()
        await world.crash("alice")
        world.clock.advance(100)
    await world.conditions.clear_crashes("alice")
    await world.reconciler.pass_once()
    assert await world.runs("alice")


async def test_a_healthy_run_makes_earlier_crashes_forgotten() -> None:
    world = World("alice")
    await world.reconciler.pass_once()
    await world.crash("alice")
    world.clock.advance(5)
    await world.reconciler.pass_once()
    world.clock.advance(600)
    await world.reconciler.pass_once()
    assert world.conditions.agents["alice"].crashes == ()


async def test_a_box_that_stalled_after_a_healthy_run_is_ended_and_waits_as_after_any_crash() -> (
    None
):
    world = World("alice")
    await world.reconciler.pass_once()
    world.clock.advance(3600)
    box = await world.box("alice")
    assert box is not None
    crash = Crash(world.clock.now(), box.incarnation, "it had stalled")
    await world.conditions.record_crash("alice", crash)

    await world.reconciler.pass_once()
    assert not await world.runs("alice")
    await world.reconciler.pass_once()
    assert world.state("alice") is AgentState.BACKING_OFF
    world.clock.advance(5)
    await world.reconciler.pass_once()

    assert await world.runs("alice")
    assert len(world.conditions.agents["alice"].crashes) == 1


async def test_a_crash_after_a_healthy_run_counts_as_the_first() -> None:
    world = World("alice")
    await world.reconciler.pass_once()
    await world.crash("alice")
    world.clock.advance(5)
    await world.reconciler.pass_once()
    world.clock.advance(600)
    await world.crash("alice")
    assert len(world.conditions.agents["alice"].crashes) == 1


async def test_a_start_that_fails_backs_off_with_the_reason() -> None:
    world = World("alice")
    world.runtime.refuse("alice", "no such program")
    await world.reconciler.pass_once()
    await world.reconciler.pass_once()
    assert world.state("alice") is AgentState.BACKING_OFF
    assert "no such program" in (world.conditions.agents["alice"].reason or "")


async def test_a_start_that_fails_keeps_no_other_agent_from_starting() -> None:
    world = World("alice", "bob")
    world.runtime.refuse("alice", "no such program")
    await world.reconciler.pass_once()
    assert await world.runs("bob")


async def test_an_agent_whose_crash_cannot_be_recorded_is_not_started() -> None:
    world = World("alice", "bob")
    await world.reconciler.pass_once()
    world.conditions.faulty.add("alice")
    world.runtime.end("bob", 1)
    await world.crash("alice")
    assert not await world.runs("alice")
    assert world.state("bob") is AgentState.BACKING_OFF


async def test_a_restart_replaces_the_box_that_runs_exactly_once() -> None:
    world = World("alice")
    await world.reconciler.pass_once()
    before = await world.box("alice")
    world.reconciler.restart("alice", "the operator asked for it")
    await world.reconciler.pass_once()
    after = await world.box("alice")
    assert before is not None
    assert after is not None
    assert before.incarnation != after.incarnation
    assert await world.reconciler.pass_once() == ()


async def test_a_restart_starts_nothing_that_is_held() -> None:
    world = World("alice")
    world.conditions.hold("alice")
    world.reconciler.restart("alice", "the operator asked for it")
    await world.reconciler.pass_once()
    assert not await world.runs("alice")


async def test_a_preview_says_what_a_pass_would_do_and_does_nothing() -> None:
    world = World("alice")
    assert await world.reconciler.preview() == (Start("alice", "it is declared and does not run"),)
    assert world.runtime.calls == []


async def test_stopping_everything_leaves_nothing_running() -> None:
    world = World("queen", "alice")
    await world.reconciler.pass_once()
    await world.reconciler.stop_all("the hive stops")
    assert await world.runtime.observe() == {}
    assert world.state("alice") is AgentState.STOPPED


@pytest.fixture
def running() -> World:
    """A world whose reconciler has not begun; tests run it as a task of their own."""
    return World("queen", "alice", "bob")


async def run_until_settled(world: World) -> asyncio.Task[None]:
    task = asyncio.create_task(world.reconciler.run())
    for name in world.declared:
        await until(world, name)
    await settled()
    return task


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_loop_restarts_a_crashed_agent_when_its_wait_is_over(running: World) -> None:
    task = await run_until_settled(running)
    running.runtime.end("alice", 1)
    await settled()
    assert running.state("alice") is AgentState.BACKING_OFF
    running.clock.advance(5)
    await until(running, "alice")
    await ended(task)


async def test_the_loop_acts_on_a_wake_up_without_time_passing(running: World) -> None:
    task = await run_until_settled(running)
    running.conditions.hold("alice")
    running.reconciler.wake("alice")
    await settled()
    assert not await running.runs("alice")
    await ended(task)


async def test_a_lost_wake_up_costs_one_interval_and_no_more(running: World) -> None:
    task = await run_until_settled(running)
    running.conditions.hold("alice")
    await settled()
    running.clock.advance(LOOK_SECONDS)
    await settled()
    assert not await running.runs("alice")
    await ended(task)


async def test_an_agent_that_hangs_in_its_stop_holds_up_nobody_in_later_passes(
    running: World,
) -> None:
    task = await run_until_settled(running)
    running.runtime.gates["alice"] = asyncio.Event()
    running.conditions.hold("alice")
    running.reconciler.wake("alice")
    await settled()
    assert running.runtime.under_way == {"alice"}
    running.runtime.end("bob", 1)
    await settled()
    running.clock.advance(5)
    await until(running, "bob")
    await ended(task)


async def test_the_loop_outlives_a_store_that_fails(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await run_until_settled(running)

    async def fail() -> Mapping[str, Recorded]:
        raise UnavailableError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(running.conditions, "recorded", fail)
        running.reconciler.wake()
        await settled()
    running.conditions.hold("alice")
    running.clock.advance(LOOK_SECONDS)
    await settled()
    assert not await running.runs("alice")
    await ended(task)


async def test_an_idle_loop_looks_only_once_an_interval(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await run_until_settled(running)
    looks = 0
    observe = running.runtime.observe

    async def counted() -> Mapping[str, Instance]:
        nonlocal looks
        looks += 1
        return await observe()

    monkeypatch.setattr(running.runtime, "observe", counted)
    for _ in range(3):
        running.clock.advance(LOOK_SECONDS)
        await settled()
    assert looks == 3
    await ended(task)

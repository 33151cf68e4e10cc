"""The reconciler makes what runs what is declared: order, changes, holds, restarts."""

import asyncio
from dataclasses import replace

import pytest

from hyperhive.domain.agents import AgentState
from hyperhive.domain.instances import Replacement
from hyperhive.domain.plan import Start
from hyperhive.reconcile.loop import Reconciler
from tests.reconciling import World, settled, until

pytestmark = pytest.mark.anyio


async def test_what_is_being_done_is_shown_until_it_is_done() -> None:
    world = World("alice", "queen")

    await world.reconciler.pass_once()
    await world.reconciler.pass_once()

    begun = [("Start", "alice"), ("Start", "queen")]
    assert world.conditions.plans == [begun, []]


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

"""The reconciler and boxes that end by themselves or cannot be started: waits, loops, memory."""

import pytest

from hyperhive.domain.agents import AgentState
from hyperhive.domain.instances import Crash
from tests.reconciling import World

pytestmark = pytest.mark.anyio


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

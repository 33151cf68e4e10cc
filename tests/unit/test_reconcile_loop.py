"""The reconciler as it runs for ever: wake-ups, lost ones, errors, and rest."""

import asyncio
from collections.abc import Mapping

import pytest

from hyperhive.domain.agents import AgentState
from hyperhive.domain.errors import UnavailableError
from hyperhive.domain.instances import Instance, Recorded
from hyperhive.reconcile.loop import LOOK_SECONDS
from tests.reconciling import World, settled, until

pytestmark = pytest.mark.anyio


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

"""Agents that are there and do nothing are found, whichever way they stopped."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.agents import AgentState
from hyperhive.services.callers import Caller
from hyperhive.services.conditions import RecordedConditions
from hyperhive.services.control import Control
from hyperhive.services.restarts import Restarts
from hyperhive.services.stalls import Stalls
from hyperhive.store import alerts
from tests.builders import Desk, ManualClock, a_desk

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def desk(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Desk]:
    """A hive in which the boxes of queen and alice run."""
    async with a_desk(tmp_path, clock=clock) as made:
        conditions = RecordedConditions(made.store, made.agents)
        for name in ("queen", "alice"):
            await conditions.note_incarnation(name, f"{name}-1")
        yield made


@pytest.fixture
def stalls(desk: Desk) -> Stalls:
    return Stalls(desk.store, desk.agents, desk.sessions, desk.turns)


def heard(desk: Desk, *names: str) -> None:
    for name in names:
        desk.sessions.heard(name, "s1")


async def is_to_be_replaced(desk: Desk, name: str = "alice") -> bool:
    recorded = await RecordedConditions(desk.store, desk.agents).recorded()
    return recorded[name].replace is not None


async def test_a_loop_that_is_silent_is_found_said_and_its_box_made_anew(
    desk: Desk, stalls: Stalls, clock: ManualClock
) -> None:
    for name in ("queen", "alice"):
        await desk.hello(name)
    clock.advance(60)
    assert await stalls.look() == {}
    heard(desk, "queen")
    clock.advance(1)

    assert set(await stalls.look()) == {"alice"}

    assert await is_to_be_replaced(desk)
    standing = await desk.store.read(alerts.standing)
    assert [(each["key"], each["severity"]) for each in standing] == [("stalled:alice", "error")]


async def test_a_loop_that_is_silent_in_the_middle_of_a_turn_is_found(
    desk: Desk, stalls: Stalls, clock: ManualClock
) -> None:
    await desk.send("queen", "alice")
    await desk.turn("alice")
    clock.advance(61)

    assert set(await stalls.look()) == {"alice"}


async def test_a_harness_that_never_says_hello_is_found(
    desk: Desk, stalls: Stalls, clock: ManualClock
) -> None:
    await desk.agents.set_state("alice", AgentState.STARTING)
    clock.advance(90)
    assert await stalls.look() == {}
    clock.advance(1)

    assert set(await stalls.look()) == {"alice"}


async def test_the_time_in_which_there_was_no_server_counts_for_no_hello(
    desk: Desk, clock: ManualClock
) -> None:
    await desk.agents.set_state("alice", AgentState.STARTING)
    clock.advance(3600)
    after = Stalls(desk.store, desk.agents, desk.sessions, desk.turns)
    assert await after.look() == {}
    clock.advance(91)

    assert set(await after.look()) == {"alice"}


async def test_an_agent_that_lives_and_leaves_its_work_is_found(
    desk: Desk, stalls: Stalls, clock: ManualClock
) -> None:
    await desk.hello("alice")
    await desk.send("queen", "alice")
    found = []
    for _ in range(7):
        heard(desk, "alice")
        found.append(set(await stalls.look()))
        clock.advance(10)

    assert found == [set()] * 6 + [{"alice"}]


async def test_an_agent_that_waits_for_work_or_has_none_has_not_stalled(
    desk: Desk, stalls: Stalls, clock: ManualClock
) -> None:
    for name in ("queen", "alice"):
        await desk.hello(name)
    asked = desk.turns.offer("alice", "s1", wait_seconds=60, caller=Caller())
    waiting = asyncio.create_task(asked)
    while not desk.turns.is_awaited_by("alice"):  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0)
    for _ in range(20):
        clock.advance(10)
        heard(desk, "queen", "alice")
        assert await stalls.look() == {}
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_work_that_waits_for_the_end_of_a_pause_is_nobodys_fault(
    desk: Desk, stalls: Stalls, clock: ManualClock
) -> None:
    control = Control(desk.store, desk.agents, desk.sessions)
    await desk.hello("alice")
    await desk.send("queen", "alice")
    for whom in ("alice", None):
        await control.pause(THE_OPERATOR, whom, via="test")
        for _ in range(10):
            clock.advance(10)
            heard(desk, "alice")
            assert await stalls.look() == {}
        await control.resume(THE_OPERATOR, whom, via="test")


async def test_nobody_is_found_while_a_restart_is_under_way(
    desk: Desk, stalls: Stalls, clock: ManualClock
) -> None:
    await desk.hello("alice")
    restarts = Restarts(desk.store, desk.agents, desk.sessions)
    await restarts.begin(THE_OPERATOR, None, "a rebuild", via="test")
    clock.advance(1000)

    assert await stalls.look() == {}


async def test_who_is_being_replaced_is_not_found_again(
    desk: Desk, stalls: Stalls, clock: ManualClock
) -> None:
    await desk.hello("alice")
    clock.advance(61)
    await stalls.look()
    clock.advance(61)

    assert await stalls.look() == {}


async def test_an_agent_whose_box_does_not_run_has_not_stalled(
    desk: Desk, stalls: Stalls, clock: ManualClock
) -> None:
    await desk.agents.set_state("bob", AgentState.STARTING)
    clock.advance(1000)

    assert await stalls.look() == {}


async def test_the_messages_of_a_stalled_agent_come_again_and_its_alert_ends_with_good_work(
    desk: Desk, stalls: Stalls, clock: ManualClock
) -> None:
    number = await desk.send("queen", "alice")
    await desk.turn("alice")
    clock.advance(61)
    await stalls.look()
    await desk.sessions.goodbye(desk.open_sessions["alice"])
    conditions = RecordedConditions(desk.store, desk.agents)
    await conditions.note_incarnation("alice", "alice-2")
    await desk.hello("alice", "s2")
    clock.advance(60)

    again = await desk.turn("alice", "s2")
    await desk.end("alice", again["id"], session="s2")

    assert [each["id"] for each in again["messages"]] == [number]
    assert await desk.store.read(alerts.standing) == []
    assert not await is_to_be_replaced(desk)

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
from hyperhive.services.recovery import Recovery
from hyperhive.services.restarts import Restarts
from hyperhive.services.sessions import Sessions
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


async def crashed(desk: Desk, name: str = "alice") -> list[str]:
    """Name the boxes of an agent that have crashed: whichever of them runs is ended for that."""
    recorded = await RecordedConditions(desk.store, desk.agents).recorded()
    return [crash.incarnation for crash in recorded[name].crashes]


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

    assert await crashed(desk) == ["alice-1"]
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
    await desk.hello("queen")
    assert await stalls.look() == {}
    clock.advance(90)
    heard(desk, "queen")
    assert await stalls.look() == {}
    clock.advance(1)

    assert set(await stalls.look()) == {"alice"}


async def test_a_box_has_its_own_time_to_say_hello(
    desk: Desk, stalls: Stalls, clock: ManualClock
) -> None:
    await desk.hello("queen")
    await stalls.look()
    clock.advance(80)
    heard(desk, "queen")
    await RecordedConditions(desk.store, desk.agents).note_incarnation("alice", "alice-2")
    await stalls.look()
    clock.advance(20)

    assert await stalls.look() == {}


@pytest.mark.parametrize("state", ["rate_limited", "needs_login", "ready", "draining", "stopping"])
async def test_a_loop_that_hangs_over_a_restart_of_the_server_is_found_whatever_its_agent_was(
    desk: Desk, clock: ManualClock, state: str
) -> None:
    await desk.agents.set_state("alice", AgentState(state), "as the last server left it")
    sessions = Sessions(desk.store, desk.agents, clock.ticks)
    await Recovery(desk.store, desk.agents, desk.turns, sessions).begin()
    after = Stalls(desk.store, desk.agents, sessions, desk.turns)
    await sessions.hello("queen", "s1")
    await after.look()
    clock.advance(91)
    sessions.heard("queen", "s1")

    assert set(await after.look()) == {"alice"}


async def test_the_time_in_which_there_was_no_server_counts_for_no_hello(
    desk: Desk, clock: ManualClock
) -> None:
    await desk.agents.set_state("alice", AgentState.STARTING)
    clock.advance(3600)
    after = Stalls(desk.store, desk.agents, desk.sessions, desk.turns)
    assert await after.look() == {}
    clock.advance(91)

    assert "alice" in await after.look()


@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_a_clock_that_is_set_makes_nobody_stall_and_hides_no_stall(
    desk: Desk, stalls: Stalls, clock: ManualClock, seconds: float
) -> None:
    for name in ("queen", "alice"):
        await desk.hello(name)
    await desk.send("queen", "alice")
    await desk.turn("alice")
    assert await stalls.look() == {}
    clock.step(seconds)
    assert await stalls.look() == {}
    clock.advance(61)
    heard(desk, "queen")

    assert set(await stalls.look()) == {"alice"}


async def test_a_box_that_the_hive_is_ending_has_not_stalled(
    desk: Desk, stalls: Stalls, clock: ManualClock
) -> None:
    for name in ("queen", "alice"):
        await desk.hello(name)
    await desk.agents.set_state("alice", AgentState.STOPPING, "the operator holds it")
    await desk.sessions.goodbye(desk.open_sessions["alice"])
    await stalls.look()
    clock.advance(1000)
    heard(desk, "queen")

    assert await stalls.look() == {}


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
    for name in ("queen", "alice"):
        await desk.hello(name)
    await desk.send("queen", "alice")
    for whom in ("alice", None):
        await control.pause(THE_OPERATOR, whom, via="test")
        for _ in range(10):
            clock.advance(10)
            heard(desk, "queen", "alice")
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
    assert await crashed(desk) == ["alice-1"]

"""Crashes that do not pass by themselves are told, as long as the agent is not there again."""

from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.agents import AgentState
from hyperhive.domain.instances import UNSTARTED, Crash
from hyperhive.services.conditions import RecordedConditions
from hyperhive.services.restarts import Restarts
from hyperhive.store import alerts
from tests.builders import Desk, ManualClock, a_desk

pytestmark = pytest.mark.anyio


async def crash(desk: Desk, number: int, state: AgentState = AgentState.BACKING_OFF) -> None:
    """Have alice crash for the ``number``-th time, as the reconciler tells of it."""
    conditions = RecordedConditions(desk.store, desk.agents)
    await conditions.record_crash("alice", Crash(desk.clock(), f"i{number}", "it fell over"))
    await conditions.set_state("alice", state, f"it fell over; after {number} it waits")


async def standing(desk: Desk) -> list[tuple[str, str]]:
    """Give the alerts that stand: key and severity."""
    found = await told(desk)
    return [(each["key"], each["severity"]) for each in found]


async def told(desk: Desk) -> list[dict[str, Any]]:
    return await desk.store.read(alerts.standing)


async def test_the_second_crash_in_a_row_is_told_and_the_first_is_not(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await crash(desk, 1)
        assert await standing(desk) == []
        await crash(desk, 2)

        assert await standing(desk) == [("crashed:alice", "warning")]
        assert "it fell over" in (await told(desk))[0]["text"]
        before = await told(desk)
        await crash(desk, 3)
        assert await told(desk) == before


async def test_a_crash_loop_is_an_error_with_what_to_do_until_the_agent_is_there_again(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        for number in (1, 2):
            await crash(desk, number)
        await crash(desk, 3, AgentState.CRASHED)

        [alert] = await told(desk)
        assert (alert["key"], alert["severity"]) == ("crashed:alice", "error")
        assert "it fell over" in alert["text"]
        assert "hyperhive start alice" in alert["text"]
        await desk.agents.set_state("alice", AgentState.STARTING)
        assert await standing(desk) == [("crashed:alice", "error")]
        await desk.hello("alice")
        assert await standing(desk) == []


async def test_an_agent_that_may_crash_once_only_is_told_at_once(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await crash(desk, 1, AgentState.CRASHED)

        assert await standing(desk) == [("crashed:alice", "error")]


async def test_what_the_operator_stops_or_starts_anew_is_no_longer_told(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        for number in (1, 2):
            await crash(desk, number)
        await desk.agents.set_state("alice", AgentState.STOPPED, "the operator holds it")
        assert await standing(desk) == []

        await crash(desk, 3, AgentState.CRASHED)
        await RecordedConditions(desk.store, desk.agents).clear_crashes("alice")
        await crash(desk, 4)
        assert await standing(desk) == []


async def test_an_agent_whose_box_crashed_is_told_in_its_next_turn(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await crash(desk, 1)
        await desk.send("queen", "alice")
        turn = await desk.turn("alice")

        assert turn["note"] is not None
        assert "it fell over" in turn["note"]


async def test_a_start_that_failed_is_nothing_to_tell_the_agent(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        conditions = RecordedConditions(desk.store, desk.agents)
        await conditions.record_crash("alice", Crash(desk.clock(), f"{UNSTARTED}1", "no program"))
        await desk.send("queen", "alice")

        assert (await desk.turn("alice"))["note"] is None


async def test_who_does_not_come_back_from_a_restart_is_told_until_they_do(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        conditions = RecordedConditions(desk.store, desk.agents)
        for name in ("alice", "bob"):
            await conditions.note_incarnation(name, f"{name}-1")
            await desk.hello(name)
        restarts = Restarts(desk.store, desk.agents, desk.sessions)
        await restarts.begin(THE_OPERATOR, None, "a rebuild", via="test")
        await restarts.look()
        for name in ("alice", "bob"):
            await conditions.note_incarnation(name, f"{name}-2")
            await conditions.set_state(name, AgentState.STARTING, "its box runs")
        await desk.hello("bob", "s2")
        clock.advance(91)
        await restarts.look()

        [alert] = await told(desk)
        assert (alert["key"], alert["severity"]) == ("restart:alice", "error")
        assert "a rebuild" in alert["text"]
        assert "not ready in time" in alert["text"]
        await desk.hello("alice", "s2")
        assert await standing(desk) == []

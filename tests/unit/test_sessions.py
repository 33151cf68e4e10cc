"""What is shown of an agent while its harness connects, goes and comes back."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.agents import AgentState
from hyperhive.domain.events import EventKind
from hyperhive.services import sessions
from hyperhive.store import Writing, events, lifecycle
from hyperhive.store import agents as rows
from tests.builders import Desk, a_desk

pytestmark = pytest.mark.anyio


async def states(desk: Desk, agent: str = "alice") -> list[str]:
    """Say which states an agent was shown in, oldest first."""
    kind = EventKind.AGENT_STATE_CHANGED.value

    def job(asking: Any) -> list[str]:
        found = events.before(asking, None, 100, agent=agent, kind=kind)
        return [str(event.data["state"]) for event in reversed(found)]

    return await desk.store.read(job)


async def test_a_harness_that_says_hello_again_at_once_was_never_away(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        session = await desk.hello("alice")
        gone = asyncio.create_task(desk.sessions.goodbye(session))
        while desk.sessions.of("alice") is not None:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0)
        await desk.hello("alice")
        await gone

        assert await states(desk) == ["ready"]


async def test_a_harness_that_stays_away_is_shown_as_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BLINK_SECONDS", 0.01)
    async with a_desk(tmp_path) as desk:
        await desk.sessions.goodbye(await desk.hello("alice"))

        assert await states(desk) == ["ready", "starting"]


async def test_a_harness_lost_in_a_turn_is_shown_as_away_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BLINK_SECONDS", 3600.0)
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice")
        await desk.turn("alice")
        async with asyncio.timeout(10):
            await desk.sessions.goodbye(desk.open_sessions["alice"])

        assert (await states(desk))[-1] == "starting"


async def test_a_crash_that_is_seen_meanwhile_stays_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BLINK_SECONDS", 0.05)
    async with a_desk(tmp_path) as desk:
        gone = asyncio.create_task(desk.sessions.goodbye(await desk.hello("alice")))
        await asyncio.sleep(0)
        await desk.agents.set_state("alice", AgentState.BACKING_OFF, "it crashed")
        await gone

        assert desk.agents.state_of("alice") is AgentState.BACKING_OFF


async def test_a_hive_that_stops_does_not_wait_for_harnesses_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BLINK_SECONDS", 3600.0)
    async with a_desk(tmp_path) as desk:
        gone = asyncio.create_task(desk.sessions.goodbye(await desk.hello("alice")))
        while desk.sessions.of("alice") is not None:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0)
        for _ in range(3):
            await desk.store.read(lambda asking: None)
        desk.sessions.close()
        async with asyncio.timeout(10):
            await gone

        assert await states(desk) == ["ready"]


@pytest.mark.parametrize(
    ("outcome", "state"), [("needs_login", "needs_login"), ("rate_limited", "rate_limited")]
)
async def test_what_an_agent_waits_for_is_still_shown_when_its_harness_has_reconnected(
    tmp_path: Path, outcome: str, state: str
) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice")
        turn = await desk.turn("alice")
        await desk.end("alice", turn["id"], outcome, error="the provider says no")
        await desk.hello("alice", "s2")

        row = await desk.store.read(lambda asking: rows.find(asking, "alice"))
        assert row is not None
        assert (row.state, row.reason) == (state, "the provider says no")


async def test_a_harness_of_another_process_means_a_restart_that_the_agent_is_told_of(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        notes = []
        for session, pid in (("s1", 7), ("s1", 7), ("s2", 7), ("s3", 8), ("s3", 8)):
            await desk.sessions.hello("alice", session, pid)
            await desk.send("queen", "alice")
            turn = await desk.turn("alice", session)
            await desk.end("alice", turn["id"], session=session)
            notes.append(turn["note"])

    told = notes.pop(3)
    assert "started anew" in told
    assert notes == [None] * 4


async def test_what_an_agent_is_told_already_of_its_restart_is_kept(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.sessions.hello("alice", "s1", 7)
        await desk.store.write(lambda work: lifecycle.change(work, "alice", note="a rebuild"))
        await desk.sessions.hello("alice", "s2", 8)
        await desk.send("queen", "alice")

        assert (await desk.turn("alice", "s2"))["note"] == "a rebuild"


async def test_a_state_whose_commit_fails_is_not_remembered(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:

        def job(work: Writing) -> None:
            desk.agents.note_state(work, "alice", AgentState.READY)
            raise ValueError("something else is wrong")

        with pytest.raises(ValueError, match="something else"):
            await desk.store.write(job)

        assert desk.agents.state_of("alice") is AgentState.STOPPED
        await desk.agents.set_state("alice", AgentState.READY)
        assert desk.agents.state_of("alice") is AgentState.READY


@pytest.mark.parametrize(
    ("state", "attempts"),
    [(AgentState.STOPPING, 0), (AgentState.BUSY, 1), (AgentState.DRAINING, 1)],
)
async def test_a_turn_whose_box_the_hive_itself_ends_counts_no_attempt(
    tmp_path: Path, state: AgentState, attempts: int
) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        await desk.turn("alice")
        await desk.agents.set_state("alice", state)
        await desk.sessions.goodbye(desk.open_sessions["alice"])

        message = await desk.messages.show(number)
    assert (message["attempts"], message["redelivered"]) == (attempts, True)

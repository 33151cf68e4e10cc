"""How turns and sessions end, and what each end means for the messages they held."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hyperhive.domain.agents import AgentState
from hyperhive.domain.errors import InvalidError, SessionUnknownError, TurnOverError
from hyperhive.domain.turns import REPORTABLE, TurnOutcome
from hyperhive.services.callers import Caller
from hyperhive.services.recovery import Recovery
from hyperhive.store import events, turns
from tests.builders import Desk, ManualClock, a_desk
from tests.promises import promise
from tests.store.holding import commits_of, writer_held

pytestmark = pytest.mark.anyio

LONG_SECONDS = 30.0
BOUND_SECONDS = 30.0

End = Callable[[Desk, int], Awaitable[object]]


async def offer(desk: Desk, agent: str, session: str, caller: Caller | None = None) -> int | None:
    """Ask for work with a wait, and return the turn's number."""
    turn = await desk.turns.offer(
        agent, session, wait_seconds=LONG_SECONDS, caller=caller or Caller()
    )
    return None if turn is None else int(turn["id"])


async def settled(desk: Desk) -> None:
    """Wait until all that is queued for the writer is done and those who wait have looked."""
    for _ in range(3):
        await desk.store.write(lambda _work: None)
        await asyncio.sleep(0)


async def outcome_of(desk: Desk, turn: int) -> str | None:
    row = await desk.store.read(lambda asking: turns.find(asking, turn))
    assert row is not None
    return None if row.outcome is None else str(row.outcome)


async def test_a_turn_begins_with_the_oldest_message_and_says_how_many_wait(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        sent = [await desk.send("queen", "alice") for _ in range(3)]

        turn = await desk.turn("alice")

        assert [message["id"] for message in turn["messages"]] == sent[:1]
        assert turn["waiting"] == 2
        assert desk.agents.state_of("alice") is AgentState.BUSY


@promise("M5")
async def test_a_turn_that_ends_well_acks_all_that_was_seen_to_arrive(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        first, second = await desk.send("queen", "alice"), await desk.send("queen", "alice")
        turn = await desk.turn("alice")
        await desk.recv("alice", turn=turn["id"], delivery="r1")
        await desk.messages.confirm("alice", "r1")
        with commits_of(desk.store) as commits:
            await desk.end("alice", turn["id"])

        assert len(commits) == 1
        assert (await desk.state(first), await desk.state(second)) == ("acked", "acked")
        assert desk.agents.state_of("alice") is AgentState.READY


@promise("M5")
async def test_what_was_not_seen_to_arrive_comes_again_flagged_and_counts_no_attempt(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        seen, unseen = await desk.send("queen", "alice"), await desk.send("queen", "alice")
        turn = await desk.turn("alice")
        await desk.recv("alice", turn=turn["id"], delivery="r1")
        await desk.end("alice", turn["id"])

        assert await desk.state(seen) == "acked"
        (again,) = (await desk.turn("alice"))["messages"]
        assert (again["id"], again["attempt"], again["redelivered"]) == (unseen, 1, True)


async def new_session(desk: Desk, turn: int) -> None:
    await desk.hello("alice", "s2")


async def lost_connection(desk: Desk, turn: int) -> None:
    await desk.sessions.goodbye(desk.open_sessions["alice"])


async def server_restarted(desk: Desk, turn: int) -> None:
    desk.sessions.drop_all()
    await desk.sessions.settle([turn])


def reported(outcome: str) -> End:
    return lambda desk, turn: desk.end("alice", turn, outcome)


ENDS: dict[str, tuple[End, bool]] = {
    "failed": (reported("failed"), True),
    "timed_out": (reported("timed_out"), True),
    "cancelled": (reported("cancelled"), False),
    "rate_limited": (reported("rate_limited"), False),
    "needs_login": (reported("needs_login"), False),
    "its harness came back under a new session": (new_session, True),
    "its harness's connection was lost": (lost_connection, True),
    "the server was restarted": (server_restarted, False),
}


@promise("M6", "M8")
@pytest.mark.parametrize("how", ENDS)
async def test_an_end_that_is_not_well_releases_every_lease_at_once(
    tmp_path: Path, how: str
) -> None:
    end, counts = ENDS[how]
    async with a_desk(tmp_path) as desk:
        sent = [await desk.send("queen", "alice") for _ in range(3)]
        turn = await desk.turn("alice")
        await desk.recv("alice", turn=turn["id"], count=2, delivery="r1")
        await desk.messages.confirm("alice", "r1")

        await end(desk, turn["id"])

        held = await desk.recv("alice", count=32)
        assert [message["id"] for message in held] == sent
        assert [message["attempt"] for message in held] == [2 if counts else 1] * 3
        assert all(message["redelivered"] for message in held)


@promise("M6", "M8")
async def test_a_begun_turn_has_failed_when_its_harness_asks_for_other_work(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        first = await desk.turn("alice")
        second = await desk.turn("alice")

        assert await outcome_of(desk, first["id"]) == TurnOutcome.FAILED
        (message,) = second["messages"]
        assert (message["id"], message["attempt"], message["redelivered"]) == (number, 2, True)


@promise("M7")
async def test_a_message_comes_again_after_0_s_30_s_2_min_and_10_min(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await desk.send("queen", "alice")
        flags = []
        for wait in (0, 0, 30, 120, 600):
            if wait:
                clock.advance(wait - 1)
                assert (
                    await desk.turns.offer("alice", "s1", wait_seconds=0, caller=Caller()) is None
                )
                clock.advance(1)
            turn = await desk.turn("alice")
            (message,) = turn["messages"]
            flags.append((message["attempt"], message["redelivered"], bool(message["hint"])))
            await desk.end("alice", turn["id"], "failed")

        assert flags == [(1, False, False), *((n, True, True) for n in range(2, 6))]
        assert await desk.state(number) == "dead"


@pytest.mark.parametrize("outcome", ["died", "drained", "void", "won", ""])
async def test_a_harness_reports_only_what_it_can_know(tmp_path: Path, outcome: str) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        turn = await desk.turn("alice")

        with pytest.raises(InvalidError, match="Known: cancelled, failed"):
            await desk.end("alice", turn["id"], outcome)

        assert await desk.state(number) == "leased"


@pytest.mark.parametrize("outcome", sorted(REPORTABLE))
async def test_an_end_reported_twice_changes_nothing_the_second_time(
    tmp_path: Path, outcome: str
) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice")
        turn = await desk.turn("alice")
        first = await desk.end("alice", turn["id"], outcome)
        seq = desk.store.bus.seq

        assert await desk.end("alice", turn["id"], outcome) == first == outcome
        assert desk.store.bus.seq == seq


async def test_an_end_that_contradicts_the_servers_own_is_refused(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice")
        turn = await desk.turn("alice")
        await desk.hello("alice", "s2")

        with pytest.raises(TurnOverError):
            await desk.end("alice", turn["id"], "ok")

        assert await outcome_of(desk, turn["id"]) == TurnOutcome.DIED


async def test_a_turn_is_begun_told_of_and_ended_only_by_its_own_session(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice")
        turn = (await desk.turn("alice", begin=False))["id"]
        line = {"n": 0, "at": 1.0, "kind": "text", "data": {}}

        for agent, session in (("bob", "s1"), ("alice", "s9")):
            with pytest.raises(TurnOverError):
                await desk.turns.begin(agent, session, turn)
            with pytest.raises(TurnOverError):
                await desk.turns.tell(agent, session, turn, [line])
            with pytest.raises(TurnOverError):
                await desk.end(agent, turn, session=session)


async def test_a_transcript_keeps_each_line_once(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice")
        turn = (await desk.turn("alice"))["id"]
        lines = [{"n": n, "at": 1.0, "kind": "text", "data": {"n": n}} for n in range(3)]
        await desk.turns.tell("alice", "s1", turn, lines[:2])
        await desk.turns.tell("alice", "s1", turn, lines)

        page = await desk.turns.transcript(turn, after=-1, limit=2)
        rest = await desk.turns.transcript(turn, after=1, limit=2)

        assert [line["n"] for line in (*page["events"], *rest["events"])] == [0, 1, 2]
        assert (page["more"], rest["more"]) == (True, False)


async def test_an_offer_that_was_never_begun_is_taken_back_unflagged(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        await desk.turn("alice", begin=False)

        (message,) = (await desk.turn("alice"))["messages"]

        assert (message["id"], message["attempt"], message["redelivered"]) == (number, 1, False)


async def test_an_offer_to_a_client_that_had_gone_is_withdrawn(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.hello("alice")
        await desk.send("queen", "alice")
        caller = Caller()
        async with writer_held(desk.store):
            asking = asyncio.create_task(offer(desk, "alice", "s1", caller))
            await asyncio.sleep(0)
            caller.leave()
        assert await asking is None

        assert await desk.turns.open_now() == []
        (message,) = await desk.recv("alice")
        assert not message["redelivered"]


async def test_an_offer_that_is_cancelled_is_withdrawn(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.hello("alice")
        await desk.send("queen", "alice")
        async with writer_held(desk.store):
            asking = asyncio.create_task(offer(desk, "alice", "s1"))
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await asking

        assert await desk.turns.open_now() == []
        assert await desk.state(1) == "queued"


async def test_a_session_that_was_replaced_takes_nothing_from_its_successor(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.hello("alice", "s1")
        old = asyncio.create_task(offer(desk, "alice", "s1"))
        await settled(desk)
        await desk.hello("alice", "s2")
        new = asyncio.create_task(offer(desk, "alice", "s2"))
        await settled(desk)
        async with asyncio.timeout(BOUND_SECONDS):
            assert await old is None

            number = await desk.send("queen", "alice")
            turn = await new

        assert turn is not None
        await desk.turns.begin("alice", "s2", turn)
        assert await outcome_of(desk, turn) is None
        assert await desk.state(number) == "leased"


async def test_a_late_goodbye_does_not_end_what_the_next_session_has(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        old = await desk.hello("alice", "s1")
        await desk.hello("alice", "s2")
        await desk.send("queen", "alice")
        turn = await desk.turn("alice", "s2")

        await desk.sessions.goodbye(old)

        assert await outcome_of(desk, turn["id"]) is None
        assert old.over
        assert await old.commands.get() is None
        with pytest.raises(SessionUnknownError):
            desk.sessions.require("alice", "s1")


async def test_the_same_session_on_a_new_connection_keeps_its_turn(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice")
        turn = await desk.turn("alice")

        returned = await desk.hello("alice", "s1")

        assert returned.turn == turn["id"]
        assert await desk.end("alice", turn["id"]) == "ok"


@promise("M13")
async def test_after_a_restart_the_leases_of_a_live_turn_wait_for_their_session(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        turn = await desk.turn("alice")
    async with a_desk(tmp_path) as desk:
        left_over = await desk.recovery.begin()
        assert left_over == [turn["id"]]
        assert await desk.recv("alice") == []
        assert desk.agents.state_of("alice") is AgentState.STARTING

        session = await desk.hello("alice", "s1")
        await desk.recovery.settle(left_over, grace_seconds=0)

        assert session.turn == turn["id"]
        assert await desk.end("alice", turn["id"]) == "ok"
        assert await desk.state(number) == "acked"


@promise("M13", "M8")
async def test_a_turn_whose_session_does_not_return_in_time_is_released_uncounted(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice")
        turn = await desk.turn("alice")
    async with a_desk(tmp_path) as desk:
        left_over = await desk.recovery.begin()
        await desk.recovery.settle(left_over, grace_seconds=0)

        assert await outcome_of(desk, turn["id"]) == TurnOutcome.SERVER_RESTARTED
        (message,) = await desk.recv("alice")
        assert (message["attempt"], message["redelivered"]) == (1, True)
        session = await desk.hello("alice", "s1")
        assert session.turn is None


@promise("M13")
async def test_a_new_session_after_a_restart_need_not_wait_for_the_old_ones_messages(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice")
        await desk.turn("alice")
    async with a_desk(tmp_path) as desk:
        left_over = await desk.recovery.begin()
        await desk.hello("alice", "s2")

        turn = await desk.turn("alice", "s2")
        await desk.recovery.settle(left_over, grace_seconds=0)

        assert [message["attempt"] for message in turn["messages"]] == [1]
        assert await outcome_of(desk, turn["id"]) is None


async def test_the_server_waits_ten_seconds_for_the_sessions_of_its_last_run() -> None:
    assert inspect.signature(Recovery.settle).parameters["grace_seconds"].default == 10.0


async def test_a_server_that_stops_releases_nothing(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        turn = await desk.turn("alice")
        desk.sessions.close()
        await desk.sessions.goodbye(desk.open_sessions["alice"])

        assert await outcome_of(desk, turn["id"]) is None
        assert await desk.state(number) == "leased"


async def test_a_hello_that_cannot_be_stored_leaves_no_session_behind(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.store.close()
        with pytest.raises(Exception, match="stopping"):
            await desk.hello("alice")

        assert desk.sessions.of("alice") is None


async def test_a_turn_is_told_of_from_its_begin_to_its_end(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        turn = await desk.turn("alice")
        await desk.turns.begin("alice", "s1", turn["id"])
        await desk.turns.end(
            "alice",
            "s1",
            turn["id"],
            outcome="ok",
            error=None,
            usage={"input_tokens": 7},
            tools={"send": 2},
        )

        told = await desk.store.read(lambda asking: events.after(asking, 0, 100))
        turn_events = [event for event in told if event.kind.startswith("turn_")]
        assert [event.kind for event in turn_events] == ["turn_started", "turn_ended"]
        assert turn_events[0].data["messages"] == [number]
        (shown,) = (await desk.turns.page("alice", before=None, limit=5))["turns"]
        assert shown["usage"]["input_tokens"] == 7
        assert shown["tools"] == {"send": 2}
        assert shown["messages"] == [number]

"""What is deleted when its time has passed, and what never is."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from hyperhive.domain.actors import OPERATOR
from hyperhive.services.upkeep import Upkeep
from hyperhive.store import Reading, retention, tables
from hyperhive.store.retention import DAY_SECONDS, ROWS_AT_ONCE, Keep
from tests.builders import UNBOUND, Desk, ManualClock, a_desk, an_actor
from tests.promises import promise

pytestmark = pytest.mark.anyio


def count_of(table: str) -> Callable[[Reading], int]:
    statement = select(func.count()).select_from(getattr(tables, table))
    return lambda asking: int(asking.execute(statement).scalar() or 0)


async def kept(desk: Desk) -> set[int]:
    """Run the upkeep's retention and give the messages that are left."""
    await Upkeep(desk.store, desk.messages).retain(desk.hive)
    found = await desk.store.read(lambda asking: asking.execute(select(tables.message.c.id)).all())
    return {row.id for row in found}


@promise("M16")
async def test_an_acked_message_goes_after_thirty_days_and_not_before(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        acked = await desk.send("queen", "alice")
        clock.advance(10 * DAY_SECONDS)
        turn = await desk.turn("alice")
        await desk.end("alice", turn["id"])

        clock.advance(30 * DAY_SECONDS - 1)
        assert await kept(desk) == {acked}
        clock.advance(2)
        assert await kept(desk) == set()


@promise("M16")
async def test_what_is_not_settled_and_what_the_operator_has_not_read_stays_for_ever(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        dead = await desk.send("queen", "bob", "dies")
        for _ in range(5):
            clock.advance(600)
            turn = await desk.turn("bob")
            await desk.end("bob", turn["id"], "failed")
        # Its sender is told of the death; that is one more message.
        word = dead + 1
        queued = await desk.send("queen", "alice", "waits")
        leased = await desk.send("queen", "bob", "is worked on")
        await desk.turn("bob")
        unread = await desk.send("alice", OPERATOR, "unread")
        read = await desk.send("alice", OPERATOR, "read")
        await desk.messages.mark_read(an_actor(OPERATOR), read)

        clock.advance(1000 * DAY_SECONDS)

        assert await kept(desk) == {dead, word, queued, leased, unread}
        assert await desk.state(dead) == "dead"


async def test_a_dropped_message_goes_like_an_acked_one(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await desk.send("operator", "alice")
        for _ in range(5):
            clock.advance(600)
            await desk.end("alice", (await desk.turn("alice"))["id"], "failed")
        await desk.messages.drop(an_actor(OPERATOR), number, via="test")

        clock.advance(31 * DAY_SECONDS)

        assert await kept(desk) == set()


async def test_it_goes_in_steps_so_that_others_can_write_between(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock, hive=UNBOUND) as desk:
        for _ in range(ROWS_AT_ONCE // 2 + 100):
            await desk.messages.send(an_actor("alice"), "operator", "note")
        await desk.store.write(lambda work: work.execute(update(tables.message).values(read_at=1)))
        clock.advance(31 * DAY_SECONDS)
        keep = Keep()

        steps = []
        while step := await desk.store.write(lambda work: retention.delete_some(work, keep)):
            steps.append(step)

        assert len(steps) >= 1
        assert max(steps) <= 5 * ROWS_AT_ONCE
        assert await desk.store.read(count_of("message")) == 0


@pytest.mark.parametrize("lines", [ROWS_AT_ONCE * 2 + 1])
async def test_a_long_transcript_goes_in_steps_after_fourteen_days(
    tmp_path: Path, lines: int
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        await desk.send("queen", "alice")
        turn = await desk.turn("alice")
        told = [{"n": n, "at": clock(), "kind": "text", "data": {}} for n in range(lines)]
        await desk.turns.tell("alice", "s1", turn["id"], told)
        await desk.end("alice", turn["id"])
        keep = Keep(messages_days=99, events_days=99)

        clock.advance(14 * DAY_SECONDS - 1)
        assert await desk.store.write(lambda work: retention.delete_some(work, keep)) == 0
        clock.advance(2)
        steps = []
        while step := await desk.store.write(lambda work: retention.delete_some(work, keep)):
            steps.append(step)

        assert steps == [ROWS_AT_ONCE, ROWS_AT_ONCE, 1]
        assert await desk.store.read(count_of("turn_event")) == 0
        assert await desk.store.read(count_of("turn")) == 1


async def test_the_transcript_of_a_turn_that_runs_stays(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        await desk.send("queen", "alice")
        turn = await desk.turn("alice")
        line = {"n": 0, "at": clock(), "kind": "text", "data": {"text": "at work"}}
        await desk.turns.tell("alice", "s1", turn["id"], [line])

        clock.advance(100 * DAY_SECONDS)
        await kept(desk)

        assert await desk.store.read(count_of("turn_event")) == 1


async def test_events_and_keys_go_when_their_time_has_passed(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        await desk.send("queen", "alice", key="once")

        clock.advance(DAY_SECONDS + 1)
        await kept(desk)
        assert await desk.store.read(count_of("request_key")) == 0
        assert await desk.store.read(count_of("event")) > 1
        clock.advance(30 * DAY_SECONDS)
        await kept(desk)
        assert await desk.store.read(count_of("event")) == 1

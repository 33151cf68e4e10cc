"""The live stream: everything after a position, in order, once, or the word to start over."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from hyperhive.bus import APPROVALS, LIFECYCLE, QUESTIONS, REMINDERS
from hyperhive.domain import actors
from hyperhive.services import feed
from hyperhive.services.logins import Logins
from hyperhive.surfaces.http.stream import Position, stream
from tests.builders import UNBOUND, ManualClock, a_hive
from tests.promises import promise
from tests.surfaces.hives import Sent, Whole, a_whole_hive, started, until

pytestmark = pytest.mark.anyio

DAY = 24 * 3600
ALICE = actors.agent("alice")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def hive(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Whole]:
    async with a_whole_hive(tmp_path, clock=clock, hive=UNBOUND) as whole:
        yield whole


@pytest.fixture
def many_sockets() -> Iterator[None]:
    """Let this process hold both ends of many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def seq_of(hive: Whole) -> int:
    """Give the position that the hive has reached."""
    return int((await hive.admin.get("/api/state"))["seq"])


def reasons(sent: list[Sent]) -> list[Any]:
    """Give why a client was told to start over."""
    return [each.data["reason"] for each in sent if each.name == "reset"]


async def test_a_stream_begins_with_where_it_stands(hive: Whole) -> None:
    state = await hive.operator.get("/api/state")

    async with hive.operator.live() as live:
        hello = await live.next()

    told = {"epoch": state["epoch"], "seq": state["seq"], "at": hive.run.store.clock()}
    assert hello == Sent("hello", None, told)


async def test_a_stream_that_is_asked_for_once_ends_with_its_first_news(hive: Whole) -> None:
    before = await seq_of(hive)
    await hive.admin.post("/api/messages", {"to": "alice", "body": "news"})

    answer = await hive.operator.ask("GET", f"/dashboard/stream?after={before}&once=true")

    assert answer.body.count(b"event: event") == await seq_of(hive) - before


@promise("E1")
async def test_events_come_once_and_in_order_with_their_positions(hive: Whole) -> None:
    start = await seq_of(hive)
    async with hive.operator.live(f"?after={start}") as live:
        for n in range(5):
            await hive.admin.send("alice", f"number {n}")
        events = await live.until(start + 5)

    assert [event["seq"] for event in events] == list(range(start + 1, start + 6))
    assert events[0].keys() == {"seq", "at", "kind", "agent", "actor", "data"}
    assert (events[0]["kind"], events[0]["agent"]) == ("message_queued", "alice")
    assert events[0]["actor"] == "operator"


async def test_without_a_position_a_stream_gives_what_is_new(hive: Whole) -> None:
    await hive.admin.send("alice", "old")
    async with hive.operator.live() as live:
        await live.next()
        await hive.admin.send("alice", "new")
        (event,) = await live.until(await seq_of(hive))

    assert event["data"]["message"]["preview"] == "new"


@promise("E2")
async def test_a_cut_stream_goes_on_after_the_last_event_id(hive: Whole) -> None:
    start = await seq_of(hive)
    for n in range(6):
        await hive.admin.send("alice", f"number {n}")
    async with hive.operator.live(f"?after={start}") as live:
        await live.next()
        seen = [await live.next() for _ in range(3)]
    last = seen[-1].id
    assert last is not None

    async with hive.operator.live("?after=0", last_event_id=last) as live:
        rest = await live.until(start + 6)

    assert [event["seq"] for event in rest] == [start + 4, start + 5, start + 6]


@promise("E2")
async def test_a_bare_number_is_a_last_event_id_too(hive: Whole) -> None:
    start = await seq_of(hive)
    await hive.admin.send("alice")

    async with hive.operator.live(last_event_id=str(start)) as live:
        events = await live.until(start + 1)

    assert len(events) == 1


@promise("E2")
async def test_a_stream_goes_on_through_a_restart_of_the_server(tmp_path: Path) -> None:
    declared = a_hive(tmp_path / "state", tmp_path / "r")
    async with started(declared) as hive:
        async with hive.admin.live("?after=0") as live:
            seen = await live.until(await seq_of(hive))
            await hive.admin.send("alice", "before")
            seen += await live.until(seen[-1]["seq"] + 1)
        last = f"{(await hive.admin.get('/api/state'))['epoch']}:{seen[-1]['seq']}"

    async with started(declared) as hive:
        await hive.admin.send("alice", "after")
        reached = await seq_of(hive)
        async with hive.admin.live(last_event_id=last) as live:
            seen += await live.until(reached)

    assert [event["seq"] for event in seen] == list(range(1, reached + 1))
    assert "hive_stopping" in {event["kind"] for event in seen}


@promise("E2")
@pytest.mark.parametrize(
    "where", ["?epoch=another&after=1", "?after=999999", "?after=9223372036854775807"]
)
async def test_a_position_of_another_time_is_told_to_start_over(hive: Whole, where: str) -> None:
    async with hive.operator.live(where) as live:
        sent = await live.rest()

    assert reasons(sent) == ["epoch"]
    assert [each for each in sent if each.name == "event"] == []


@promise("E2")
async def test_a_last_event_id_of_another_epoch_is_told_to_start_over(hive: Whole) -> None:
    async with hive.operator.live(last_event_id="another:1") as live:
        assert reasons(await live.rest()) == ["epoch"]


@promise("E2", "S5")
async def test_a_restore_ends_every_stream_with_the_word_to_start_over(hive: Whole) -> None:
    backup = await hive.admin.post("/api/backup")
    before = await hive.admin.get("/api/state")
    async with hive.operator.live(f"?after={before['seq']}&epoch={before['epoch']}") as live:
        await live.next()
        await hive.admin.post("/api/restore", {"path": backup["path"]})
        sent = await live.rest()
    assert reasons(sent) == ["epoch"]

    state = await hive.admin.get("/api/state")
    async with hive.operator.live(f"?after={before['seq']}&epoch={before['epoch']}") as live:
        assert reasons(await live.rest()) == ["epoch"]
    async with hive.operator.live(f"?after={state['seq']}&epoch={state['epoch']}") as live:
        await hive.admin.send("alice", "a new time")
        (event,) = await live.until(state["seq"] + 1)
    assert event["kind"] == "message_queued"


@promise("E2")
async def test_a_position_whose_successors_were_trimmed_is_told_to_start_over(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    declared = a_hive(tmp_path / "state", tmp_path / "r")
    async with started(declared, clock=clock) as hive:
        for n in range(5):
            await hive.admin.send("alice", f"number {n}")
        old = await seq_of(hive)
    clock.advance(31 * DAY)

    async with started(declared, clock=clock) as hive:

        async def is_trimmed() -> bool:
            kept = (await hive.admin.get("/dashboard/history?limit=500"))["events"]
            return bool(kept[-1]["seq"] > old)

        await until(is_trimmed)
        async with hive.admin.live("?after=2") as live:
            assert reasons(await live.rest()) == ["trimmed"]
        kept = (await hive.admin.get("/dashboard/history?limit=500"))["events"][-1]["seq"]
        async with hive.admin.live(f"?after={kept - 1}") as live:
            assert (await live.until(kept))[0]["seq"] == kept


@promise("E2")
async def test_a_reader_far_behind_gets_everything_from_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "KEPT", 50)
    async with a_whole_hive(tmp_path / "other", hive=UNBOUND) as hive:
        start = await seq_of(hive)
        sends = feed.READ_AT_ONCE + 100
        await asyncio.gather(*(hive.run.messages.send(ALICE, "bob", "x") for _ in range(sends)))

        async with hive.operator.live(f"?after={start}") as live:
            events = await live.until(start + sends)

    assert [event["seq"] for event in events] == list(range(start + 1, start + sends + 1))


async def test_a_quiet_stream_says_that_it_lives(hive: Whole) -> None:
    run, nobody = hive.run, Logins(hive.run.store, None)
    start = Position(None, None)
    parts = stream(run.store, run.feed, start, nobody, keep_alive_seconds=0.01)

    said = [await anext(parts) for _ in range(3)]
    await parts.aclose()  # type: ignore[attr-defined]  # it is a generator

    assert said[0].startswith(b"event: hello\n")
    assert said[1:] == [b": still here\n\n"] * 2


async def test_a_reader_that_goes_away_leaves_nothing_behind(hive: Whole) -> None:
    async with hive.operator.live() as live:
        await live.next()
        assert hive.run.feed.readers == 1

    await until(lambda: hive.run.feed.readers == 0)
    standing = {LIFECYCLE, APPROVALS, QUESTIONS, REMINDERS}
    assert set(hive.run.store.bus._watches) <= standing


@promise("E1")
async def test_a_hundred_readers_get_every_event_in_order(hive: Whole, many_sockets: None) -> None:
    start = await seq_of(hive)
    sends = 200

    async def read() -> list[int]:
        async with hive.operator.live(f"?after={start}") as live:
            return [event["seq"] for event in await live.until(start + sends)]

    readers = [asyncio.create_task(read()) for _ in range(100)]
    await until(lambda: hive.run.feed.readers == 100)
    begun = time.monotonic()
    await asyncio.gather(*(hive.run.messages.send(ALICE, "bob", "x") for _ in range(sends)))
    seen = await asyncio.gather(*readers)

    wanted = list(range(start + 1, start + sends + 1))
    assert all(each == wanted for each in seen)
    assert time.monotonic() - begun < 20


async def test_a_reader_that_reads_nothing_holds_up_nobody(hive: Whole) -> None:
    start = await seq_of(hive)
    body = "x" * 250
    async with hive.operator.live(f"?after={start}") as deaf:
        await deaf.next()
        deaf.wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's
        for _ in range(20):
            await asyncio.gather(*(hive.run.messages.send(ALICE, "bob", body) for _ in range(100)))
        async with hive.operator.live(f"?after={start}") as live:
            events = await live.until(start + 2000)

    assert len(events) >= 2000

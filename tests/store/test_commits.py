"""What one commit holds, who is answered when, and how events are numbered."""

import asyncio
import json
import threading
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from hyperhive.bus import Bus
from hyperhive.domain.actors import SYSTEM
from hyperhive.domain.errors import InvalidError, UnavailableError
from hyperhive.domain.events import EventKind
from hyperhive.store import Reading, Store, Writing, engine, events, retention, tables
from hyperhive.store.writer import BATCH_MAX
from tests.builders import ManualClock, a_store
from tests.promises import promise
from tests.store.holding import commits_of, writer_held

pytestmark = pytest.mark.anyio


def put(work: Writing, key: str) -> int:
    """Store a row and its event."""
    work.execute(insert(tables.meta), {"key": key, "value": key})
    return work.record(EventKind.HIVE_STARTED, SYSTEM, {"key": key})


def stored(asking: Reading) -> tuple[set[str], set[str]]:
    """Give the keys of the rows and the keys that the events tell of."""
    rows = asking.execute(select(tables.meta.c.key).where(tables.meta.c.key != "epoch")).scalars()
    told = asking.execute(select(tables.event.c.data_json)).scalars()
    return set(rows), {json.loads(text)["key"] for text in told}


async def test_jobs_that_are_queued_together_share_one_commit(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        with commits_of(store) as commits:
            async with writer_held(store):
                written = [
                    asyncio.ensure_future(store.write(partial(put, key=f"k{n}")))
                    for n in range(BATCH_MAX)
                ]
                await asyncio.sleep(0)
            seqs = await asyncio.gather(*written)

        # The holding job has one, and everything that queued behind it another.
        assert len(commits) == 2
        assert seqs == list(range(1, BATCH_MAX + 1))


@promise("S1")
async def test_a_job_that_raises_undoes_itself_and_no_other(tmp_path: Path) -> None:
    def broken(work: Writing) -> None:
        put(work, "broken")
        raise InvalidError("No.")

    async with a_store(tmp_path) as store:
        with commits_of(store) as commits:
            async with writer_held(store):
                jobs = [lambda work: put(work, "before"), broken, lambda work: put(work, "after")]
                written = [asyncio.ensure_future(store.write(job)) for job in jobs]
                await asyncio.sleep(0)
            answers = await asyncio.gather(*written, return_exceptions=True)

        assert len(commits) == 2
        assert isinstance(answers[1], InvalidError)
        assert (answers[0], answers[2]) == (1, 2)
        assert await store.read(stored) == ({"before", "after"}, {"before", "after"})


@promise("S1")
async def test_an_error_that_ends_the_transaction_fails_the_whole_batch(tmp_path: Path) -> None:
    def ending(work: Writing) -> None:
        put(work, "ending")
        engine.driver(work.connection).execute("ROLLBACK")
        raise InvalidError("The disk rolled everything back.")

    async with a_store(tmp_path) as store:
        async with writer_held(store):
            jobs = [lambda work: put(work, "before"), ending, lambda work: put(work, "after")]
            written = [asyncio.ensure_future(store.write(job)) for job in jobs]
            await asyncio.sleep(0)
        answers = await asyncio.gather(*written, return_exceptions=True)

        assert all(isinstance(answer, InvalidError) for answer in answers)
        assert await store.read(stored) == (set(), set())
        assert await store.write(lambda work: put(work, "next")) == 1


@promise("S2")
async def test_nobody_is_answered_before_the_commit(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        answered: list[str] = []
        raw = engine.driver(store._connection)
        raw.set_trace_callback(
            lambda text: answered.append(f"{text} {write.done()}") if text == "COMMIT" else None
        )
        write = asyncio.ensure_future(store.write(lambda work: put(work, "k")))
        await write
        raw.set_trace_callback(None)

        assert answered == ["COMMIT False"]
        other = await asyncio.to_thread(engine.Database(store.path, read_only=True).connect)
        assert other.execute(select(func.count()).select_from(tables.event)).scalar() == 1
        other.close()


async def test_the_bus_is_told_after_the_commit_with_the_names_of_the_jobs(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:

        def job(work: Writing) -> None:
            put(work, "k")
            work.wake("inbox:alice")

        with store.bus.watch("inbox:alice") as alice, store.bus.watch("inbox:bob") as bob:
            await store.write(job)

            assert await alice.wait(5)
            assert not await bob.wait(0)
            assert store.bus.seq == 1


async def test_a_job_that_raises_wakes_nobody(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:

        def job(work: Writing) -> None:
            work.wake("inbox:alice")
            raise InvalidError("No.")

        with store.bus.watch("inbox:alice") as alice:
            with pytest.raises(InvalidError):
                await store.write(job)

            assert not await alice.wait(0)


async def test_a_caller_that_is_cancelled_leaves_its_job_and_the_batch_alone(
    tmp_path: Path,
) -> None:
    async with a_store(tmp_path) as store:
        async with writer_held(store):
            gone = asyncio.ensure_future(store.write(lambda work: put(work, "gone")))
            there = asyncio.ensure_future(store.write(lambda work: put(work, "there")))
            await asyncio.sleep(0)
            gone.cancel()
        assert await there == 2

        with pytest.raises(asyncio.CancelledError):
            await gone
        assert (await store.read(stored))[0] == {"gone", "there"}


@promise("S3")
async def test_a_position_is_not_used_again_after_all_events_were_deleted(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        for key in ("a", "b", "c"):
            await store.write(partial(put, key=key))
        await store.write(lambda work: work.execute(tables.event.delete()))
        assert await store.write(lambda work: put(work, "d")) == 4
        await store.write(lambda work: work.execute(tables.event.delete()))

    async with a_store(tmp_path) as store:
        assert store.bus.seq == 4
        assert await store.write(lambda work: put(work, "e")) == 5


@promise("S3")
async def test_retention_keeps_the_last_event_so_that_the_position_stays_known(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_store(tmp_path, clock=clock) as store:
        for number in range(5):
            await store.write(lambda work, n=number: put(work, f"k{n}"))  # type: ignore[misc]  # a default binds n
        clock.advance(90 * retention.DAY_SECONDS)
        await store.write(lambda work: retention.delete_some(work, retention.Keep()))

        assert await store.read(events.oldest) == await store.read(events.last) == 5
    async with a_store(tmp_path, clock=clock) as store:
        assert await store.write(lambda work: put(work, "next")) == 6


async def test_a_position_that_was_not_committed_is_given_to_the_next(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:

        def broken(work: Writing) -> None:
            put(work, "broken")
            raise InvalidError("No.")

        with pytest.raises(InvalidError):
            await store.write(broken)

        assert await store.write(lambda work: put(work, "next")) == 1


async def test_closing_finishes_what_is_queued_and_refuses_what_comes_later(
    tmp_path: Path,
) -> None:
    store = await Store.open(tmp_path, Bus(), clock=ManualClock())
    written = [asyncio.ensure_future(store.write(partial(put, key=f"k{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(store.close())
    await asyncio.sleep(0)
    late = asyncio.ensure_future(store.write(lambda work: put(work, "late")))

    async with asyncio.timeout(10):
        assert await asyncio.gather(*written) == list(range(1, 21))
        with pytest.raises(UnavailableError):
            await late
        await closing


async def test_a_read_sees_one_state_while_others_write(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await store.write(lambda work: put(work, "a"))
        looked, written = threading.Event(), threading.Event()

        def twice(asking: Reading) -> tuple[set[str], set[str]]:
            first, _ = stored(asking)
            looked.set()
            assert written.wait(10)
            second, told = stored(asking)
            assert told == second
            return first, second

        reading = asyncio.ensure_future(store.read(twice))
        assert await asyncio.to_thread(looked.wait, 10)
        await store.write(lambda work: put(work, "b"))
        written.set()

        assert await reading == ({"a"}, {"a"})
        assert (await store.read(stored))[0] == {"a", "b"}


async def test_a_read_that_raises_leaves_its_connection_usable(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:

        def broken(asking: Reading) -> None:
            asking.execute(select(tables.meta))
            raise InvalidError("No.")

        for _ in range(8):
            with pytest.raises(InvalidError):
                await store.read(broken)

        assert await store.read(stored) == (set(), set())


async def test_what_follows_a_commit_is_done_before_anybody_is_answered(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        done: list[str] = []

        def job(work: Writing, key: str) -> str:
            put(work, key)
            work.then(partial(done.append, key))
            return key

        async with writer_held(store):
            written = [asyncio.ensure_future(store.write(partial(job, key=k))) for k in "ab"]
            await asyncio.sleep(0)
            assert done == []
        answered: list[tuple[str, list[str]]] = []
        for each in written:
            each.add_done_callback(lambda it: answered.append((it.result(), [*done])))
        await asyncio.gather(*written)

        assert answered == [("a", ["a", "b"]), ("b", ["a", "b"])]


async def test_nothing_follows_a_job_that_failed(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        done: list[str] = []

        def job(work: Writing, key: str) -> None:
            work.then(partial(done.append, key))
            if key == "bad":
                raise InvalidError("no")

        async with writer_held(store):
            jobs = [asyncio.ensure_future(store.write(partial(job, key=k))) for k in ("bad", "ok")]
            await asyncio.sleep(0)
        await asyncio.gather(*jobs, return_exceptions=True)
        with pytest.raises(InvalidError):
            await store.write(partial(job, key="bad"))

        assert done == ["ok"]

"""A backup is one moment of the hive, and a restore puts that moment back while others work."""

import asyncio
import os
import shutil
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from hyperhive.domain.errors import InvalidError, NotFoundError, UnavailableError
from hyperhive.domain.events import Event
from hyperhive.store import Reading, Store, Writing, engine, events, migrate, tables
from hyperhive.store.store import (
    FILE_NAME,
    _back_up,
    back_up_offline,
    locked,
    position_of,
    restore_offline,
)
from tests.builders import UNBOUND, Desk, a_desk, a_store, an_actor
from tests.promises import promise
from tests.store.holding import writer_held

pytestmark = pytest.mark.anyio

SENDERS = 64


def bodies(asking: Reading) -> list[str]:
    """Give every body that is stored, in order."""
    found = asking.execute(select(tables.message.c.body).order_by(tables.message.c.id))
    return list(found.scalars())


def content_of(path: Path) -> tuple[list[tuple[int, str]], int]:
    """Give the messages of a backup and the last event's position."""
    with closing(sqlite3.connect(path)) as copy:
        rows = copy.execute("SELECT id, body FROM message ORDER BY id").fetchall()
        (seq,) = copy.execute("SELECT max(seq) FROM event").fetchone()
    return rows, int(seq)


class Crowd:
    """Senders that go on until they are told to stop; ``accepted`` is what they were answered."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._stop = False
        self._tasks: list[asyncio.Task[None]] = []
        self.accepted: list[tuple[int, int, str]] = []

    async def __aenter__(self) -> "Crowd":
        self._tasks = [asyncio.create_task(self._send(number)) for number in range(SENDERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def _send(self, number: int) -> None:
        count = 0
        while not self._stop:
            body = f"{number}:{count}"
            answer = await self._desk.messages.send(an_actor("queen"), "alice", body)
            self.accepted.append((answer["seq"], answer["id"], body))
            count += 1

    async def some_more(self, count: int = 3 * SENDERS) -> None:
        """Wait until that many more were accepted."""
        wanted = len(self.accepted) + count
        async with asyncio.timeout(20):
            while len(self.accepted) < wanted:
                assert not any(task.done() for task in self._tasks), "a sender has failed"
                with self._desk.store.bus.watch() as watch:
                    await watch.wait(1)


@promise("S5")
async def test_a_backup_under_load_holds_exactly_what_was_committed_at_its_position(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, hive=UNBOUND) as desk, Crowd(desk) as crowd:
        await crowd.some_more()
        answered = list(crowd.accepted)
        backup = await desk.store.backup()
        await crowd.some_more()

    rows, seq = content_of(backup)
    assert position_of(backup) == seq
    assert rows == sorted((number, body) for at, number, body in crowd.accepted if at <= seq)
    assert {number for _, number, _ in answered} <= {number for number, _ in rows}
    assert len(rows) < len(crowd.accepted)


@promise("S5")
async def test_a_restore_under_load_puts_the_moment_back_and_the_senders_go_on(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, hive=UNBOUND) as desk:
        epoch = desk.store.epoch
        async with Crowd(desk) as crowd:
            await crowd.some_more()
            backup = await desk.store.backup()
            await crowd.some_more()
            rows, seq = content_of(backup)

            saved = await desk.store.restore(backup)

            before = list(crowd.accepted)
            await crowd.some_more()
        kept = await desk.store.read(bodies)

        assert desk.store.epoch != epoch
        assert kept[: len(rows)] == [body for _, body in rows]
        assert len(kept) > len(rows)
        replaced = content_of(saved)[0]
        # Nothing was answered and is in neither.
        assert {body for _, _, body in crowd.accepted} == {*kept, *(body for _, body in replaced)}
        assert {body for _, _, body in before} <= {*kept, *(body for _, body in replaced)}
        positions = [event.seq for event in await desk.store.read(_every_event)]
        assert positions == list(range(1, len(positions) + 1))
        assert len(positions) == desk.store.bus.seq > seq


def _every_event(asking: Reading) -> list[Event]:
    return events.after(asking, 0, 1_000_000)


async def test_the_copy_of_what_a_restore_replaces_holds_the_last_answer_before_it(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        backup = await desk.store.backup()
        async with writer_held(desk.store):
            last = asyncio.ensure_future(desk.send("queen", "alice", "the last before"))
            restoring = asyncio.ensure_future(desk.store.restore(backup))
            # The restore has looked at its backup and stands in the queue.
            assert await asyncio.to_thread(_has_queued, desk.store, 2)
            after = asyncio.ensure_future(desk.send("queen", "alice", "the first after"))
            await asyncio.sleep(0)
        saved = await restoring

        assert (await last, "the last before") in content_of(saved)[0]
        await after
        assert await desk.store.read(bodies) == ["the first after"]


def _has_queued(store: Store, jobs: int) -> bool:
    """Wait, in a thread, until that many jobs stand behind the one that runs."""
    until = time.monotonic() + 20
    while store._writer._queue.qsize() < jobs and time.monotonic() < until:
        time.sleep(0.001)
    return store._writer._queue.qsize() >= jobs


async def test_the_epoch_changes_with_the_rows_and_stays_changed(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        first = store.epoch
        backup = await store.backup()
        await store.restore(backup)
        second = store.epoch
        assert await store.read(_stored_epoch) == second
    async with a_store(tmp_path) as store:
        assert store.epoch == second != first
    with closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone() == (first,)


def _stored_epoch(asking: Reading) -> str:
    where = tables.meta.c.key == "epoch"
    return str(asking.execute(select(tables.meta.c.value).where(where)).scalar())


async def test_a_backup_of_an_older_version_is_migrated_before_anyone_sees_it(
    tmp_path: Path,
) -> None:
    old = tmp_path / "elsewhere" / "old.db"
    old.parent.mkdir()
    connection = engine.Database(old).connect()
    migrate.migrate(connection, old, old.parent, head=migrate.KNOWN[0])
    connection.close()
    async with a_desk(tmp_path / "hive") as desk:
        await desk.store.restore(old)

        await desk.agents.declare(desk.hive)
        await desk.send("queen", "alice")
        assert await desk.store.read(_revision) == migrate.HEAD
    with closing(sqlite3.connect(old)) as untouched:
        found = untouched.execute("SELECT version_num FROM alembic_version").fetchone()
        assert found == (migrate.KNOWN[0],)


def _revision(asking: Reading) -> str | None:
    return migrate.revision_of(asking.connection)


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (None, NotFoundError),
        (b"no database at all" * 500, InvalidError),
        (b"", InvalidError),
    ],
)
async def test_what_is_no_backup_is_refused_and_changes_nothing(
    tmp_path: Path, content: bytes | None, refusal: type[Exception]
) -> None:
    source = tmp_path / "source.db"
    if content is not None:
        source.write_bytes(content)
    async with a_desk(tmp_path / "hive") as desk:
        await desk.send("queen", "alice", "here")
        epoch = desk.store.epoch

        with pytest.raises(refusal):
            await desk.store.restore(source)

        assert desk.store.epoch == epoch
        assert await desk.store.read(bodies) == ["here"]
    assert list((tmp_path / "hive").glob("restore-*")) == []


async def test_a_backup_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        backup = await store.backup()
        with closing(sqlite3.connect(backup)) as newer:
            newer.execute("UPDATE alembic_version SET version_num = '9999'")
            newer.commit()

        with pytest.raises(migrate.NewerSchemaError):
            await store.restore(backup)


async def test_backups_made_at_the_same_moment_are_files_of_their_own(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        made = await asyncio.gather(*(store.backup() for _ in range(8)))

    assert len(set(made)) == 8
    assert {path.name for path in made} == {p.name for p in (tmp_path / "backups").iterdir()}
    assert [engine.fault_of(path) for path in made] == [None] * 8


async def test_a_backup_that_fails_leaves_no_file_that_looks_like_one(tmp_path: Path) -> None:
    await offline_hive(tmp_path, "kept" * 2000)
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 5000)

    with pytest.raises(UnavailableError):
        back_up_offline(tmp_path)
    with pytest.raises(UnavailableError):
        _back_up(tmp_path / FILE_NAME, tmp_path / "backups", "asked")

    assert not list((tmp_path / "backups").glob("*"))


async def test_readers_see_either_the_old_rows_or_the_restored_ones(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice", "kept")
        backup = await desk.store.backup()
        await desk.send("queen", "alice", "later")
        looked, restored = threading.Event(), threading.Event()

        def slow(asking: Reading) -> list[str]:
            first = bodies(asking)
            looked.set()
            assert restored.wait(20)
            assert bodies(asking) == first
            return first

        reading = asyncio.ensure_future(desk.store.read(slow))
        assert await asyncio.to_thread(looked.wait, 10)
        await desk.store.restore(backup)
        restored.set()

        assert await reading == ["kept", "later"]
        assert await desk.store.read(bodies) == ["kept"]


async def offline_hive(directory: Path, *texts: str) -> None:
    async with a_desk(directory) as desk:
        for text in texts:
            await desk.send("queen", "alice", text)


async def test_an_offline_backup_names_its_position_and_restores_to_it(tmp_path: Path) -> None:
    await offline_hive(tmp_path, "first")
    made, seq = back_up_offline(tmp_path)
    await offline_hive(tmp_path, "second")

    saved, epoch = restore_offline(tmp_path, made)

    assert seq == content_of(made)[1]
    assert saved is not None
    assert [body for _, body in content_of(saved)[0]] == ["first", "second"]
    async with a_store(tmp_path) as store:
        assert await store.read(bodies) == ["first"]
        assert store.epoch == epoch
        assert store.bus.seq == seq


async def test_a_backup_that_is_still_in_two_files_is_restored_whole(tmp_path: Path) -> None:
    """A copy made with ``cp`` of a hive that runs has part of its rows in the log beside it."""
    async with a_desk(tmp_path / "hive") as desk:
        await desk.send("queen", "alice", "in the log")
        copy = tmp_path / "copy" / FILE_NAME
        shutil.copytree(tmp_path / "hive", copy.parent)
    assert copy.with_name(f"{FILE_NAME}-wal").stat().st_size > 0

    restore_offline(tmp_path / "other", copy)

    async with a_store(tmp_path / "other") as store:
        assert await store.read(bodies) == ["in the log"]


@pytest.mark.parametrize("damage", ["no database", "torn"])
async def test_a_broken_database_is_set_aside_whole_and_replaced(
    tmp_path: Path, damage: str
) -> None:
    await offline_hive(tmp_path, *["kept" * 500] * 20)
    made, _ = back_up_offline(tmp_path)
    present = tmp_path / FILE_NAME
    content = present.read_bytes()
    broken = b"gone" * 5000 if damage == "no database" else content[:8192] + b"\xff" * 16384
    present.write_bytes(broken)

    with pytest.raises(UnavailableError, match="broken"):
        back_up_offline(tmp_path)
    saved, _ = restore_offline(tmp_path, made)

    assert saved is not None
    assert saved.read_bytes() == broken
    async with a_store(tmp_path) as store:
        assert len(await store.read(bodies)) == 20


async def test_restoring_where_there_was_nothing_makes_a_hive(tmp_path: Path) -> None:
    await offline_hive(tmp_path / "one", "moved")
    made, _ = back_up_offline(tmp_path / "one")

    saved, _ = restore_offline(tmp_path / "two", made)

    assert saved is None
    async with a_store(tmp_path / "two") as store:
        assert await store.read(bodies) == ["moved"]


def test_there_is_nothing_to_back_up_without_a_database(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        back_up_offline(tmp_path)


async def test_an_offline_restore_frees_the_directory_again(tmp_path: Path) -> None:

    await offline_hive(tmp_path)
    made, _ = back_up_offline(tmp_path)
    restore_offline(tmp_path, made)
    with pytest.raises(NotFoundError):
        restore_offline(tmp_path, tmp_path / "nowhere.db")

    os.close(locked(tmp_path))


async def test_a_restore_waits_for_what_is_queued_before_it(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        backup = await store.backup()
        order: list[str] = []

        def note(_work: Writing) -> None:
            order.append("written")

        await asyncio.gather(store.write(note), _noted(store, backup, order))

        assert order == ["written", "restored"]


async def _noted(store: Store, backup: Path, order: list[str]) -> None:
    await store.restore(backup)
    order.append("restored")

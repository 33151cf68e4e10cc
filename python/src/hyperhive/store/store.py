"""The hive's memory, to the layers above: write jobs, read jobs, backups and restores.

``await store.write(job)`` returns what the job returned, after it is on disk. ``await
store.read(job)`` runs on one consistent state. A job is a plain function; it must be quick and
must not touch the event loop.
"""

import asyncio
import fcntl
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self, TypeVar

from sqlalchemy import Connection, delete, insert, select

from hyperhive.bus import Bus
from hyperhive.domain.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from hyperhive.store import approvals, engine, migrate, tables
from hyperhive.store.transaction import Reading, Writing
from hyperhive.store.writer import Writer

Result = TypeVar("Result")

FILE_NAME: Final = "hive.db"
READERS: Final = 4


class Store:
    """One open database: one writer, a few readers."""

    def __init__(
        self, directory: Path, connection: Connection, bus: Bus, clock: Callable[[], float]
    ) -> None:
        self.directory = directory
        self.path = directory / FILE_NAME
        self.bus = bus
        self.clock = clock
        self.epoch = _epoch(connection)
        self._connection = connection
        self._writer = Writer(connection, bus, clock, asyncio.get_running_loop())
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="hyperhive-reader")
        self._local = threading.local()
        self._reading: list[Connection] = []
        bus.seq = self._writer.seq

    @classmethod
    async def open(
        cls, directory: Path, bus: Bus, *, clock: Callable[[], float] = time.time
    ) -> Self:
        """Open the database in ``directory``, made or migrated as needed.

        Whoever opens it must hold `locked` on the directory: there is one server to a database.
        """
        connection = await asyncio.to_thread(_open, directory)
        try:
            return cls(directory, connection, bus, clock)
        except BaseException:
            connection.close()
            raise

    async def write(self, job: Callable[[Writing], Result]) -> Result:
        """Run a job in a transaction and return its result once it is on disk.

        Its events are published after the commit. If it raises, nothing of it is stored. A
        caller that is cancelled does not stop a job that is already queued.
        """
        result: Result = await self._writer.submit(job)
        return result

    async def read(self, job: Callable[[Reading], Result]) -> Result:
        """Run a job that only reads, on one consistent state."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, job)

    def _read(self, job: Callable[[Reading], Result]) -> Result:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            with engine.explained():
                connection = engine.Database(self.path).connect()
            self._local.connection = connection
            self._reading.append(connection)
        with engine.explained(), engine.snapshot(connection):
            return job(Reading(connection, self.clock()))

    async def backup(self, reason: str = "asked") -> Path:
        """Copy the database as it is now into ``backups/``, while work goes on."""
        return await asyncio.to_thread(_back_up, self.path, self.directory / "backups", reason)

    def backups(self, reason: str) -> list[Path]:
        """Give the backups that were made for a reason, oldest first."""
        return sorted((self.directory / "backups").glob(f"*Z-{reason}*.db"))

    async def restore(self, source: Path) -> Path:
        """Put a backup's content in place of the present one, which is copied aside first.

        Jobs that are queued wait, so the copy holds all that was ever answered. The epoch changes
        in the same commit, so that every client starts over. Returns the path of the copy.
        """
        backups = self.directory / "backups"

        def replace(work: Writing) -> Path:
            saved = _back_up(self.path, backups, "before-restore")
            engine.overwrite(work.connection, ready)
            self._writer.look_again()
            self.epoch = epoch
            return saved

        with tempfile.TemporaryDirectory(dir=self.directory, prefix="restore-") as room:
            ready = Path(room) / FILE_NAME
            with engine.explained():
                epoch = await asyncio.to_thread(_made_ready, source, ready)
            saved: Path = await self._writer.submit(replace, alone=True)
        return saved

    async def close(self) -> None:
        """Finish what is queued and close every connection."""
        self._writer.refuse()
        await asyncio.to_thread(self._writer.finish)
        self._readers.shutdown(wait=True)
        for connection in self._reading:
            connection.close()
        self._connection.close()


def locked(directory: Path) -> int:
    """Claim a state directory for this process, until it ends or the descriptor is closed.

    Raises `ConflictError` when another server has it.
    """
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    lock = os.open(directory / "hive.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ConflictError(
            f"Another server already runs the hive in {directory}.",
            "Stop that one first, or use its admin socket.",
        ) from None
    return lock


def position_of(backup: Path) -> int:
    """Give the ``seq`` that a backup reaches."""
    connection = engine.Database(backup, read_only=True).connect()
    try:
        return engine.last_used(connection, tables.event)
    finally:
        connection.close()


def back_up_offline(directory: Path) -> tuple[Path, int]:
    """Copy the database of a hive that is not running into its ``backups/``.

    Returns the copy's path and the ``seq`` that it reaches.
    """
    present = directory / FILE_NAME
    if not present.exists():
        raise NotFoundError("database", present)
    fault = engine.fault_of(present)
    if fault is not None:
        raise UnavailableError(
            f"{present} is broken: {fault}.", "Put a backup in its place: hyperhive restore BACKUP."
        )
    made = _back_up(present, directory / "backups", "asked")
    return made, position_of(made)


def restore_offline(directory: Path, source: Path) -> tuple[Path | None, str]:
    """Put a backup in place of the database of a hive that is not running.

    Works whatever schema the present one has, a broken one included. Returns the path of the
    copy of what was replaced (``None`` when there was nothing) and the new epoch.
    """
    lock = locked(directory)
    try:
        room_in = tempfile.TemporaryDirectory(dir=directory, prefix="restore-")
        with engine.explained(), room_in as room:
            ready = Path(room) / FILE_NAME
            epoch = _made_ready(source, ready)
            present = directory / FILE_NAME
            saved = _set_aside(present, directory / "backups") if present.exists() else None
            connection = engine.Database(present).connect()
            try:
                engine.overwrite(connection, ready)
            finally:
                connection.close()
        return saved, epoch
    finally:
        os.close(lock)


def _set_aside(present: Path, backups: Path) -> Path:
    """Copy a database away, or move it with all its files when it is too broken to be copied."""
    if engine.fault_of(present) is None:
        return _back_up(present, backups, "before-restore")
    with migrate.new_file(backups, "broken") as partial:
        saved = partial.with_suffix(".db")
        for suffix in ("-wal", "-shm"):
            side = present.with_name(present.name + suffix)
            if side.exists():
                side.rename(saved.with_name(saved.name + suffix))
        present.rename(partial)
    return saved


def _made_ready(source: Path, ready: Path) -> str:
    """Copy a backup, bring it to this version's schema, give it a new epoch and return that.

    What it calls approved may have been carried out since: it is made to run nothing again.
    The original stays as it is, and a backup that cannot be used is refused before it replaces
    anything.
    """
    _check_backup(source)
    origin = engine.Database(source, read_only=True).connect()
    try:
        engine.copy(origin, ready)
    finally:
        origin.close()
    connection = engine.Database(ready).connect()
    try:
        migrate.migrate(connection, ready, ready.parent)
        engine.begin(connection)
        epoch = _new_epoch(connection)
        approvals.void(connection, time.time())
        engine.commit(connection)
    finally:
        connection.close()
    return epoch


def _open(directory: Path) -> Connection:
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    with engine.explained():
        connection = engine.Database(directory / FILE_NAME).connect()
        try:
            migrate.migrate(connection, directory / FILE_NAME, directory / "backups")
        except BaseException:
            connection.close()
            raise
    return connection


def _back_up(path: Path, backups: Path, reason: str) -> Path:
    with engine.explained():
        connection = engine.Database(path, read_only=True).connect()
        try:
            return migrate.back_up(connection, backups, reason)
        finally:
            connection.close()


def _check_backup(source: Path) -> None:
    if not source.is_file():
        raise NotFoundError("backup", source)
    fault = engine.fault_of(source)
    if fault is not None:
        raise InvalidError(f"{source} is not a sound backup: {fault}.", "Restore another one.")
    connection = engine.Database(source, read_only=True).connect()
    try:
        revision = migrate.revision_of(connection)
    finally:
        connection.close()
    if revision is None:
        raise InvalidError(f"{source} is not a backup of a hive.", "Restore another one.")
    if revision not in migrate.KNOWN:
        raise migrate.NewerSchemaError(source, revision, None)


def _epoch(connection: Connection) -> str:
    found = connection.execute(
        select(tables.meta.c.value).where(tables.meta.c.key == "epoch")
    ).scalar()
    if found:
        return str(found)
    engine.begin(connection)
    epoch = _new_epoch(connection)
    engine.commit(connection)
    return epoch


def _new_epoch(connection: Connection) -> str:
    epoch = secrets.token_hex(6)
    connection.execute(delete(tables.meta).where(tables.meta.c.key == "epoch"))
    connection.execute(insert(tables.meta), {"key": "epoch", "value": epoch})
    return epoch

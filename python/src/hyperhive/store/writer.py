"""The one writer: a thread that owns the write connection and drains a queue of jobs.

All jobs that are queued share one transaction and so one flush of the disk (group commit). Each
runs behind a savepoint of its own, so a job that raises undoes only itself, and every caller is
answered after the commit, never before. If an error ends the whole transaction, the whole batch
fails and nothing of it is stored.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Final

from sqlalchemy import Connection, func, select

from hyperhive.bus import Bus
from hyperhive.domain.errors import UnavailableError
from hyperhive.store import engine, tables
from hyperhive.store.transaction import Writing

BATCH_MAX: Final = 256
"""Jobs in one commit. More gains nothing and holds the first ones up."""

_EVENTS: Final = engine.Insertion(tables.event, *tables.event.c.keys())


class _BatchLostError(Exception):
    """An error ended the whole transaction."""


@dataclass(slots=True, eq=False)
class _Pending:
    """A job that waits for its commit."""

    job: Callable[[Writing], Any]
    future: "asyncio.Future[Any]"
    alone: bool = False
    result: Any = None
    error: BaseException | None = None
    names: set[str] = field(default_factory=set)
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    undoing: list[Callable[[], None]] = field(default_factory=list)

    def undo(self) -> None:
        """Take back what the job changed beside the database; once, however often it is asked."""
        while self.undoing:
            self.undoing.pop()()


class Writer:
    """Runs write jobs in commits that they share."""

    def __init__(
        self,
        connection: Connection,
        bus: Bus,
        clock: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._connection = connection
        self._bus = bus
        self._clock = clock
        self._loop = loop
        self._queue: SimpleQueue[_Pending | None] = SimpleQueue()
        self._held: list[_Pending | None] = []
        self._closed = False
        self.seq = 0
        self.look_again()
        self._thread = threading.Thread(target=self._run, name="hyperhive-writer", daemon=True)
        self._thread.start()

    def look_again(self) -> None:
        """Take the last ``seq`` from the table; only the writer's own thread may ask later on."""
        found = self._connection.execute(select(func.max(tables.event.c.seq))).scalar()
        self.seq = max(int(found or 0), engine.last_used(self._connection, tables.event))

    def submit(
        self, job: Callable[[Writing], Any], *, alone: bool = False
    ) -> "asyncio.Future[Any]":
        """Queue a job; the future is set after its commit.

        A job that runs ``alone`` has the connection to itself, outside any transaction.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._closed:
            future.set_exception(UnavailableError("The hive is stopping.", "Try again later."))
        else:
            self._queue.put(_Pending(job, future, alone))
        return future

    def refuse(self) -> None:
        """Take no more jobs; the event loop calls it, as it does `submit`."""
        self._closed = True
        self._queue.put(None)

    def finish(self) -> None:
        """Wait, after `refuse`, until the last job is done."""
        self._thread.join()

    def _run(self) -> None:
        while batch := self._gather():
            if batch[0].alone:
                self._run_alone(batch[0])
            else:
                self._commit(batch)
            self._answer(batch)

    def _gather(self) -> list[_Pending]:
        """Wait for a job and take along what has queued behind it; nothing means the end."""
        first = self._held.pop() if self._held else self._queue.get()
        if first is None or first.alone:
            return [first] if first else []
        batch = [first]
        while len(batch) < BATCH_MAX and not self._queue.empty():
            following = self._queue.get()
            if following is None or following.alone:
                self._held.append(following)
                break
            batch.append(following)
        return batch

    def _commit(self, batch: list[_Pending]) -> None:
        try:
            engine.begin(self._connection)
            seq = self._run_jobs(batch)
            engine.commit(self._connection)
            self.seq = seq
        except BaseException as error:  # noqa: BLE001 - every caller of the batch must hear of it
            self._give_up(batch, error)

    def _run_jobs(self, batch: list[_Pending]) -> int:
        seq = self.seq
        events: list[dict[str, Any]] = []
        # A job that shares its commit with nobody needs no savepoint: undoing it undoes all.
        shared = len(batch) > 1
        for pending in batch:
            if shared:
                engine.mark(self._connection)
            work = Writing(self._connection, self._clock(), seq)
            pending.undoing = work.undoing
            try:
                pending.result = pending.job(work)
            except Exception as error:
                pending.error = engine.understood(error)
                pending.undo()
                if not shared or not engine.is_open(self._connection):
                    raise _BatchLostError from error
                engine.undo(self._connection)
            else:
                if shared:
                    engine.keep(self._connection)
                seq = work.seq
                events += work.events
                pending.names = work.names
                pending.afterwards = work.afterwards
        if events:
            _EVENTS.add_all(self._connection, events)
        return seq

    def _give_up(self, batch: list[_Pending], error: BaseException) -> None:
        engine.roll_back(self._connection)
        cause = error.__cause__ if isinstance(error, _BatchLostError) and error.__cause__ else error
        reason = engine.understood(cause)
        for pending in batch:
            pending.undo()
            pending.result = None
            pending.names = set()
            pending.afterwards = []
            pending.error = pending.error or reason

    def _run_alone(self, pending: _Pending) -> None:
        work = Writing(self._connection, self._clock(), self.seq)
        try:
            pending.result = pending.job(work)
        except BaseException as error:  # noqa: BLE001 - the caller gets it
            engine.roll_back(self._connection)
            pending.error = engine.understood(error)

    def _answer(self, batch: list[_Pending]) -> None:
        names = set().union(*(pending.names for pending in batch))
        try:
            self._loop.call_soon_threadsafe(self._settle, batch, self.seq, names)
        except RuntimeError:
            # The loop has been closed: nobody is left who could be told.
            return

    def _settle(self, batch: list[_Pending], seq: int, names: set[str]) -> None:
        for pending in batch:
            for act in pending.afterwards:
                act()
        for pending in batch:
            if pending.future.done():
                continue
            if pending.error is not None:
                pending.future.set_exception(pending.error)
            else:
                pending.future.set_result(pending.result)
        self._bus.publish(seq, names)

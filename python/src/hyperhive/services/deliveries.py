"""Delivering what is due: up to 100 reminders in one transaction, then the next ones.

A transaction both fills the inboxes and marks the reminders, so none is lost between the two and
none comes twice. What belongs in a file is written before it, and noted before that: after a crash
the next attempt finds its own text there, and whoever comes after one that was cancelled meanwhile
knows its text. Of those with the same file, one transaction holds one. While one batch follows
another, whoever sends gets in between.

A batch that fails is taken apart, so that one reminder which cannot be delivered holds up no
other: its failure is noted on it, it is tried again later, and in the end given up.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from hyperhive import bus
from hyperhive.domain import reminders as rules
from hyperhive.domain.actors import REMINDER, THE_REMINDER
from hyperhive.domain.errors import ConflictError, HiveError, UnavailableError
from hyperhive.domain.events import EventKind
from hyperhive.domain.reminders import Delivery, ReminderState
from hyperhive.services import reminder_files
from hyperhive.services.agents import Agents
from hyperhive.services.reminder_files import NotWrittenError
from hyperhive.services.reminders import roots_of, tell_of_failed
from hyperhive.services.trouble import Trouble
from hyperhive.store import Row, Store, Writing, messages
from hyperhive.store import reminders as rows
from hyperhive.store.messages import Draft

LOOK_SECONDS: Final = 1.0
"""How often the clock is looked at while something is pending: it may jump."""
TROUBLE_SECONDS: Final = 1.0
"""How long to wait before what failed is tried again."""
ERROR_CHARS_MAX: Final = 500

_log = logging.getLogger(__name__)

Outcomes = Mapping[int, str | None]
"""By reminder: ``None`` where its file is written, or why it is not."""


class Deliveries:
    """Delivers reminders when they are due."""

    def __init__(self, store: Store, agents: Agents) -> None:
        self._store = store
        self._agents = agents
        self._trouble = Trouble(store, "reminders")
        self._since = store.clock()
        self._watch = store.bus.watch(bus.REMINDERS)
        self._ending = False
        self.next_at: float | None = None
        """When the next one is due, as last seen; what was added since rings the bus."""
        self.arm: Callable[[float | None], None] | None = None
        """Told of each such time; whoever keeps the time calls `wake` then."""

    def wake(self) -> None:
        """Look now."""
        self._watch.ring()

    def end(self) -> None:
        """Have `run` return once the batch that is under way is done."""
        self._ending = True
        self._watch.ring()

    async def run(self) -> None:
        """Deliver whatever is due when it is due, until `end`."""
        with self._watch:
            while not self._ending:
                async with self._trouble.told():
                    await self.deliver_due()
                if self._trouble.lasts:
                    await self._watch.wait(TROUBLE_SECONDS)
                else:
                    await self._until_due()

    async def _until_due(self) -> None:
        """Wait for the next one's time, by the clock as it is, or for one that comes earlier."""
        if self.arm is not None:
            self.arm(self.next_at)
        while not self._ending:
            if self.next_at is None:
                await self._watch.wait()
                return
            left = self.next_at - self._store.clock()
            if left <= 0 or await self._watch.wait(min(left, LOOK_SECONDS)):
                return

    async def deliver_due(self) -> int:
        """Deliver all that is due now; return how many it were."""
        total = 0
        while not self._ending:
            batch, self.next_at = await self._store.read(
                lambda asking: (rows.due(asking, rules.BATCH), rows.next_at(asking))
            )
            if not batch:
                break
            total += await self._deliver(_one_to_a_file(batch))
        return total

    async def _deliver(self, batch: Sequence[Row]) -> int:
        outcomes = await self._write_files([row for row in batch if row.file_path is not None])
        numbers = [row.id for row in batch]
        try:
            return await self._store.write(lambda work: self._settle(work, numbers, outcomes))
        except UnavailableError:
            raise
        except Exception:  # noqa: BLE001 - one of them is the reason, and is found now
            done = 0
            for number in numbers:
                done += await self._deliver_alone(number, outcomes)
            return done

    async def _deliver_alone(self, number: int, outcomes: Outcomes) -> int:
        try:
            return await self._store.write(lambda work: self._settle(work, [number], outcomes))
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - noted where the operator sees it
            if not isinstance(error, HiveError):
                _log.exception("reminder %s could not be delivered", number)
            said = str(error)[:ERROR_CHARS_MAX] or type(error).__name__
            await self._store.write(lambda work: self._note_failure(work, number, said))
            return 0

    def _settle(self, work: Writing, numbers: Sequence[int], outcomes: Outcomes) -> int:
        """Deliver those that are still due; one that was cancelled meanwhile is not."""
        done = 0
        for number in numbers:
            row = _still_due(work, number)
            if row is None:
                continue
            if _is_left_out(work, row):
                _leave_out(work, row)
            elif row.file_path is not None and number not in outcomes:
                # The one before it has been handled meanwhile; its file is written at the next try.
                continue
            else:
                self._hand_over(work, row, outcomes.get(number))
            done += 1
        return done

    def _hand_over(self, work: Writing, row: Row, fault: str | None) -> None:
        if row.agent not in self._agents.roster.members:
            raise ConflictError(
                f"{row.agent} is not an agent of the hive now.", "Declare it again, then retry."
            )
        every = row.repeat_every_seconds
        late = rules.is_late(row.due_at, work.now, self._since)
        in_file = row.file_path is not None and fault is None
        delivery = Delivery(
            row.id,
            row.due_at,
            work.now,
            late,
            text=None if in_file else row.body,
            path=self._shown(row.agent, row.file_path),
            size=len(row.body.encode()),
            fault=fault,
            skipped=row.skipped,
        )
        message = messages.add(work, Draft(THE_REMINDER, row.agent, rules.wording(delivery)))
        changes: dict[str, Any] = {
            "late": late,
            "attempts": row.attempts + 1,
            "last_error": fault,
            "deliveries": row.deliveries + 1,
            "skipped": 0,
            "delivered_at": work.now,
            "message": message,
            "written": row.file_path if in_file else None,
        }
        if every is None:
            changes |= {"state": ReminderState.DELIVERED.value, "closed_at": work.now}
        else:
            changes |= _next_time(work, row)
        rows.change(work, row, EventKind.REMINDER_DELIVERED, REMINDER, **changes)

    def _note_failure(self, work: Writing, number: int, said: str) -> None:
        row = rows.find(work, number)
        if row is None or row.state != ReminderState.PENDING.value:
            return
        attempts = row.attempts + 1
        changes: dict[str, Any] = {"attempts": attempts, "last_error": said}
        again = rules.retry_at(attempts, work.now)
        if again is not None:
            changes["next_at"] = again
            rows.change(work, row, EventKind.REMINDER_CHANGED, REMINDER, **changes)
            return
        changes["state"] = ReminderState.FAILED.value
        rows.change(work, row, EventKind.REMINDER_FAILED, REMINDER, **changes)
        tell_of_failed(work, row.agent)

    async def _write_files(self, wanted: Sequence[Row]) -> dict[int, str | None]:
        """Write what belongs in files, unless it is left out; say of each whether it is there."""
        if not wanted:
            return {}
        numbers = [row.id for row in wanted]
        earlier = await self._store.write(lambda work: _note_files(work, numbers))

        def write() -> dict[int, str | None]:
            return {
                row.id: self._fault_of(row, earlier[row.id]) for row in wanted if row.id in earlier
            }

        return await asyncio.to_thread(write)

    def _fault_of(self, row: Row, earlier: Sequence[str]) -> str | None:
        state_dir = self._agents.hive.state_dir
        part = f".reminder-{row.id}{reminder_files.PART_SUFFIX}"
        try:
            reminder_files.write(state_dir, row.agent, row.file_path, row.body, earlier, part=part)
        except NotWrittenError as error:
            return str(error)
        except Exception:  # noqa: BLE001 - the text comes inline then
            _log.exception("the file of reminder %s could not be written", row.id)
            return "it failed; the hive's log says why."
        return None

    def _shown(self, agent: str, path: str | None) -> str | None:
        return None if path is None else f"{roots_of(self._agents.hive, agent)[0]}/{path}"


def _one_to_a_file(batch: Sequence[Row]) -> list[Row]:
    """Leave to later batches what goes where an earlier one of this batch goes."""
    taken: dict[object, Row] = {}
    for row in batch:
        taken.setdefault((row.agent, row.file_path) if row.file_path else row.id, row)
    return list(taken.values())


def _still_due(work: Writing, number: int) -> Row | None:
    row = rows.find(work, number)
    is_due = row is not None and row.state == ReminderState.PENDING and row.next_at <= work.now
    return row if is_due else None


def _is_left_out(work: Writing, row: Row) -> bool:
    """Whether the time passes without it: it recurs, and the one before is not handled yet."""
    return row.repeat_every_seconds is not None and rows.is_unhandled(work, row.message)


def _leave_out(work: Writing, row: Row) -> None:
    changes = {"skipped": row.skipped + 1, "last_error": None, **_next_time(work, row)}
    rows.change(work, row, EventKind.REMINDER_CHANGED, REMINDER, **changes)


def _next_time(work: Writing, row: Row) -> dict[str, Any]:
    following = rules.next_occurrence(row.due_at, row.repeat_every_seconds, work.now)
    return {"due_at": following, "next_at": following, "attempts": 0}


def _note_files(work: Writing, numbers: Sequence[int]) -> dict[int, list[str]]:
    """Note of what is not left out that it is written; give the texts that each may replace."""
    earlier: dict[int, list[str]] = {}
    for number in numbers:
        row = _still_due(work, number)
        if row is not None and not _is_left_out(work, row):
            earlier[number] = rows.texts_written_to(work, row.agent, row.file_path)
            rows.note_written(work, row)
    return earlier

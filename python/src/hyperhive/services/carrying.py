"""Carrying out what the operator said yes to: once at most, and never left half told.

What is approved is a row, so a lost wake-up costs latency and a crash nothing: what was approved
is taken up by the next server, and what was running is settled there by its executor, which finds
out how far it came. One of a kind runs at a time; no kind waits for another.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from hyperhive import bus
from hyperhive.domain.actors import THE_SYSTEM
from hyperhive.domain.approvals import ApprovalKind, ApprovalState, Approved
from hyperhive.domain.errors import HiveError
from hyperhive.services.approvals import Approvals
from hyperhive.services.trouble import Trouble
from hyperhive.store import Store, Writing
from hyperhive.store import approvals as rows
from hyperhive.store.transaction import dumps

LOOK_SECONDS: Final = 30.0
"""The longest time between two looks; every step of an approval causes one at once."""
EXPIRY_LOOK_SECONDS: Final = 1.0
"""The same while something can expire: the clock may jump."""
RETRY_SECONDS: Final = 1.0
ERROR_CHARS_MAX: Final = 4000

INTERRUPTED: Final = (
    "The hive stopped while this ran, and it did not come to its end. Look at what it left, and "
    "ask again."
)
UNEXPECTED: Final = "It failed inside the hive, whose log says why."

_log = logging.getLogger(__name__)


class Carrying:
    """Takes up what is approved, and ends what is over."""

    def __init__(self, store: Store, approvals: Approvals) -> None:
        self._store = store
        self._approvals = approvals
        self._trouble = Trouble(store, "approvals")
        self._one_of: defaultdict[ApprovalKind, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._under_way: dict[int, str] = {}
        """Digests of what this process carries out now, by number."""

    async def run(self) -> None:
        """Do it all, for ever; what fails, the next look tries again."""
        settled = False
        with self._store.bus.watch(bus.APPROVALS) as watch:
            async with asyncio.TaskGroup() as group:
                while True:
                    wait = RETRY_SECONDS
                    async with self._trouble.told():
                        if not settled:
                            await self.settle()
                            settled = True
                        for each in await self.approved():
                            if each.id not in self._under_way:
                                self._under_way[each.id] = each.digest
                                group.create_task(self._carry(each), name=f"approval {each.id}")
                        due = await self._approvals.expire()
                        wait = LOOK_SECONDS if due is None else EXPIRY_LOOK_SECONDS
                        if due is not None:
                            wait = min(wait, max(0.0, due - self._store.clock()))
                    await watch.wait(wait)

    async def settle(self) -> None:
        """End what was running and is not under way here: the process that ran it has died."""
        found = await self._store.read(lambda asking: rows.in_state(asking, ApprovalState.RUNNING))
        for row in found:
            if self._under_way.get(row.id) == row.digest:
                continue
            approved = rows.approved(row)
            try:
                executor = self._approvals.executor(approved.kind)
                result = await executor.settle(approved)
                result_json = None if result is None else dumps(dict(result))
            except HiveError as error:
                await self._end(approved, None, str(error))
            except Exception:  # noqa: BLE001 - it must not stay running, whatever its executor does
                _log.exception("approval %s could not be settled", approved.id)
                await self._end(approved, None, UNEXPECTED)
            else:
                await self._end(approved, result_json, INTERRUPTED if result is None else None)

    async def approved(self) -> list[Approved]:
        """Give what waits to be carried out, oldest first."""
        found = await self._store.read(lambda asking: rows.in_state(asking, ApprovalState.APPROVED))
        return [rows.approved(row) for row in found]

    async def carry(self, number: int) -> None:
        """Carry out one approval to its end, unless that has begun already."""
        approved = await self._store.write(lambda work: _begin(work, number))
        if approved is None:
            return
        self._under_way[number] = approved.digest
        result_json, error = None, None
        try:
            result: Mapping[str, Any] = await self._approvals.executor(approved.kind).carry_out(
                approved
            )
            result_json = dumps(dict(result))
        except HiveError as refused:
            error = str(refused)
        except Exception:  # noqa: BLE001 - whoever asked is told, the log has the rest
            _log.exception("approval %s could not be carried out", number)
            error = UNEXPECTED
        while True:
            try:
                await self._end(approved, result_json, error)
            except Exception:  # noqa: BLE001 - what was done must not stay untold
                _log.exception("the end of approval %s could not be stored; again soon", number)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _carry(self, approved: Approved) -> None:
        try:
            async with self._one_of[approved.kind]:
                await self.carry(approved.id)
        except Exception:  # noqa: BLE001 - one approval's trouble is not the others'
            _log.exception("approval %s could not be taken up; it is tried again", approved.id)
        finally:
            self._under_way.pop(approved.id, None)

    async def _end(self, approved: Approved, result_json: str | None, error: str | None) -> None:
        """Record how it ended, unless a backup that was put in place knows nothing of it."""
        state = ApprovalState.DONE if error is None else ApprovalState.FAILED
        said = None if error is None else error[:ERROR_CHARS_MAX]

        def job(work: Writing) -> None:
            row = rows.find(work, approved.id)
            is_this = row is not None and row.digest == approved.digest
            if row is not None and is_this and row.state == ApprovalState.RUNNING.value:
                self._approvals.close(
                    work, row, state, THE_SYSTEM, error=said, result_json=result_json
                )

        await self._store.write(job)


def _begin(work: Writing, number: int) -> Approved | None:
    row = rows.find(work, number)
    if row is None or row.state != ApprovalState.APPROVED.value:
        return None
    rows.change(work, row, ApprovalState.RUNNING, THE_SYSTEM, started_at=work.now)
    return rows.approved(row)

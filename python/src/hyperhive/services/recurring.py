"""What the operator's yes to a recurring reminder does: it counts from then on."""

from collections.abc import Mapping
from typing import Any

from hyperhive.domain import reminders as rules
from hyperhive.domain.actors import THE_SYSTEM
from hyperhive.domain.approvals import ApprovalState, Approved, Proposal
from hyperhive.domain.errors import ConflictError
from hyperhive.domain.events import EventKind
from hyperhive.domain.reminders import ReminderState
from hyperhive.store import Reading, Row, Store, Writing
from hyperhive.store import reminders as rows
from hyperhive.store.transaction import Asking


class Recurring:
    """The executor of ``recurring_reminder``; see `hyperhive.services.approvals.Executor`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def refuse(self, asking: Asking, proposal: Proposal) -> None:
        """Refuse what is no longer proposed."""
        _proposed(asking, proposal.payload, proposal.agent)

    async def carry_out(self, approved: Approved) -> Mapping[str, Any]:
        """Let it count; a time that has passed meanwhile was not owed and is not made up for."""

        def job(work: Writing) -> Mapping[str, Any]:
            row = _proposed(work, approved.payload, approved.agent)
            due_at = row.due_at
            if due_at <= work.now:
                due_at = rules.next_occurrence(due_at, row.repeat_every_seconds, work.now)
            state = ReminderState.PENDING.value
            begun = {"state": state, "due_at": due_at, "next_at": due_at}
            rows.change(work, row, EventKind.REMINDER_CHANGED, THE_SYSTEM, **begun)
            return {"reminder": row.id, "due_at": due_at}

        return await self._store.write(job)

    async def settle(self, approved: Approved) -> Mapping[str, Any] | None:
        """Tell whether it counted already when the process died."""

        def job(asking: Reading) -> Mapping[str, Any] | None:
            row = rows.find(asking, int(approved.payload["reminder"]))
            if row is None or row.state == ReminderState.PROPOSED.value:
                return None
            return {"reminder": row.id, "due_at": row.due_at}

        return await self._store.read(job)

    def closed(self, work: Writing, approved: Approved, state: ApprovalState) -> None:
        """Take the reminder back whose approval ended without a yes that took effect."""
        row = rows.find(work, int(approved.payload["reminder"]))
        if (
            state is not ApprovalState.DONE
            and row is not None
            and row.state == ReminderState.PROPOSED.value
        ):
            rows.cancel(work, row, THE_SYSTEM)


def _proposed(asking: Asking, payload: Mapping[str, Any], agent: str | None) -> Row:
    number = int(payload["reminder"])
    row = rows.find(asking, number)
    if row is None or row.agent != agent or row.state != ReminderState.PROPOSED.value:
        raise ConflictError(f"Reminder {number} no longer waits.", "There is nothing to approve.")
    return row

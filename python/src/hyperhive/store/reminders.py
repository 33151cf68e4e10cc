"""Reminders in the store: each step changes rows and tells of it in one commit.

What is due is found through an index that holds nothing but pending ones, so that its cost does
not depend on how many there are.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Select, bindparam, func, literal_column, select, update
from sqlalchemy.sql.elements import ColumnElement

from hyperhive import bus
from hyperhive.domain import messages as message_rules
from hyperhive.domain.actors import Actor
from hyperhive.domain.events import EventKind
from hyperhive.domain.messages import MessageState
from hyperhive.domain.reminders import ReminderState
from hyperhive.store import engine, tables
from hyperhive.store.transaction import Asking, Row, Writing

PENDING_SHOWN_MAX: Final = 200
FAILED_SHOWN_MAX: Final = 200
OPEN_SHOWN_MAX: Final = 1000

TEXTS_OF_A_FILE: Final = 5
"""A file holds what the latest reminder wrote; a few more, for those that end together."""

_r = tables.reminder.c
_m = tables.message.c


def _is(state: ReminderState) -> ColumnElement[bool]:
    """Compare with a literal: a partial index serves no comparison with a bound value."""
    return _r.state == literal_column(f"'{state.value}'")


_PENDING: Final = _is(ReminderState.PENDING)
_IS_OPEN: Final = _r.closed_at.is_(None)
_INSERTION: Final = engine.Insertion(
    tables.reminder,
    *("agent", "body", "state", "at", "due_at", "next_at", "file_path", "repeat_every_seconds"),
    *("attempts", "late", "deliveries", "skipped"),
)
_FIND: Final = engine.prepared(select(tables.reminder).where(_r.id == bindparam("number")))
_DUE: Final = engine.prepared(
    select(tables.reminder)
    .where(_PENDING, _r.next_at <= bindparam("now"))
    .order_by(_r.next_at, _r.id)
    .limit(bindparam("limit"))
)
_DUE_OF: Final = engine.prepared(
    select(tables.reminder)
    .where(_PENDING, _r.agent == bindparam("agent"), _r.next_at <= bindparam("now"))
    .order_by(_r.next_at, _r.id)
    .limit(bindparam("limit"))
)
_NEXT_AGENT: Final = engine.prepared(
    select(_r.agent).where(_PENDING, _r.agent > bindparam("agent")).order_by(_r.agent).limit(1)
)
_NEXT: Final = engine.prepared(select(_r.next_at).where(_PENDING).order_by(_r.next_at).limit(1))
_STATE_OF_MESSAGE: Final = engine.prepared(select(_m.state).where(_m.id == bindparam("number")))
_CHANGEABLE: Final = (
    *("state", "due_at", "next_at", "attempts", "last_error", "late", "deliveries", "skipped"),
    *("delivered_at", "message", "written", "closed_at"),
)
_CHANGE: Final = engine.prepared(
    update(tables.reminder)
    .where(_r.id == bindparam("reminder"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGEABLE})
)


def add(
    work: Writing,
    actor: Actor,
    *,
    body: str,
    state: ReminderState,
    due_at: float,
    repeat_every_seconds: float | None = None,
) -> int:
    """Keep a reminder of an agent for itself; return its number. `announce` tells of it."""
    row = {
        "agent": actor.name,
        "body": body,
        "state": state.value,
        "at": work.now,
        "due_at": due_at,
        "next_at": due_at,
        "file_path": None,
        "repeat_every_seconds": repeat_every_seconds,
        "attempts": 0,
        "late": False,
        "deliveries": 0,
        "skipped": 0,
    }
    return _INSERTION.add(work.connection, row)


def announce(
    work: Writing, number: int, actor: Actor, *, file_path: str | None, approval: int | None
) -> Row:
    """Complete a row that was just added with what its number is needed for, and tell of it."""
    if file_path is not None or approval is not None:
        work.execute(
            update(tables.reminder)
            .where(_r.id == number)
            .values(file_path=file_path, approval=approval)
        )
    row = _sure(work, number)
    _tell(work, EventKind.REMINDER_ADDED, actor, row)
    work.wake(bus.REMINDERS)
    return row


def change(work: Writing, row: Row, kind: EventKind, actor: Actor | str, **changes: Any) -> int:
    """Change a row and tell of it, and of the state it had; return the event's ``seq``."""
    now = {**row._asdict(), **changes}
    given = {f"new_{name}": now[name] for name in _CHANGEABLE}
    work.execute(_CHANGE, {"reminder": row.id, **given})
    if now["state"] == ReminderState.PENDING.value and now["next_at"] != row.next_at:
        work.wake(bus.REMINDERS)
    told = {"reminder": _summary(now), "was": row.state}
    return work.record(kind, actor, told, agent=row.agent)


def find(asking: Asking, number: int) -> Row | None:
    """Give one reminder."""
    return asking.execute(_FIND, {"number": number}).first()


def due(asking: Asking, limit: int) -> Sequence[Row]:
    """Give those to be delivered now, the longest due first.

    Of more than ``limit`` each agent gets a share: nobody's flood holds up another's.
    """
    found = asking.execute(_DUE, {"now": asking.now, "limit": limit}).all()
    if len(found) < limit:
        return found
    agents = _with_pending(asking)
    share = max(1, limit // max(1, len(agents)))
    first = [row for name in agents for row in due_of(asking, name, share)]
    first.sort(key=lambda row: (row.next_at, row.id))
    return list({row.id: row for row in (*first, *found)}.values())[:limit]


def due_of(asking: Asking, agent: str, limit: int) -> Sequence[Row]:
    """Give those of an agent to be delivered now, the longest due first."""
    return asking.execute(_DUE_OF, {"agent": agent, "now": asking.now, "limit": limit}).all()


def _with_pending(asking: Asking) -> list[str]:
    """Name the agents that something is pending for, at the cost of one look for each."""
    found: list[str] = []
    while name := asking.execute(_NEXT_AGENT, {"agent": found[-1] if found else ""}).scalar():
        found.append(name)
    return found


def next_at(asking: Asking) -> float | None:
    """Say when the next delivery is to be tried; ``None`` when nothing is pending."""
    found: float | None = asking.execute(_NEXT).scalar()
    return found


def is_unhandled(asking: Asking, message: int | None) -> bool:
    """Whether a delivery still waits for its receiver, or is being worked on."""
    if message is None:
        return False
    state = asking.execute(_STATE_OF_MESSAGE, {"number": message}).scalar()
    return state in (MessageState.QUEUED.value, MessageState.LEASED.value)


def texts_written_to(asking: Asking, agent: str, path: str) -> list[str]:
    """Give the texts of an agent's latest reminders that a file of its state may hold."""
    wanted = select(_r.body).where(_r.agent == agent, _r.written == path).limit(TEXTS_OF_A_FILE)
    came = wanted.where(_r.message.is_not(None)).order_by(_r.message.desc())
    did_not_come = wanted.where(_r.message.is_(None)).order_by(_r.id.desc())
    return [*asking.execute(came).scalars(), *asking.execute(did_not_come).scalars()]


def note_written(work: Writing, row: Row) -> None:
    """Note, before a reminder's file is written, that it may be there from now on."""
    work.execute(update(tables.reminder).where(_r.id == row.id).values(written=row.file_path))


def count_open(asking: Asking, agent: str) -> int:
    """Count an agent's reminders that are pending or proposed."""
    states = [ReminderState.PENDING.value, ReminderState.PROPOSED.value]
    wanted = select(func.count()).where(_IS_OPEN, _r.agent == agent, _r.state.in_(states))
    return int(asking.execute(wanted).scalar() or 0)


def count_failed(asking: Asking, agent: str) -> int:
    """Count an agent's reminders that were given up."""
    wanted = select(func.count()).where(
        _IS_OPEN, _r.agent == agent, _r.state == ReminderState.FAILED.value
    )
    return int(asking.execute(wanted).scalar() or 0)


def counts(asking: Asking) -> dict[str, dict[str, int]]:
    """Count, for each agent that has some, what is pending and what failed."""
    shown = (ReminderState.PENDING.value, ReminderState.FAILED.value)
    wanted = (
        select(_r.agent, _r.state, func.count().label("number"))
        .where(_IS_OPEN)
        .group_by(_r.agent, _r.state)
    )
    found: dict[str, dict[str, int]] = {}
    for row in asking.execute(wanted):
        if row.state in shown:
            counted = found.setdefault(row.agent, dict.fromkeys(shown, 0))
            counted[row.state] = row.number
    return found


def standing(asking: Asking) -> list[Row]:
    """Give those that the snapshot shows: the next to come, and the latest that failed."""
    pending = select(tables.reminder).where(_PENDING).order_by(_r.next_at, _r.id)
    failed = select(tables.reminder).where(_is(ReminderState.FAILED)).order_by(_r.id.desc())
    return [
        *asking.execute(pending.limit(PENDING_SHOWN_MAX)).all(),
        *asking.execute(failed.limit(FAILED_SHOWN_MAX)).all(),
    ]


def open_of(asking: Asking, agent: str | None, limit: int = OPEN_SHOWN_MAX) -> Sequence[Row]:
    """Give the open reminders of an agent (``None``: of all), the next to come first."""
    wanted = select(tables.reminder).where(_IS_OPEN)
    if agent is not None:
        wanted = wanted.where(_r.agent == agent)
    return asking.execute(wanted.order_by(_r.next_at, _r.id).limit(limit)).all()


def oldest_open(asking: Asking, agent: str | None, limit: int) -> Sequence[Row]:
    """Give the open reminders of an agent (``None``: of all), the oldest first."""
    wanted = select(tables.reminder).where(_IS_OPEN)
    if agent is not None:
        wanted = wanted.where(_r.agent == agent)
    # Not in the order of the key: most that an agent ever had are closed.
    return asking.execute(wanted.order_by(_r.id + 0).limit(limit)).all()


def next_of(asking: Asking, agent: str) -> float | None:
    """Say when the next of an agent's pending reminders is over: one that recurs never is."""
    # The sum keeps the database from looking for it among those of all agents, in order.
    found: float | None = asking.execute(
        select(func.min(_r.next_at + 0)).where(
            _IS_OPEN,
            _r.agent == agent,
            _r.state == ReminderState.PENDING.value,
            _r.repeat_every_seconds.is_(None),
        )
    ).scalar()
    return found


def search(
    asking: Asking,
    *,
    before: int | None,
    limit: int,
    agent: str | None = None,
    state: ReminderState | None = None,
    text: str | None = None,
    due_after: float | None = None,
    due_before: float | None = None,
) -> Sequence[Row]:
    """Page backwards through reminders, the newest first."""
    wanted: Select[Any] = select(tables.reminder)
    if agent is not None:
        wanted = wanted.where(_r.agent == agent)
    if state is not None:
        wanted = wanted.where(_is(state))
    if before is not None:
        wanted = wanted.where(_r.id < before)
    if text:
        wanted = wanted.where(func.instr(func.casefold(_r.body), text.casefold()) > 0)
    if due_after is not None:
        wanted = wanted.where(_r.due_at >= due_after)
    if due_before is not None:
        wanted = wanted.where(_r.due_at < due_before)
    return asking.execute(wanted.order_by(_r.id.desc()).limit(limit)).all()


def cancel_of(work: Writing, agent: str, actor: Actor, limit: int) -> int:
    """Cancel up to so many open reminders of an agent that is gone; return how many it were."""
    rows = open_of(work, agent, limit)
    for row in rows:
        cancel(work, row, actor)
    return len(rows)


def cancel(work: Writing, row: Row, actor: Actor) -> int:
    """Take a reminder back; return the event's ``seq``."""
    return change(
        work,
        row,
        EventKind.REMINDER_CANCELLED,
        actor,
        state=ReminderState.CANCELLED.value,
        closed_at=work.now,
    )


def summary(row: Row) -> dict[str, Any]:
    """Show a reminder as lists do: all of it but the whole text."""
    return _summary(row._asdict())


def _summary(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "agent": row["agent"],
        "state": row["state"],
        "preview": message_rules.preview(row["body"]),
        "bytes": len(row["body"].encode()),
        "at": row["at"],
        "due_at": row["due_at"],
        "next_at": row["next_at"],
        "file_path": row["file_path"],
        "written": row["written"],
        "repeat_every_seconds": row["repeat_every_seconds"],
        "approval": row["approval"],
        "attempts": row["attempts"],
        "last_error": row["last_error"],
        "late": bool(row["late"]),
        "deliveries": row["deliveries"],
        "skipped": row["skipped"],
        "delivered_at": row["delivered_at"],
        "message": row["message"],
        "closed_at": row["closed_at"],
    }


def _tell(work: Writing, kind: EventKind, actor: Actor, row: Row) -> int:
    return work.record(kind, actor, {"reminder": summary(row)}, agent=row.agent)


def _sure(asking: Asking, number: int) -> Row:
    row = find(asking, number)
    assert row is not None
    return row

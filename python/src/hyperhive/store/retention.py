"""Deleting what is past its time, a limited number of rows at once."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Table, delete, func, select, tuple_
from sqlalchemy.sql.elements import ColumnElement

from hyperhive.domain.actors import OPERATOR
from hyperhive.domain.approvals import CLOSED_SHOWN
from hyperhive.domain.messages import KEY_SECONDS
from hyperhive.domain.reminders import AUTO_DIRECTORY
from hyperhive.store import tables
from hyperhive.store.transaction import Writing

ROWS_AT_ONCE: Final = 500
"""So that a send never waits long behind a clean-up."""

DAY_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Keep:
    """How long what has ended is kept, in days. What is not settled is kept for ever.

    What was decided is kept as long as messages are, and the latest of it as long as it is shown.
    A reminder is kept as long as messages are, and for ever the last that wrote into a file.
    """

    messages_days: float = 30
    events_days: float = 30
    transcripts_days: float = 14


def delete_some(work: Writing, keep: Keep) -> int:
    """Delete rows that are past their time; 0 means that none is left."""
    m, e, t, v = tables.message.c, tables.event.c, tables.turn.c, tables.turn_event.c
    k, login, r = tables.request_key.c, tables.login.c, tables.reminder.c
    a = tables.approval.c
    messages_until = work.now - keep.messages_days * DAY_SECONDS
    events_until = work.now - keep.events_days * DAY_SECONDS
    transcripts_until = work.now - keep.transcripts_days * DAY_SECONDS
    unread = (m.recipient == OPERATOR) & m.read_at.is_(None)
    newest_event = select(func.max(e.seq)).scalar_subquery()
    old_turn = select(t.id).where(t.id == v.turn, t.ended_at < transcripts_until)
    is_old = old_turn.correlate(tables.turn_event).exists()
    in_sight = select(a.id).where(a.closed_at.is_not(None)).correlate(None)
    in_sight = in_sight.order_by(a.closed_at.desc(), a.id.desc()).limit(CLOSED_SHOWN)
    old_approval = (a.closed_at < messages_until) & a.id.not_in(in_sight)
    old_reminder = (r.closed_at < messages_until) & ~_is_last_in_its_file()
    return (
        _delete(work, tables.message, (m.settled_at < messages_until) & ~unread)
        + _delete(work, tables.question, tables.question.c.closed_at < messages_until)
        + _delete(work, tables.event, (e.at < events_until) & (e.seq < newest_event), e.seq)
        + _delete(work, tables.turn_event, is_old, v.turn, v.n)
        + _delete(work, tables.reminder, old_reminder)
        + _delete(work, tables.request_key, k.at < work.now - KEY_SECONDS)
        + _delete(work, tables.approval, old_approval)
        + _delete(work, tables.login, login.expires_at < work.now)
    )


def _is_last_in_its_file() -> ColumnElement[bool]:
    """Whether a file may hold this reminder's text: without it the next would not replace it.

    A file whose name was chosen for one reminder is no other's.
    """
    r, later = tables.reminder.c, tables.reminder.alias("later")
    same = (later.c.agent == r.agent) & (later.c.written == r.written)
    after = later.c.message > func.coalesce(r.message, 0)
    replaced = select(later.c.id).where(same, after).correlate(tables.reminder).exists()
    is_its_own = r.written.startswith(f"{AUTO_DIRECTORY}/auto-", autoescape=True)
    return r.written.is_not(None) & ~is_its_own & ~replaced


def _delete(
    work: Writing, table: Table, past: ColumnElement[bool], *oldest_first: ColumnElement[Any]
) -> int:
    """Delete rows that are past their time.

    With ``oldest_first``, only among the rows that come first in this order: what grows without
    end and has no index on its time is never read to its end.
    """
    some = select(*table.primary_key).limit(ROWS_AT_ONCE).correlate(None)
    some = some.order_by(*oldest_first) if oldest_first else some.where(past)
    statement = delete(table).where(tuple_(*table.primary_key).in_(some), past)
    return int(work.execute(statement).rowcount)

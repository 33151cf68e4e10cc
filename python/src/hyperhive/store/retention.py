"""Deleting what is past its time, a limited number of rows at once."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Table, delete, func, select
from sqlalchemy.sql.elements import ColumnElement

from hyperhive.domain.actors import OPERATOR
from hyperhive.domain.messages import KEY_SECONDS
from hyperhive.store import tables
from hyperhive.store.transaction import Writing

ROWS_AT_ONCE: Final = 500
"""So that a send never waits long behind a clean-up."""

DAY_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Keep:
    """How long what has ended is kept, in days. What is not settled is kept for ever."""

    messages_days: float = 30
    events_days: float = 30
    transcripts_days: float = 14


def delete_some(work: Writing, keep: Keep) -> int:
    """Delete rows that are past their time; 0 means that none is left."""
    m, e, t, v = tables.message.c, tables.event.c, tables.turn.c, tables.turn_event.c
    k, login = tables.request_key.c, tables.login.c
    messages_until = work.now - keep.messages_days * DAY_SECONDS
    events_until = work.now - keep.events_days * DAY_SECONDS
    transcripts_until = work.now - keep.transcripts_days * DAY_SECONDS
    unread = (m.recipient == OPERATOR) & m.read_at.is_(None)
    newest_event = select(func.max(e.seq)).scalar_subquery()
    old_turns = select(t.id).where(t.ended_at < transcripts_until)
    return (
        _delete(work, tables.message, m.id, (m.settled_at < messages_until) & ~unread)
        + _delete(work, tables.event, e.seq, (e.at < events_until) & (e.seq < newest_event))
        + _delete(work, tables.turn_event, v.turn, v.turn.in_(old_turns))
        + _delete(work, tables.request_key, k.key, k.at < work.now - KEY_SECONDS)
        + _delete(work, tables.login, login.secret_hash, login.expires_at < work.now)
    )


def _delete(work: Writing, table: Table, key: Any, past: ColumnElement[bool]) -> int:
    some = select(key).where(past).limit(ROWS_AT_ONCE)
    return int(work.execute(delete(table).where(key.in_(some), past)).rowcount)

"""The event table, read: what came after a position, and what came before one."""

import json
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.sql.elements import ColumnElement

from hyperhive.domain.events import Event, EventKind
from hyperhive.store import tables
from hyperhive.store.transaction import Asking, Row

_e = tables.event.c


def after(asking: Asking, seq: int, limit: int) -> list[Event]:
    """Give the events that follow ``seq``, oldest first."""
    rows = asking.execute(
        select(tables.event).where(_e.seq > seq).order_by(_e.seq).limit(limit)
    ).all()
    return _events(rows)


def before(
    asking: Asking,
    seq: int | None,
    limit: int,
    *,
    agent: str | None = None,
    kind: str | None = None,
) -> list[Event]:
    """Give the events that precede ``seq`` (``None``: the last ones), newest first."""
    wanted: list[ColumnElement[bool]] = []
    if seq is not None:
        wanted.append(_e.seq < seq)
    if agent is not None:
        wanted.append(_e.agent == agent)
    if kind is not None:
        wanted.append(_e.kind == kind)
    rows = asking.execute(
        select(tables.event).where(*wanted).order_by(_e.seq.desc()).limit(limit)
    ).all()
    return _events(rows)


def of_message(asking: Asking, number: int, *kinds: EventKind) -> list[Event]:
    """Give the steps of one message's life, oldest first: those of some kinds, or the first 500."""
    wanted = select(tables.event).where(_e.subject == number).order_by(_e.seq)
    if kinds:
        wanted = wanted.where(_e.kind.in_([kind.value for kind in kinds]))
    else:
        wanted = wanted.limit(500)
    return _events(asking.execute(wanted).all())


def last(asking: Asking) -> int:
    """Give the position that the table reaches."""
    return int(asking.execute(select(func.max(_e.seq))).scalar() or 0)


def oldest(asking: Asking) -> int:
    """Give the first position that is still kept; 0 when there is none."""
    return int(asking.execute(select(func.min(_e.seq))).scalar() or 0)


def _events(rows: Sequence[Row]) -> list[Event]:
    return [
        Event(row.seq, row.at, row.kind, row.agent, row.actor, json.loads(row.data_json))
        for row in rows
    ]

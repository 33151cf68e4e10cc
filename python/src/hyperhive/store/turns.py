"""Turns and their transcripts."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import func, insert, select, update

from hyperhive import bus
from hyperhive.domain.events import EventKind
from hyperhive.domain.turns import TurnKind, TurnOutcome
from hyperhive.store import tables
from hyperhive.store.transaction import Asking, Row, Writing, dumps

UNREADABLE: Final = "unreadable"
"""The kind under which a line is shown whose data cannot be read."""

_t = tables.turn.c
_v = tables.turn_event.c


def offer(
    work: Writing,
    agent: str,
    session: str,
    kind: TurnKind = TurnKind.WORK,
    model: str | None = None,
) -> int:
    """Open a turn for a session; it starts when the harness has its messages."""
    row = {
        "kind": kind.value,
        "model": model,
        "agent": agent,
        "session": session,
        "offered_at": work.now,
        "tools_json": "{}",
        "messages_json": "[]",
    }
    return int(work.execute(insert(tables.turn), row).inserted_primary_key[0])  # type: ignore[index]  # one row was inserted


def find(asking: Asking, number: int) -> Row | None:
    """Give one turn's row."""
    return asking.execute(select(tables.turn).where(_t.id == number)).first()


def open_turns(asking: Asking, agent: str | None = None) -> Sequence[Row]:
    """Give the turns that have not ended: the hive's, or one agent's."""
    statement = select(tables.turn).where(_t.ended_at.is_(None))
    if agent is not None:
        statement = statement.where(_t.agent == agent)
    return asking.execute(statement.order_by(_t.id)).all()


def start(work: Writing, row: Row, messages: Sequence[int]) -> None:
    """Note that the harness has begun the turn with these messages."""
    work.execute(
        update(tables.turn)
        .where(_t.id == row.id)
        .values(started_at=work.now, messages_json=dumps(list(messages)))
    )
    told = {
        "id": row.id,
        "started_at": work.now,
        "messages": list(messages),
        "kind": row.kind,
        "model": row.model,
    }
    work.record(EventKind.TURN_STARTED, row.agent, told, agent=row.agent)


def end(
    work: Writing,
    row: Row,
    outcome: TurnOutcome,
    error: str | None,
    usage: Mapping[str, Any],
    tools: Mapping[str, int],
) -> None:
    """Note how a turn ended and what it used; rings those who wait within it."""
    work.execute(
        update(tables.turn)
        .where(_t.id == row.id)
        .values(
            ended_at=work.now,
            outcome=outcome.value,
            error=error,
            **_used(usage, tools),
        )
    )
    _tell_end(work, row.id)
    work.wake(bus.turn(row.id))
    work.wake(bus.transcript(row.id))


def note_used(work: Writing, row: Row, usage: Mapping[str, Any], tools: Mapping[str, int]) -> None:
    """Note late what a turn used that has ended without a word of it; its end is told again."""
    work.execute(update(tables.turn).where(_t.id == row.id).values(_used(usage, tools)))
    _tell_end(work, row.id)


def _used(usage: Mapping[str, Any], tools: Mapping[str, int]) -> dict[str, Any]:
    keys = ("input_tokens", "output_tokens", "cost_usd")
    return {**{key: usage.get(key) for key in keys}, "tools_json": dumps(dict(tools))}


def _tell_end(work: Writing, number: int) -> None:
    row = find(work, number)
    if row is None or row.started_at is None:
        return
    turn = shown(row)
    told = {key: turn[key] for key in ("id", "outcome", "error", "ended_at", "usage", "tools")}
    work.record(EventKind.TURN_ENDED, row.agent, told, agent=row.agent)


def note_context(work: Writing, number: int, tokens: int | None) -> None:
    """Note how large the model's context was at a turn's last inference."""
    if tokens is not None:
        work.execute(update(tables.turn).where(_t.id == number).values(context_tokens=tokens))


def add_events(work: Writing, turn: int, events: Sequence[Mapping[str, Any]]) -> int:
    """Append lines to a transcript; what it has already is passed over.

    Returns how many lines are new.
    """
    numbers = [event["n"] for event in events]
    known = set(
        work.execute(select(_v.n).where(_v.turn == turn, _v.n.in_(numbers))).scalars().all()
    )
    fresh = [
        {
            "turn": turn,
            "n": event["n"],
            "at": event["at"],
            "kind": event["kind"],
            "data_json": dumps(event["data"]),
        }
        for event in events
        if event["n"] not in known
    ]
    if fresh:
        work.execute(insert(tables.turn_event), fresh)
        work.wake(bus.transcript(turn))
    return len(fresh)


def transcript(asking: Asking, turn: int, after: int, limit: int) -> list[dict[str, Any]]:
    """Give the lines of a transcript that follow line ``after``."""
    rows = asking.execute(
        select(tables.turn_event).where(_v.turn == turn, _v.n > after).order_by(_v.n).limit(limit)
    ).all()
    return [_line(row) for row in rows]


def _line(row: Row) -> dict[str, Any]:
    """Show a line; one that is damaged is shown as what it is, among the others."""
    try:
        kind, data = row.kind, json.loads(row.data_json)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        kind, data = UNREADABLE, {"text": f"{row.kind}: {row.data_json}"}
    return {"n": row.n, "at": row.at, "kind": kind, "data": data}


def search(asking: Asking, agent: str, *, before: int | None, limit: int) -> Sequence[Row]:
    """Page backwards through an agent's turns."""
    statement = select(tables.turn).where(_t.agent == agent, _t.started_at.is_not(None))
    if before is not None:
        statement = statement.where(_t.id < before)
    return asking.execute(statement.order_by(_t.id.desc()).limit(limit)).all()


def count(asking: Asking) -> int:
    """Count the turns that were ever started."""
    statement = select(func.count()).select_from(tables.turn).where(_t.started_at.is_not(None))
    return int(asking.execute(statement).scalar() or 0)


def shown(row: Row) -> dict[str, Any]:
    """Show a turn as lists do."""
    return {
        "id": row.id,
        "agent": row.agent,
        "kind": row.kind,
        "model": row.model,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "outcome": row.outcome,
        "error": row.error,
        "usage": {
            "input_tokens": row.input_tokens,
            "output_tokens": row.output_tokens,
            "cost_usd": row.cost_usd,
        },
        "context_tokens": row.context_tokens,
        "tools": json.loads(row.tools_json),
        "messages": json.loads(row.messages_json),
    }


def spent_since(asking: Asking, since: float, agent: str | None = None) -> float:
    """Add up what turns that ended since then cost, in US dollars: the hive's, or one agent's."""
    statement = select(func.coalesce(func.sum(_t.cost_usd), 0.0)).where(
        _t.ended_at >= since, _t.cost_usd.is_not(None)
    )
    if agent is not None:
        statement = statement.where(_t.agent == agent)
    return float(asking.execute(statement).scalar() or 0.0)

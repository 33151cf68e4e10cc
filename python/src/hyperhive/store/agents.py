"""What is recorded of agents: their state and since when, holds, crashes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update

from hyperhive import bus
from hyperhive.domain.actors import SYSTEM, Actor
from hyperhive.domain.agents import AgentState
from hyperhive.domain.events import EventKind
from hyperhive.store import lifecycle, messages, tables
from hyperhive.store.transaction import Asking, Row, Writing, dumps

_a = tables.agent.c


def all_present(asking: Asking) -> Sequence[Row]:
    """Give the agents of the hive, by name."""
    return asking.execute(select(tables.agent).where(_a.present.is_(True)).order_by(_a.name)).all()


def find(asking: Asking, name: str) -> Row | None:
    """Give one agent's row, gone or not."""
    return asking.execute(select(tables.agent).where(_a.name == name)).first()


def is_present(asking: Asking, name: str) -> bool:
    """Whether an agent of that name is in the hive now."""
    row = find(asking, name)
    return row is not None and bool(row.present)


def put(work: Writing, name: str, shape: Mapping[str, Any]) -> None:
    """Record an agent as declared: tell that it was added or changed, if it was."""
    row = find(work, name)
    text = dumps(shape)
    if row is None:
        work.execute(
            insert(tables.agent),
            {
                "name": name,
                "shape_json": text,
                "present": True,
                "state": AgentState.STOPPED.value,
                "since": work.now,
            },
        )
    elif not row.present or row.shape_json != text:
        work.execute(
            update(tables.agent)
            .where(_a.name == name)
            .values(shape_json=text, present=True, removed_at=None)
        )
    else:
        return
    if row is not None and not row.present:
        work.record(EventKind.TOMBSTONE_REVIVED, SYSTEM, {}, agent=name)
    kind = EventKind.AGENT_CHANGED if row and row.present else EventKind.AGENT_ADDED
    fresh = find(work, name)
    if fresh is not None:
        inbox, size = messages.inbox_counts(work).get(name), lifecycle.measured(work).get(name)
        work.record(kind, SYSTEM, {"agent": shown(fresh, inbox=inbox, size=size)}, agent=name)


def remove(work: Writing, name: str) -> None:
    """Record that an agent is no longer declared: a tombstone stays, and its state is kept."""
    work.execute(
        update(tables.agent).where(_a.name == name).values(present=False, removed_at=work.now)
    )
    work.record(EventKind.AGENT_REMOVED, SYSTEM, {}, agent=name)
    for waiting in (bus.QUESTIONS, bus.APPROVALS):
        work.wake(waiting)
    row = find(work, name)
    if row is not None:
        told = {"tombstone": tombstone(row, size=lifecycle.measured(work).get(name))}
        work.record(EventKind.TOMBSTONE_ADDED, SYSTEM, told, agent=name)


def purge(work: Writing, name: str, actor: Actor) -> int:
    """Forget a tombstone; return the event's ``seq``."""
    work.execute(delete(tables.agent).where(_a.name == name, _a.present.is_(False)))
    lifecycle.note_measured(work, name, None)
    return work.record(EventKind.TOMBSTONE_PURGED, actor, {}, agent=name)


def tombstones(asking: Asking) -> Sequence[Row]:
    """Give the agents that are gone and not purged, by name."""
    return asking.execute(select(tables.agent).where(_a.present.is_(False)).order_by(_a.name)).all()


def tombstone(row: Row, *, size: int | None = None) -> dict[str, Any]:
    """Show an agent that is gone: what it was, since when, how many bytes it left."""
    shape: dict[str, Any] = json.loads(row.shape_json)
    return {
        "name": row.name,
        "role": shape.get("role"),
        "description": shape.get("description"),
        "removed_at": row.removed_at,
        "bytes": size,
        "declared": shape.get("declared", True),
    }


def set_model(
    work: Writing, name: str, model: str | None, actor: Actor, *, shown: str | None
) -> int:
    """Record the model that the operator wants for an agent; return the event's ``seq``.

    ``shown`` is the one that its next turn uses, the declared one where none is wanted.
    """
    work.execute(update(tables.agent).where(_a.name == name).values(model=model))
    return work.record(EventKind.AGENT_MODEL_CHANGED, actor, {"model": shown}, agent=name)


def set_state(
    work: Writing, name: str, state: AgentState, reason: str | None, session: str | None = None
) -> bool:
    """Record what an agent is doing, with its event; ``False`` when nothing changed."""
    row = find(work, name)
    if row is None or (row.state == state.value and row.reason == reason):
        return False
    work.execute(
        update(tables.agent)
        .where(_a.name == name)
        .values(state=state.value, reason=reason, since=work.now)
    )
    if not row.present:
        # Its box is still being cleared away; nobody shows it any more.
        return True
    told = {"state": state.value, "reason": reason, "since": work.now, "session": session}
    work.record(EventKind.AGENT_STATE_CHANGED, SYSTEM, told, agent=name)
    return True


def set_status(work: Writing, name: str, status: str | None, actor: Actor) -> int:
    """Record the line that an agent shows of itself; return the event's ``seq``."""
    work.execute(
        update(tables.agent).where(_a.name == name).values(status=status, status_at=work.now)
    )
    told = {"status": status, "status_at": work.now}
    return work.record(EventKind.AGENT_STATUS_CHANGED, actor, told, agent=name)


def set_crashes(work: Writing, name: str, crashes: Sequence[Mapping[str, Any]]) -> None:
    """Record how an agent has crashed lately."""
    work.execute(
        update(tables.agent).where(_a.name == name).values(crashes_json=dumps(list(crashes)))
    )


def shown(
    row: Row,
    *,
    inbox: Mapping[str, int] | None = None,
    turn: Mapping[str, Any] | None = None,
    size: int | None = None,
) -> dict[str, Any]:
    """Show an agent as the operator's snapshot does; ``size`` is what its files take, in bytes."""
    counts = inbox or {}
    shape: dict[str, Any] = json.loads(row.shape_json)
    return {
        "name": row.name,
        "declared": "spawned" not in shape,
        **shape,
        "state": row.state,
        "reason": row.reason,
        "since": row.since,
        "status": row.status,
        "status_at": row.status_at,
        "turn": dict(turn) if turn else None,
        "inbox": {state: counts.get(state, 0) for state in ("queued", "leased", "dead")},
        "pauses": json.loads(row.pauses_json),
        "held": {"by": row.held_by, "at": row.held_at} if row.held_by is not None else None,
        "transient": None if row.replace_json is None else "restarting",
        "model": row.model or shape.get("model"),
        "declared_model": shape.get("model"),
        "context": _context(row),
        "probe": json.loads(row.probe_json) if row.probe_json is not None else None,
        "bytes": size,
    }


def _context(row: Row) -> dict[str, int | None] | None:
    if row.context_tokens is None:
        return None
    return {"tokens": row.context_tokens, "window": row.context_window}

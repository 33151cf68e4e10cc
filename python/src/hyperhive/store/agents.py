"""What is recorded of agents: their state and since when, holds, crashes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select, update

from hyperhive.domain.actors import SYSTEM, Actor
from hyperhive.domain.agents import AgentState
from hyperhive.domain.events import EventKind
from hyperhive.store import messages, tables
from hyperhive.store.transaction import Asking, Row, Writing, dumps

_a = tables.agent.c


def all_present(asking: Asking) -> Sequence[Row]:
    """Give the agents of the hive, by name."""
    return asking.execute(select(tables.agent).where(_a.present.is_(True)).order_by(_a.name)).all()


def find(asking: Asking, name: str) -> Row | None:
    """Give one agent's row, gone or not."""
    return asking.execute(select(tables.agent).where(_a.name == name)).first()


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
                "crashes_json": "[]",
            },
        )
    elif not row.present or row.shape_json != text:
        work.execute(
            update(tables.agent).where(_a.name == name).values(shape_json=text, present=True)
        )
    else:
        return
    kind = EventKind.AGENT_CHANGED if row and row.present else EventKind.AGENT_ADDED
    fresh = find(work, name)
    if fresh is not None:
        inbox = messages.inbox_counts(work).get(name)
        work.record(kind, SYSTEM, {"agent": shown(fresh, inbox=inbox)}, agent=name)


def remove(work: Writing, name: str) -> None:
    """Record that an agent is no longer declared; its row stays."""
    work.execute(update(tables.agent).where(_a.name == name).values(present=False))
    work.record(EventKind.AGENT_REMOVED, SYSTEM, {}, agent=name)


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
) -> dict[str, Any]:
    """Show an agent as the operator's snapshot does."""
    counts = inbox or {}
    shape: dict[str, Any] = json.loads(row.shape_json)
    return {
        "name": row.name,
        **shape,
        "declared": True,
        "state": row.state,
        "reason": row.reason,
        "since": row.since,
        "status": row.status,
        "status_at": row.status_at,
        "turn": dict(turn) if turn else None,
        "inbox": {state: counts.get(state, 0) for state in ("queued", "leased", "dead")},
    }

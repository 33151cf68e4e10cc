"""Approvals in the store: each step changes the row and tells of it in one commit.

Which step is allowed when is decided by the domain; who may ask for it, by the services.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy import literal_column as literal

from hyperhive import bus
from hyperhive.domain.actors import Actor
from hyperhive.domain.approvals import (
    CLOSED,
    CLOSED_SHOWN,
    NEXT,
    SAID_YES,
    ApprovalKind,
    ApprovalState,
    Approved,
    Proposal,
    digest_of,
    shown_text,
)
from hyperhive.domain.errors import ConflictError
from hyperhive.domain.events import EventKind
from hyperhive.store import tables
from hyperhive.store.transaction import Asking, Row, Writing

_a = tables.approval.c

_OPEN: Final = _a.closed_at.is_(None)


def add(work: Writing, requester: Actor, proposal: Proposal) -> int:
    """Add what waits for a decision from now on, and return its number."""
    text = shown_text(requester.name, proposal)
    ttl = proposal.ttl_seconds
    added = work.execute(
        insert(tables.approval),
        {
            "kind": proposal.kind.value,
            "requester": requester.name,
            "agent": proposal.agent,
            "title": proposal.title,
            "shown_json": text,
            "digest": digest_of(text),
            "state": ApprovalState.PENDING.value,
            "at": work.now,
            "expires_at": None if ttl is None else work.now + ttl,
        },
    )
    number = int(added.inserted_primary_key[0])  # type: ignore[index]  # one row was inserted
    _tell(work, EventKind.APPROVAL_ADDED, number, requester)
    return number


def change(
    work: Writing, row: Row, state: ApprovalState, actor: Actor, **values: object
) -> dict[str, Any]:
    """Take the next step of an approval and return it as a list shows it.

    Raises `ConflictError` for a step that does not follow the state in which it is.
    """
    if state not in NEXT[ApprovalState(row.state)]:
        raise ConflictError(
            f"Approval {row.id} is {row.state}.", f"What is {row.state} cannot become {state}."
        )
    closes = state in CLOSED
    work.execute(
        update(tables.approval)
        .where(_a.id == row.id)
        .values(state=state.value, closed_at=work.now if closes else None, **values)
    )
    kind = EventKind.APPROVAL_RESOLVED if closes else EventKind.APPROVAL_CHANGED
    return _tell(work, kind, row.id, actor)


def use(work: Writing, row: Row, actor: Actor) -> None:
    """Note that what was said yes to is done now: the yes holds for nothing more."""
    work.execute(update(tables.approval).where(_a.id == row.id).values(used_at=work.now))
    _tell(work, EventKind.APPROVAL_CHANGED, row.id, actor)


def void(connection: Connection, at: float) -> None:
    """Make nothing of what a backup calls approved happen again, before it is put in place.

    What it has as approved counts as begun, so that it is settled and not carried out, and a yes
    that a call could still use counts as used: since the backup, both may have happened.
    """
    connection.execute(
        update(tables.approval)
        .where(_a.state == ApprovalState.APPROVED.value)
        .values(state=ApprovalState.RUNNING.value, started_at=at)
    )
    said_yes = [state.value for state in SAID_YES]
    connection.execute(
        update(tables.approval)
        .where(_a.kind == ApprovalKind.ACTION.value, _a.state.in_(said_yes), _a.used_at.is_(None))
        .values(used_at=at)
    )


def latest_unused(asking: Asking, requester: str, digest: str) -> Row | None:
    """Give the last request for exactly this whose yes, if there is one, was not used."""
    return asking.execute(
        select(tables.approval)
        .where(_a.requester == requester, _a.digest == digest, _a.used_at.is_(None))
        .order_by(_a.id.desc())
        .limit(1)
    ).first()


def find(asking: Asking, number: int) -> Row | None:
    """Give one approval's row."""
    return asking.execute(select(tables.approval).where(_a.id == number)).first()


def in_state(asking: Asking, state: ApprovalState) -> Sequence[Row]:
    """Give those that are in a state in which something is left to do, oldest first."""
    is_state = _a.state == literal(f"'{state.value}'")
    return asking.execute(select(tables.approval).where(is_state, _OPEN).order_by(_a.id)).all()


def pending_of(asking: Asking, requester: str) -> int:
    """Count what somebody has asked for and nobody has decided."""
    found = asking.execute(
        select(func.count())
        .select_from(tables.approval)
        .where(_a.state == literal("'pending'"), _OPEN, _a.requester == requester)
    )
    return int(found.scalar() or 0)


def next_expiry(asking: Asking, requester: str | None = None) -> float | None:
    """When the next pending one expires, of one requester or of all; ``None`` when none does."""
    wanted = select(func.min(_a.expires_at)).where(_a.state == literal("'pending'"), _OPEN)
    if requester is not None:
        wanted = wanted.where(_a.requester == requester)
    found = asking.execute(wanted).scalar()
    return None if found is None else float(found)


def expired(asking: Asking) -> Sequence[Row]:
    """Give the pending ones whose time is over, oldest first."""
    pending = (_a.state == literal("'pending'"), _OPEN)
    return asking.execute(
        select(tables.approval).where(*pending, _a.expires_at <= asking.now).order_by(_a.id)
    ).all()


def in_sight(asking: Asking) -> list[dict[str, Any]]:
    """Give all that are not closed and the last ones that are, by number."""
    standing = asking.execute(select(tables.approval).where(_OPEN)).all()
    closed = asking.execute(
        select(tables.approval)
        .where(_a.closed_at.is_not(None))
        .order_by(_a.closed_at.desc(), _a.id.desc())
        .limit(CLOSED_SHOWN)
    ).all()
    return [summary(row) for row in sorted((*standing, *closed), key=lambda row: int(row.id))]


def search(
    asking: Asking,
    *,
    before: int | None,
    limit: int,
    state: ApprovalState | None = None,
    requester: str | None = None,
) -> list[dict[str, Any]]:
    """Page backwards through approvals, newest first."""
    wanted = select(tables.approval).order_by(_a.id.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(_a.id < before)
    if state is not None:
        wanted = wanted.where(_a.state == state.value)
    if requester is not None:
        wanted = wanted.where(_a.requester == requester)
    return [summary(row) for row in asking.execute(wanted).all()]


def open_of(asking: Asking, requester: str | None) -> Sequence[Row]:
    """Give what is not closed, of one requester or of all, oldest first."""
    wanted = select(tables.approval).where(_OPEN).order_by(_a.id)
    if requester is not None:
        wanted = wanted.where(_a.requester == requester)
    return asking.execute(wanted).all()


def approved(row: Row) -> Approved:
    """Give what the executor of this approval is to work by."""
    return Approved(
        id=row.id,
        kind=ApprovalKind(row.kind),
        requester=row.requester,
        agent=row.agent,
        payload=shown(row)["payload"],
        digest=row.digest,
    )


def summary(row: Row) -> dict[str, Any]:
    """Give what lists and events show of an approval."""
    return {
        "id": row.id,
        "kind": row.kind,
        "requester": row.requester,
        "agent": row.agent,
        "title": row.title,
        "digest": row.digest,
        "state": row.state,
        "at": row.at,
        "expires_at": row.expires_at,
        "decided_at": row.decided_at,
        "decided_by": row.decided_by,
        "note": row.note,
        "started_at": row.started_at,
        "closed_at": row.closed_at,
        "error": row.error,
        "result": None if row.result_json is None else json.loads(row.result_json),
        "used_at": row.used_at,
    }


def shown(row: Row) -> dict[str, Any]:
    """Give exactly what the digest is of."""
    text: dict[str, Any] = json.loads(row.shown_json)
    return text


def _tell(work: Writing, kind: EventKind, number: int, actor: Actor) -> dict[str, Any]:
    row = work.execute(select(tables.approval).where(_a.id == number)).one()
    told = summary(row)
    work.record(kind, actor, {"approval": told}, agent=row.agent or row.requester)
    work.wake(bus.APPROVALS)
    work.wake(bus.approval(number))
    return told

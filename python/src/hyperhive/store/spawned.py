"""Agents that were asked for and approved: their settings as deployed, and their origin."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update

from hyperhive.store import tables
from hyperhive.store.transaction import Asking, Row, Writing

_s = tables.spawned.c


def standing(asking: Asking) -> Sequence[Row]:
    """Give those that were not destroyed, by name."""
    found = select(tables.spawned).where(_s.removed_at.is_(None)).order_by(_s.name)
    return asking.execute(found).all()


def find(asking: Asking, name: str) -> Row | None:
    """Give one, destroyed or not."""
    return asking.execute(select(tables.spawned).where(_s.name == name)).first()


def add(
    work: Writing, name: str, settings: str, *, requester: str, approval: int, revision: str
) -> None:
    """Record a new one."""
    work.execute(
        insert(tables.spawned),
        {
            "name": name,
            "settings_json": settings,
            "requester": requester,
            "approval": approval,
            "at": work.now,
            "revision": revision,
        },
    )


def change(work: Writing, name: str, **values: Any) -> None:
    """Record other settings, another revision, or that it was destroyed or revived."""
    work.execute(update(tables.spawned).where(_s.name == name).values(**values))


def forget(work: Writing, name: str) -> None:
    """Delete what is recorded of one that was destroyed."""
    work.execute(delete(tables.spawned).where(_s.name == name, _s.removed_at.is_not(None)))

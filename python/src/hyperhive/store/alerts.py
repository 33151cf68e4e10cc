"""Alerts: what the operator should know of, as long as it holds."""

from typing import Any, Final

from sqlalchemy import delete, insert, select

from hyperhive.domain.actors import SYSTEM
from hyperhive.domain.events import EventKind
from hyperhive.store import tables
from hyperhive.store.transaction import Asking, Writing

OF_DEAD_MESSAGE: Final = "dead-message:"
"""How the keys begin of what is said of messages: they outlive their receiver's declaration."""

_a = tables.alert.c


def raise_alert(
    work: Writing, key: str, text: str, *, severity: str = "warning", agent: str | None = None
) -> None:
    """Raise an alert, unless the same one stands already."""
    row = work.execute(select(tables.alert).where(_a.key == key)).first()
    if row is not None and row.text == text:
        return
    told = {
        "key": key,
        "severity": severity,
        "text": text,
        "agent": agent,
        "raised_at": row.raised_at if row else work.now,
    }
    work.execute(delete(tables.alert).where(_a.key == key))
    work.execute(insert(tables.alert), told)
    work.record(EventKind.ALERT_RAISED, SYSTEM, told, agent=agent)


def clear_alert(work: Writing, key: str) -> None:
    """Take an alert back, if it stands."""
    gone = work.execute(delete(tables.alert).where(_a.key == key))
    if gone.rowcount:
        work.record(EventKind.ALERT_CLEARED, SYSTEM, {"key": key})


def clear_of_agent(work: Writing, agent: str, *, but: str = "") -> None:
    """Take back every alert about an agent, but those whose key begins with ``but``."""
    keys = work.execute(select(_a.key).where(_a.agent == agent)).scalars().all()
    for key in keys:
        if not (but and key.startswith(but)):
            clear_alert(work, key)


def text_of(asking: Asking, key: str) -> str | None:
    """Give the words of an alert that stands."""
    found: str | None = asking.execute(select(_a.text).where(_a.key == key)).scalar()
    return found


def standing(asking: Asking) -> list[dict[str, Any]]:
    """Give the alerts that stand, oldest first."""
    rows = asking.execute(select(tables.alert).order_by(_a.raised_at, _a.key)).all()
    return [
        {
            "key": row.key,
            "severity": row.severity,
            "text": row.text,
            "agent": row.agent,
            "raised_at": row.raised_at,
        }
        for row in rows
    ]

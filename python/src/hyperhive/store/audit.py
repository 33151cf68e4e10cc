"""The audit log: who did what with the operator's authority, when, on what digest."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select

from hyperhive.store import tables
from hyperhive.store.transaction import Asking, Writing, dumps

_a = tables.audit.c


def add(
    work: Writing,
    *,
    actor: str,
    via: str,
    verb: str,
    subject: str,
    digest: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry, in the commit of what it tells of; ``via`` is the surface it came by."""
    row = {
        "at": work.now,
        "actor": actor,
        "via": via,
        "verb": verb,
        "subject": subject,
        "digest": digest,
        "detail_json": dumps(dict(detail or {})),
    }
    work.execute(insert(tables.audit), row)


def search(asking: Asking, *, before: int | None, limit: int) -> list[dict[str, Any]]:
    """Page backwards through the log."""
    statement = select(tables.audit)
    if before is not None:
        statement = statement.where(_a.id < before)
    rows = asking.execute(statement.order_by(_a.id.desc()).limit(limit)).all()
    return [
        {
            "id": row.id,
            "at": row.at,
            "actor": row.actor,
            "via": row.via,
            "verb": row.verb,
            "subject": row.subject,
            "digest": row.digest,
            "detail": json.loads(row.detail_json),
        }
        for row in rows
    ]

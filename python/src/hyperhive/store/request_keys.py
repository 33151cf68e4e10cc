"""Idempotency keys: a request that is sent again gets the answer of the first time."""

import json
from typing import Any

from sqlalchemy import delete, insert, select

from hyperhive.domain.errors import ConflictError
from hyperhive.domain.messages import KEY_SECONDS
from hyperhive.store import tables
from hyperhive.store.transaction import Asking, Writing, dumps

_k = tables.request_key.c


def answer_to(asking: Asking, actor: str, key: str, fingerprint: str) -> dict[str, Any] | None:
    """Give what the request with this key was answered, or ``None`` when it is new.

    Raises `ConflictError` when the key was used for another request within its 24 hours.
    """
    row = asking.execute(
        select(tables.request_key).where(
            _k.actor == actor, _k.key == key, _k.at > asking.now - KEY_SECONDS
        )
    ).first()
    if row is None:
        return None
    if row.fingerprint != fingerprint:
        raise ConflictError(
            f"The key {key!r} was already used for a different request.",
            "Use a fresh key for each message; repeat one only to retry the same message.",
        )
    found: dict[str, Any] = json.loads(row.result_json)
    return found


def remember(work: Writing, actor: str, key: str, fingerprint: str, result: dict[str, Any]) -> None:
    """Keep the answer under the key for 24 hours."""
    work.execute(delete(tables.request_key).where(_k.actor == actor, _k.key == key))
    work.execute(
        insert(tables.request_key),
        {
            "actor": actor,
            "key": key,
            "fingerprint": fingerprint,
            "result_json": dumps(result),
            "at": work.now,
        },
    )

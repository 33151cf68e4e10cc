"""Idempotency keys: a request that is sent again gets the answer of the first time."""

import json
from typing import Any, Final

from sqlalchemy import bindparam, delete, select

from hyperhive.domain.errors import ConflictError
from hyperhive.domain.messages import KEY_SECONDS
from hyperhive.store import engine, tables
from hyperhive.store.transaction import Writing, dumps

_k = tables.request_key.c

# Every send of an agent has a key, so these are built once, like those of the messages.
_FIND: Final = engine.prepared(
    select(_k.fingerprint, _k.result_json, _k.at).where(
        _k.actor == bindparam("of_actor"), _k.key == bindparam("named")
    )
)
_FORGET: Final = delete(tables.request_key).where(
    _k.actor == bindparam("of_actor"), _k.key == bindparam("named")
)
_REMEMBER: Final = engine.Insertion(tables.request_key, *_k.keys())


def answer_to(work: Writing, actor: str, key: str, fingerprint: str) -> dict[str, Any] | None:
    """Give what the request with this key was answered, or ``None`` when it is new.

    A key whose 24 hours are over is forgotten, so that it can be used again. Raises
    `ConflictError` when the key was used for another request within them.
    """
    row = work.execute(_FIND, {"of_actor": actor, "named": key}).first()
    if row is None:
        return None
    if row.at <= work.now - KEY_SECONDS:
        work.execute(_FORGET, {"of_actor": actor, "named": key})
        return None
    if row.fingerprint != fingerprint:
        raise ConflictError(
            f"The key {key!r} was already used for a different request.",
            "Use a fresh key for each message; repeat one only to retry the same message.",
        )
    found: dict[str, Any] = json.loads(row.result_json)
    return found


def remember(work: Writing, actor: str, key: str, fingerprint: str, result: dict[str, Any]) -> None:
    """Keep the answer under a key that `answer_to` has found to be new."""
    row = {
        "actor": actor,
        "key": key,
        "fingerprint": fingerprint,
        "result_json": dumps(result),
        "at": work.now,
    }
    _REMEMBER.add(work.connection, row)

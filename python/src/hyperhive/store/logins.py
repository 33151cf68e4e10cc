"""The operator's browsers and one-time links, known by the hashes of their secrets."""

from sqlalchemy import delete, insert, select

from hyperhive.store import tables
from hyperhive.store.transaction import Asking, Row, Writing

_l = tables.login.c


def add(work: Writing, *, secret_hash: str, kind: str, csrf: str | None, seconds: float) -> None:
    """Keep a login of a kind for so many seconds."""
    row = {
        "secret_hash": secret_hash,
        "kind": kind,
        "csrf": csrf,
        "created_at": work.now,
        "expires_at": work.now + seconds,
    }
    work.execute(insert(tables.login), row)


def find(asking: Asking, secret_hash: str, kind: str) -> Row | None:
    """Give a login that has not expired."""
    return asking.execute(
        select(tables.login).where(
            _l.secret_hash == secret_hash, _l.kind == kind, _l.expires_at > asking.now
        )
    ).first()


def remove(work: Writing, secret_hash: str) -> None:
    """Forget a login: it was used up, or logged out."""
    work.execute(delete(tables.login).where(_l.secret_hash == secret_hash))

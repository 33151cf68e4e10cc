"""Who is the operator: secrets, one-time links, sessions of browsers.

Only hashes are stored. A session survives a restart of the server; a one-time link works once,
for a few minutes.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyperhive.domain.errors import UnauthorizedError
from hyperhive.store import Store, Writing, audit
from hyperhive.store import logins as rows

SESSION_SECONDS: Final = 30 * 24 * 3600.0
LINK_SECONDS: Final = 10 * 60.0


@dataclass(frozen=True, slots=True)
class Login:
    """A browser that is logged in; ``csrf`` is what its unsafe requests must carry."""

    secret: str
    csrf: str


class Logins:
    """The operator's ways in."""

    def __init__(self, store: Store, secret_file: Path | None) -> None:
        self._store = store
        self._secret_file = secret_file

    def knows(self, secret: str) -> bool:
        """Whether this is the secret of the declared file; read anew, so that it can be changed."""
        if self._secret_file is None or not secret:
            return False
        try:
            kept = self._secret_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return False
        return bool(kept) and hmac.compare_digest(kept.encode(), secret.encode())

    async def link(self, seconds: float = LINK_SECONDS) -> str:
        """Make the token of a one-time link."""
        token = secrets.token_urlsafe(24)

        def job(work: Writing) -> None:
            rows.add(work, secret_hash=_hash(token), kind="link", csrf=None, seconds=seconds)

        await self._store.write(job)
        return token

    async def log_in_by_secret(self, secret: str) -> Login:
        """Open a session for whoever knows the secret."""
        if not self.knows(secret):
            remedy = (
                "Use the secret in operator.secretFile, or the link that `hyperhive up` prints."
            )
            raise UnauthorizedError("That is not the operator's secret.", remedy)
        return await self._open(None, via="secret")

    async def log_in_by_link(self, token: str) -> Login:
        """Open a session for whoever has a one-time link, and use it up."""
        return await self._open(_hash(token), via="link")

    async def _open(self, link: str | None, *, via: str) -> Login:
        login = Login(secrets.token_urlsafe(32), secrets.token_urlsafe(24))

        def job(work: Writing) -> None:
            if link is not None:
                if rows.find(work, link, "link") is None:
                    raise UnauthorizedError(
                        "This link was used or has expired.",
                        "Make a new one with: hyperhive login-link",
                    )
                rows.remove(work, link)
            rows.add(
                work,
                secret_hash=_hash(login.secret),
                kind="session",
                csrf=login.csrf,
                seconds=SESSION_SECONDS,
            )
            audit.add(work, actor="operator", via=via, verb="login", subject="operator")

        await self._store.write(job)
        return login

    async def session(self, secret: str) -> Login | None:
        """Give the session that a cookie stands for, or ``None``."""
        row = await self._store.read(lambda asking: rows.find(asking, _hash(secret), "session"))
        return Login(secret, str(row.csrf)) if row is not None else None

    async def log_out(self, secret: str) -> None:
        """Close a session."""
        await self._store.write(lambda work: rows.remove(work, _hash(secret)))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()

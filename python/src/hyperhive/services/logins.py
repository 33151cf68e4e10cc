"""Who is the operator: secrets, one-time links, sessions of browsers.

Only hashes are stored. A session survives a restart of the server; a one-time link works once,
for a few minutes. Whoever guesses at the secret is stopped after a few wrong ones in a minute, and
with them everybody who comes with a secret, a right one too: else guessing could go on. Sessions,
links and the admin socket work meanwhile.
"""

import hashlib
import hmac
import math
import secrets
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyperhive.domain.errors import QuotaError, UnauthorizedError
from hyperhive.store import Store, Writing, audit
from hyperhive.store import logins as rows

SESSION_SECONDS: Final = 30 * 24 * 3600.0
LINK_SECONDS: Final = 10 * 60.0
FAILURES_MAX: Final = 10
FAILURES_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Login:
    """A browser that is logged in; ``csrf`` is what its unsafe requests must carry."""

    secret: str
    csrf: str


class Stay:
    """A connection that a browser keeps open by its login; ``is_over`` once that is closed."""

    __slots__ = ("is_over", "ring")

    def __init__(self, ring: Callable[[], None]) -> None:
        self.is_over = False
        self.ring = ring


class Logins:
    """The operator's ways in."""

    def __init__(self, store: Store, secret_file: Path | None) -> None:
        self._store = store
        self._secret_file = secret_file
        self._failures: deque[float] = deque(maxlen=FAILURES_MAX)
        self._stays: defaultdict[str, set[Stay]] = defaultdict(set)

    def check(self, secret: str) -> None:
        """Let pass who knows the secret.

        Raises `UnauthorizedError` for a wrong one, and `QuotaError` for any after ten wrong ones
        within a minute, until the oldest of these is a minute old.
        """
        now = self._store.clock()
        # A time ahead of now is from before the clock was set back: it must not bind for longer.
        while self._failures and not 0 <= now - self._failures[0] < FAILURES_SECONDS:
            self._failures.popleft()
        if len(self._failures) == FAILURES_MAX:
            wait = math.ceil(self._failures[0] + FAILURES_SECONDS - now)
            raise QuotaError(
                f"{FAILURES_MAX} wrong secrets were tried within {FAILURES_SECONDS:g} s, which is "
                "the limit.",
                f"Try again in {wait} s, or use a link from: hyperhive login-link",
            )
        if not self._knows(secret):
            self._failures.append(now)
            raise UnauthorizedError(
                "That is not the operator's secret.",
                "Use the secret in operator.secretFile, or a link from: hyperhive login-link",
            )

    def secret_fault(self) -> str | None:
        """Say why nobody can log in by the secret, and what to do; ``None`` when one can."""
        if self._secret_file is None:
            return None
        way = (
            f"Nobody can log in by the operator's secret: {self._secret_file} {{}}. Write one line "
            "into it; until then use a link from: hyperhive login-link"
        )
        try:
            kept = self._secret_file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return way.format("is missing")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            return way.format(f"cannot be read ({reason})")
        return None if kept else way.format("is empty")

    def _knows(self, secret: str) -> bool:
        """Whether this is the secret of the declared file; read anew, so that it can be changed."""
        if self._secret_file is None or not secret:
            return False
        try:
            kept = self._secret_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return False
        return bool(kept) and hmac.compare_digest(
            kept.encode(), secret.encode("utf-8", "surrogatepass")
        )

    async def link(self, seconds: float = LINK_SECONDS) -> str:
        """Make the token of a one-time link."""
        token = secrets.token_urlsafe(24)

        def job(work: Writing) -> None:
            rows.add(work, secret_hash=_hash(token), kind="link", csrf=None, seconds=seconds)

        await self._store.write(job)
        return token

    async def log_in_by_secret(self, secret: str) -> Login:
        """Open a session for whoever knows the secret."""
        self.check(secret)
        return await self._open(None, via="secret")

    async def log_in_by_link(self, token: str) -> Login:
        """Open a session for whoever has a one-time link, and use it up."""
        # Looked for before it is written: who tries tokens at random must not cost us commits.
        if await self._store.read(lambda asking: rows.find(asking, _hash(token), "link")) is None:
            raise _link_is_over()
        return await self._open(_hash(token), via="link")

    async def _open(self, link: str | None, *, via: str) -> Login:
        login = Login(secrets.token_urlsafe(32), secrets.token_urlsafe(24))

        def job(work: Writing) -> None:
            if link is not None:
                if rows.find(work, link, "link") is None:
                    raise _link_is_over()
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

        def job(work: Writing) -> None:
            rows.remove(work, _hash(secret))
            audit.add(work, actor="operator", via="http", verb="logout", subject="operator")

        await self._store.write(job)
        for stay in self._stays.get(_hash(secret), ()):
            stay.is_over = True
            stay.ring()

    @contextmanager
    def staying(self, login: Login | None, ring: Callable[[], None]) -> Iterator[Stay]:
        """Keep a connection within the block; ``ring`` is called when its login is closed.

        Without a login (the secret itself, the admin socket) there is nothing to be closed.
        """
        stay = Stay(ring)
        if login is None:
            yield stay
            return
        key = _hash(login.secret)
        self._stays[key].add(stay)
        try:
            yield stay
        finally:
            self._stays[key].discard(stay)
            if not self._stays[key]:
                del self._stays[key]


def _link_is_over() -> UnauthorizedError:
    return UnauthorizedError(
        "This link was used or has expired.", "Make a new one with: hyperhive login-link"
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()

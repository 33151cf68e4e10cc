"""The embedded forge as one ASGI application: git for git, Gitea's API for the rest.

Everybody says who they are, with every request: a token as ``Authorization: token …`` or bearer,
or name and token (or password) as git and browsers send them. What is not offered answers 501.
"""

import base64
import binascii
import contextlib
import hmac
import json
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import hyperhive
from hyperhive.domain.errors import (
    ConflictError,
    ForbiddenError,
    HiveError,
    InvalidError,
    NotFoundError,
    NotOfferedError,
    TooLargeError,
    UnauthorizedError,
)
from hyperhive.domain.forge import Scope
from hyperhive.forge.embedded import shapes
from hyperhive.forge.embedded.accounts import Accounts, add_token, log_in, new_secret
from hyperhive.forge.embedded.git import ORPHANS, Git
from hyperhive.forge.embedded.git_http import GitHttp
from hyperhive.forge.embedded.hooks import TRIES, Hooks
from hyperhive.forge.embedded.pages import Pages
from hyperhive.forge.embedded.pulls import Pulls
from hyperhive.forge.embedded.repositories import Repositories
from hyperhive.forge.embedded.requests import BODY_MAX, Answer, Ask, body_of, parts_of, query_of
from hyperhive.forge.embedded.shares import Shares
from hyperhive.store import Row, Store, Writing, alerts, forge_accounts, forge_repositories

API: Final = "/api/v1"
DIRECTORY: Final = "forge"
CALLS_EACH: Final = 8
"""How many calls of one account are worked on at the same time: half of the git programs."""
ORPHANS_ALERT: Final = "forge-orphans"
_GIT: Final = re.compile(
    r"/([^/]+)/([^/]+?)(?:\.git)?/(info/refs|git-upload-pack|git-receive-pack)"
)
_PAGE: Final = re.compile(r"/([^/]+)/([^/]+?)(?:/pulls/(\d+)(\.diff)?)?/?")
_log = logging.getLogger(__name__)

Route = tuple[str, str, str, Callable[..., Awaitable[Answer]]]


@dataclass(frozen=True, slots=True)
class Granted:
    """An administrator's token that the hive itself has, and whose it is."""

    name: str
    email: str
    secret: str = field(repr=False)

    def is_by(self, secret: str) -> bool:
        """Say whether this is the token."""
        return hmac.compare_digest(self.secret.encode(), secret.encode(errors="surrogateescape"))


class EmbeddedForge:
    """The forge, as an application to be served on a port of its own."""

    def __init__(
        self, store: Store, directory: Path | None = None, *, tries: tuple[float, ...] = TRIES
    ) -> None:
        self._store = store
        self._granted: Granted | None = None
        self._calls = Shares(CALLS_EACH)
        self._git = Git(directory or store.directory / DIRECTORY)
        self._hooks = Hooks(store, tries)
        self._accounts = Accounts(store)
        self._repositories = Repositories(store, self._git)
        self._pulls = Pulls(store, self._git, self._repositories, self._hooks)
        self._pages = Pages(store, self._git, self._repositories)
        self._http = GitHttp(store, self._git, self._pulls)
        self._routes = [
            (method, re.compile(re.sub(r"\{\}", "([^/]+)", path)), scope, act)
            for method, path, scope, act in self._table()
        ]

    @property
    def offered(self) -> list[tuple[str, str]]:
        """Give the methods and paths of the API that it answers; ``{}`` is any part of a path."""
        return [(method, path) for method, path, _, _ in self._table()]

    async def begin(self, url: str) -> None:
        """Say where it is served, and clear away what a crash may have left half made."""
        self._pulls.url = url.rstrip("/")
        present = await self._store.read(forge_repositories.numbers)
        await self._tell_of(await self._git.sweep(present))
        await self._pulls.settle()

    async def _tell_of(self, orphans: list[str]) -> None:
        def job(work: Writing) -> None:
            if not orphans:
                alerts.clear_alert(work, ORPHANS_ALERT)
                return
            named = ", ".join(orphans[:5]) + (", …" if len(orphans) > 5 else "")
            alerts.raise_alert(
                work,
                ORPHANS_ALERT,
                f"The database knows nothing of {len(orphans)} of the forge's repositories: it is "
                f"older than they are. They are kept in {self._git.root / ORPHANS}: {named}. "
                "Take from them what is missed, then remove them; the next start looks again.",
            )

        await self._store.write(job)

    async def grant_admin(self, name: str, email: str) -> str:
        """Give a new token of an administrator of that name, made if need be; the old is void.

        It holds as long as the forge is served, whatever database is restored meanwhile.
        """
        self._granted = Granted(name, email, new_secret())
        await self._grant(self._granted)
        return self._granted.secret

    async def _grant(self, granted: Granted) -> None:
        def job(work: Writing) -> None:
            name, email = granted.name, granted.email
            row = forge_accounts.find(work, name)
            if row is not None and row.is_org:
                raise ConflictError(f"{name} is an organisation of the forge.")
            values = {"is_admin": True, "is_active": True}
            if row is None:
                number = forge_accounts.add(work, name, is_org=False, email=email, **values)
            else:
                number = row.id
                forge_accounts.change(work, number, values)
                forge_accounts.remove_token(work, number, "admin")
            add_token(work, number, "admin", [Scope.ALL.value], granted.secret)

        await self._store.write(job)

    async def close(self) -> None:
        """Deliver no more webhooks."""
        await self._hooks.close()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        started = False

        async def sending(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._answer(scope, receive, sending)
        except HiveError as error:
            if not started:
                await self._refuse(sending, error)
        except ConnectionResetError:
            return
        except Exception:
            _log.exception("%s %s failed", scope["method"], scope["path"])
            if started:
                raise
            await self._refuse(sending, HiveError("The forge failed; its log says why."))

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] != "GET" and b"origin" in dict(scope["headers"]):
            # A browser keeps the password that its user gave for the pages, and sends it along
            # with whatever another site has it send.
            raise ForbiddenError("Browsers only read here.", "Use git, or curl.")
        raw = scope.get("raw_path", scope["path"].encode()).decode("latin-1").split("?")[0]
        if found := _GIT.fullmatch(raw):
            parts = parts_of("/".join(found.groups()[:2]))
            if parts is None or len(parts) != 2:
                raise NotFoundError("repository", raw)
            account, scopes, _ = await self._log_in(scope)
            push = "receive-pack" in raw or b"receive-pack" in scope["query_string"]
            _require_scope(scopes, "repository", write=push)
            what = (parts[0], parts[1], found.group(3))
            await self._http.answer(scope, receive, send, account, what)
            return
        if not raw.startswith(f"{API}/"):
            await self._page(scope, send, raw)
            return
        if raw == f"{API}/version":
            await _write(send, Answer({"version": f"hyperhive-{hyperhive.__version__}"}))
            return
        await self._api(scope, receive, send, raw)

    async def _page(self, scope: Any, send: Any, raw: str) -> None:
        found = _PAGE.fullmatch(raw)
        if found is None or scope["method"] != "GET":
            raise NotFoundError("page", raw[:200])
        account, scopes, by_password = await self._log_in(scope)
        _require_scope(scopes, "repository", write=False)
        ask = Ask("GET", raw, self._pulls.url, account, scopes, by_password)
        parts = parts_of("/".join(found.groups()[:2]))
        if parts is None or len(parts) != 2:
            raise NotFoundError("page", raw[:200])
        (owner, name), number, is_diff = parts, found.group(3), found.group(4)
        async with self._calls.place(account.id):
            if number is None:
                answer = await self._pages.repository(ask, owner, name)
            elif is_diff:
                answer = await self._pulls.show(ask, owner, name, number + is_diff)
            else:
                answer = await self._pages.pull(ask, owner, name, number)
        await _write(send, answer)

    async def _api(self, scope: Any, receive: Any, send: Any, raw: str) -> None:
        account, scopes, by_password = await self._log_in(scope)
        method, path = scope["method"], raw.removeprefix(API).rstrip("/")
        for verb, pattern, category, act in self._routes:
            found = pattern.fullmatch(path)
            if verb != method or found is None:
                continue
            arguments = [parts_of(group) for group in found.groups()]
            plain = [parts[0] for parts in arguments if parts is not None and len(parts) == 1]
            if len(plain) != len(arguments):
                raise NotFoundError("page", path[:200])
            _require_scope(scopes, category, write=method != "GET")
            if category == "admin" and not account.is_admin:
                raise ForbiddenError("That is for administrators.")
            ask = Ask(method, raw, self._pulls.url, account, scopes, by_password)
            ask.query = query_of(scope["query_string"])
            ask.given = body_of(await _whole(receive))
            async with self._calls.place(account.id):
                answer = await act(ask, *plain)
            await _write(send, answer)
            return
        raise NotOfferedError(f"{method} {path[:200]} is not offered.", "See docs/forge.md.")

    async def _log_in(self, scope: Any) -> tuple[Row, frozenset[str], bool]:
        name, secret = _credentials(dict(scope["headers"]).get(b"authorization", b""))
        found = None
        if secret:
            found = await self._store.read(lambda read: log_in(read, name, secret))
            if found is None and self._granted is not None and self._granted.is_by(secret):
                await self._grant(self._granted)  # the database is one from before the token
                found = await self._store.read(lambda read: log_in(read, name, secret))
        if found is None:
            raise UnauthorizedError("The forge does not know these credentials.", "Use a token.")
        return found

    async def _refuse(self, send: Any, error: HiveError) -> None:
        # Gitea says 422 for a value that it does not take, and 400 only for what is no request.
        status = 422 if isinstance(error, InvalidError) else error.status
        headers = [("www-authenticate", 'Basic realm="forge"')] if status == 401 else []
        await _write(
            send, Answer(shapes.refusal(str(error), self._pulls.url), status, headers=headers)
        )

    def _table(self) -> list[Route]:
        a, r, p, h = self._accounts, self._repositories, self._pulls, self._hooks
        repo = "/repos/{}/{}"
        pull = f"{repo}/pulls/{{}}"
        user, org, repository, issue = "user", "organization", "repository", "issue"
        return [
            ("GET", "/user", user, a.me),
            ("GET", "/user/orgs", org, a.own_orgs),
            ("GET", "/user/repos", repository, r.own),
            ("POST", "/user/repos", repository, r.create_own),
            ("GET", "/users/{}", user, a.user),
            ("GET", "/users/{}/tokens", user, a.tokens),
            ("POST", "/users/{}/tokens", user, a.create_token),
            ("DELETE", "/users/{}/tokens/{}", user, a.delete_token),
            ("GET", "/admin/users", "admin", a.users),
            ("POST", "/admin/users", "admin", a.create_user),
            ("PATCH", "/admin/users/{}", "admin", a.change_user),
            ("DELETE", "/admin/users/{}", "admin", a.delete_user),
            ("GET", "/admin/orgs", "admin", a.orgs),
            ("POST", "/admin/users/{}/orgs", "admin", a.create_org),
            ("POST", "/admin/users/{}/repos", "admin", r.create_for),
            ("POST", "/orgs", org, a.create_org),
            ("GET", "/orgs/{}", org, a.org),
            ("DELETE", "/orgs/{}", org, a.delete_org),
            ("GET", "/orgs/{}/teams", org, a.teams),
            ("POST", "/orgs/{}/teams", org, a.create_team),
            ("GET", "/orgs/{}/repos", org, r.of_org),
            ("POST", "/orgs/{}/repos", org, r.create_in),
            ("POST", "/org/{}/repos", org, r.create_in),
            ("GET", "/orgs/{}/hooks", org, h.listed),
            ("POST", "/orgs/{}/hooks", org, h.create),
            ("PATCH", "/orgs/{}/hooks/{}", org, h.change),
            ("DELETE", "/orgs/{}/hooks/{}", org, h.remove),
            ("GET", "/teams/{}", org, a.team),
            ("PATCH", "/teams/{}", org, a.change_team),
            ("DELETE", "/teams/{}", org, a.delete_team),
            ("GET", "/teams/{}/members", org, a.members),
            ("PUT", "/teams/{}/members/{}", org, a.add_member),
            ("DELETE", "/teams/{}/members/{}", org, a.remove_member),
            ("GET", repo, repository, r.show),
            ("DELETE", repo, repository, r.delete),
            ("GET", f"{repo}/branches", repository, r.branches),
            ("GET", f"{repo}/branches/{{}}", repository, r.branch),
            ("GET", f"{repo}/branch_protections", repository, r.protections),
            ("POST", f"{repo}/branch_protections", repository, r.protect),
            ("PATCH", f"{repo}/branch_protections/{{}}", repository, r.change_protection),
            ("DELETE", f"{repo}/branch_protections/{{}}", repository, r.unprotect),
            ("GET", f"{repo}/pulls", repository, p.listed),
            ("POST", f"{repo}/pulls", repository, p.open),
            ("GET", pull, repository, p.show),
            ("PATCH", pull, repository, p.change),
            ("GET", f"{pull}/merge", repository, p.is_merged),
            ("POST", f"{pull}/merge", repository, p.merge),
            ("POST", f"{pull}/requested_reviewers", repository, p.request),
            ("DELETE", f"{pull}/requested_reviewers", repository, p.unrequest),
            ("GET", f"{pull}/reviews", repository, p.reviews),
            ("POST", f"{pull}/reviews", repository, p.review),
            ("GET", f"{repo}/issues/{{}}/comments", issue, p.comments),
            ("POST", f"{repo}/issues/{{}}/comments", issue, p.comment),
        ]


def _credentials(header: bytes) -> tuple[str | None, str]:
    kind, _, rest = header.decode("latin-1").partition(" ")
    if kind.lower() in ("token", "bearer"):
        return None, rest.strip()
    if kind.lower() == "basic":
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):
            name, _, secret = base64.b64decode(rest.strip()).decode().partition(":")
            # As on Gitea, a token may also stand where the name does.
            return (name, secret) if secret not in ("", "x-oauth-basic") else (None, name)
    return None, ""


def _require_scope(scopes: frozenset[str], category: str, *, write: bool) -> None:
    enough = {Scope.ALL.value, f"write:{category}"} | (set() if write else {f"read:{category}"})
    if not scopes & enough:
        needed = f"{'write' if write else 'read'}:{category}"
        raise ForbiddenError(f"The token lacks the scope {needed}.", "Make one that has it.")


async def _whole(receive: Any) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client has gone")
        body += message.get("body", b"")
        if len(body) > BODY_MAX:
            raise TooLargeError("request", len(body), BODY_MAX, "Send less.")
        if not message.get("more_body", False):
            return body


async def _write(send: Any, answer: Answer) -> None:
    text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
    body = b"" if answer.status == 204 or answer.body is None else text.encode()
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *((key.encode(), value.encode("latin-1")) for key, value in answer.headers),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

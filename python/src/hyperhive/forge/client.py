"""The one client of every forge: py-gitea, with the calls that it lacks through its raw requests.

py-gitea keeps the address, the token and the session; each call runs in a thread, since it waits.
Its own objects are not used: they log passwords, lose what a refusal says, and change their
classes as they read (docs/decisions/0014-one-client-for-every-forge.md).
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

from gitea import Gitea
from requests import Response
from requests.auth import HTTPBasicAuth

from hyperhive.domain.errors import (
    ConflictError,
    ForgeUnavailableError,
    InvalidError,
    NotFoundError,
    NotOfferedError,
)
from hyperhive.domain.forge import (
    Comment,
    Hook,
    HookShape,
    MergeStyle,
    NewPull,
    NewToken,
    NewUser,
    Org,
    Protection,
    Pull,
    PullState,
    Repository,
    RepositoryShape,
    Review,
    Scope,
    Team,
    TeamShape,
    Token,
    User,
    Verdict,
)
from hyperhive.forge import reading
from hyperhive.forge.transport import Transport

PAGE: Final = 50
PAGES_MAX: Final = 1000
CLOCKS_SECONDS: Final = 60.0
"""What happened to a pull request is looked for from so long before: times are of whole seconds."""
UNITS: Final = ("repo.code", "repo.pulls", "repo.issues")
Value = TypeVar("Value")
Secret = str | Callable[[], str]


class _Requests:
    """Raw requests as coroutines: parts of paths are quoted, lists are followed to their end."""

    def __init__(self, url: str, secret: Secret, transport: Callable[[], Transport]) -> None:
        self.url = url.rstrip("/")
        self._make = transport
        self._secret = secret
        # It sets the level of its logger, and logs every refusal as an error: both are ours to do.
        self._gitea = Gitea(self.url, log_level="CRITICAL")
        logging.getLogger("gitea.gitea").propagate = False
        session = self._gitea.requests
        session.trust_env = False
        session.mount("http://", transport())
        session.mount("https://", transport())

    async def close(self) -> None:
        """Let go of the connections."""
        await asyncio.to_thread(self._gitea.requests.close)

    async def get(self, path: str, **params: Any) -> Any:
        """Ask for one thing."""
        return _json(await self._send("GET", path, params=params))

    async def maybe(self, path: str) -> Any:
        """Ask for one thing that may not be there."""
        try:
            return await self.get(path)
        except NotFoundError:
            return None

    async def text(self, path: str) -> str:
        """Ask for a text."""
        return (await self._send("GET", path)).content.decode(errors="replace")

    async def every(self, path: str, read: Callable[[Any], Value], **params: Any) -> list[Value]:
        """Ask for a whole list, page by page."""
        found: list[Value] = []
        for page in range(1, PAGES_MAX + 1):
            asked = {**params, "limit": PAGE, "page": page}
            response = await self._send("GET", path, params=asked)
            some = _json(response) or []
            found += [_read(read, one) for one in some]
            total = response.headers.get("x-total-count", "")
            is_last = len(found) >= int(total) if total.isdecimal() else len(some) < PAGE
            if not some or is_last:
                break
        return found

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Make something."""
        return _json(await self._send("POST", path, body=body))

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change something."""
        return _json(await self._send("PATCH", path, body=body))

    async def put(self, path: str) -> None:
        """Put something in its place."""
        await self._send("PUT", path)

    async def delete(self, path: str) -> None:
        """Remove something that may be gone already."""
        try:
            await self._send("DELETE", path)
        except NotFoundError:
            return

    async def as_user(
        self,
        name: str,
        password: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
    ) -> Response:
        """Ask in somebody's name, by a password."""
        return await self._send(method, path, body=body, auth=HTTPBasicAuth(name, password))

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        auth: HTTPBasicAuth | None = None,
    ) -> Response:
        def send() -> Response:
            headers = dict(self._gitea.headers)
            if auth is None:
                secret = self._secret if isinstance(self._secret, str) else self._secret()
                headers["Authorization"] = f"token {secret}"
            found: Response = self._gitea.requests.request(
                method,
                f"{self.url}/api/v1{path}",
                params=params,
                data=None if body is None else json.dumps(body),
                headers=headers,
                auth=auth,
                allow_redirects=False,
            )
            return found

        return await asyncio.to_thread(send)


class ForgeClient:
    """Speaks to a forge for one account; keeps the words of `hyperhive.domain.forge_port`.

    A ``secret`` that can be called is asked for the token at each request: one that was made anew
    holds at once.
    """

    def __init__(
        self, url: str, secret: Secret, *, transport: Callable[[], Transport] = Transport
    ) -> None:
        self.url = url.rstrip("/")
        self._transport = transport
        self._api = _Requests(url, secret, transport)

    def speaking_as(self, secret: str) -> Self:
        """Give a client that speaks with another token."""
        return type(self)(self.url, secret, transport=self._transport)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._api.close()

    async def version(self) -> str:
        """Say what is there."""
        return str((await self._api.get("/version"))["version"])

    async def me(self) -> User:
        """Say whose token this is."""
        return _read(reading.user, await self._api.get("/user"))

    async def users(self) -> list[User]:
        """Give every account."""
        return await self._api.every("/admin/users", reading.user)

    async def user(self, name: str) -> User | None:
        """Give one account, or ``None``."""
        found = await self._api.maybe(f"/users/{_q(name)}")
        # A real forge shows an organisation here, too: it is an account without a log-in.
        if found is None or (found.get("email") == "" and await self.org(name) is not None):
            return None
        return _read(reading.user, found)

    async def create_user(self, new: NewUser) -> User:
        """Make an account with a password that nobody is told."""
        body = {
            "username": new.name,
            "email": new.email,
            "full_name": new.full_name,
            "password": _password(),
            "must_change_password": False,
            "send_notify": False,
            "source_id": 0,
            "login_name": new.name,
            "visibility": "limited",
        }
        made = _read(reading.user, await self._api.post("/admin/users", body))
        more: dict[str, Any] = {"allow_create_organization": new.may_create_orgs}
        if new.is_admin:
            more["admin"] = True
        if new.repositories_max is not None:
            more["max_repo_creation"] = new.repositories_max
        return _read(reading.user, await self._change(made.name, more))

    async def set_active(self, name: str, *, active: bool) -> None:
        """Let an account log in, or shut it out."""
        await self._change(name, {"active": active, "prohibit_login": not active})

    async def set_repositories_max(self, name: str, count: int | None) -> None:
        """Say how many repositories an account may own itself."""
        await self._change(name, {"max_repo_creation": -1 if count is None else count})

    async def delete_user(self, name: str) -> None:
        """Remove an account."""
        if await self.user(name) is None:
            raise NotFoundError("user", name)
        try:
            await self._api.delete(f"/admin/users/{_q(name)}")
        except InvalidError as error:
            raise ConflictError(error.detail, "Remove what it owns first.") from error

    async def tokens(self, user: str) -> list[Token]:
        """Give the tokens of an account."""
        password = await self.new_password(user)
        path = f"/users/{_q(user)}/tokens?limit={PAGE}"
        found = _json(await self._api.as_user(user, password, "GET", path))
        return [_read(reading.token, one) for one in found]

    async def create_token(self, user: str, name: str, scopes: Sequence[Scope]) -> NewToken:
        """Make a token in place of one of that name."""
        password = await self.new_password(user)
        path = f"/users/{_q(user)}/tokens"
        body = {"name": name, "scopes": [scope.value for scope in scopes]}
        try:
            made = _json(await self._api.as_user(user, password, "POST", path, body))
        except ConflictError:
            await self._api.as_user(user, password, "DELETE", f"{path}/{_q(name)}")
            made = _json(await self._api.as_user(user, password, "POST", path, body))
        return NewToken(name, str(made["sha1"]), reading.scopes(made.get("scopes")))

    async def delete_token(self, user: str, name: str) -> None:
        """Void a token."""
        password = await self.new_password(user)
        path = f"/users/{_q(user)}/tokens/{_q(name)}"
        try:
            await self._api.as_user(user, password, "DELETE", path)
        except NotFoundError:
            return

    async def new_password(self, user: str) -> str:
        """Give an account another password, which is the only way to its tokens, and say which."""
        password = _password()
        await self._change(user, {"password": password, "must_change_password": False})
        return password

    async def orgs(self) -> list[Org]:
        """Give every organisation."""
        return await self._api.every("/admin/orgs", reading.org)

    async def org(self, name: str) -> Org | None:
        """Give one organisation, or ``None``."""
        found = await self._api.maybe(f"/orgs/{_q(name)}")
        return None if found is None else _read(reading.org, found)

    async def create_org(self, org: Org) -> Org:
        """Make a private organisation."""
        body = {"username": org.name, "description": org.description, "visibility": "private"}
        return _read(reading.org, await self._api.post("/orgs", body))

    async def delete_org(self, name: str) -> None:
        """Remove an organisation."""
        # A Forgejo fails at one that owns something, instead of refusing.
        if await self.org(name) is not None and await self.repositories(name):
            raise ConflictError(f"{name} owns repositories.", "Remove them first.")
        await self._api.delete(f"/orgs/{_q(name)}")

    async def teams(self, org: str) -> list[Team]:
        """Give the teams of an organisation."""
        return await self._api.every(f"/orgs/{_q(org)}/teams", reading.team)

    async def create_team(self, org: str, shape: TeamShape) -> Team:
        """Make a team."""
        path = f"/orgs/{_q(org)}/teams"
        return _read(reading.team, await self._api.post(path, _team(shape)))

    async def change_team(self, team: int, shape: TeamShape) -> Team:
        """Make a team what ``shape`` says."""
        return _read(reading.team, await self._api.patch(f"/teams/{team}", _team(shape)))

    async def delete_team(self, team: int) -> None:
        """Remove a team."""
        await self._api.delete(f"/teams/{team}")

    async def members(self, team: int) -> list[str]:
        """Give the names of a team's members."""
        return [one.name for one in await self._api.every(f"/teams/{team}/members", reading.user)]

    async def add_member(self, team: int, user: str) -> None:
        """Put an account into a team."""
        await self._api.put(f"/teams/{team}/members/{_q(user)}")

    async def remove_member(self, team: int, user: str) -> None:
        """Take an account out of a team."""
        await self._api.delete(f"/teams/{team}/members/{_q(user)}")

    async def repositories(self, org: str) -> list[Repository]:
        """Give the repositories of an organisation."""
        return await self._api.every(f"/orgs/{_q(org)}/repos", reading.repository)

    async def repository(self, owner: str, name: str) -> Repository | None:
        """Give one repository, or ``None``."""
        found = await self._api.maybe(_repo(owner, name))
        return None if found is None else _read(reading.repository, found)

    async def create_repository(self, org: str, shape: RepositoryShape) -> Repository:
        """Make a repository in an organisation."""
        made = await self._api.post(f"/orgs/{_q(org)}/repos", _repository(shape))
        return _read(reading.repository, made)

    async def create_own_repository(self, shape: RepositoryShape) -> Repository:
        """Make a repository of this account's own."""
        made = await self._api.post("/user/repos", _repository(shape))
        return _read(reading.repository, made)

    async def delete_repository(self, owner: str, name: str) -> None:
        """Remove a repository."""
        await self._api.delete(_repo(owner, name))

    async def protections(self, owner: str, name: str) -> list[Protection]:
        """Give the protected branches."""
        found = await self._api.get(f"{_repo(owner, name)}/branch_protections")
        return [_read(reading.protection, one) for one in found or ()]

    async def protect(self, owner: str, name: str, protection: Protection) -> None:
        """Protect a branch so."""
        path = f"{_repo(owner, name)}/branch_protections"
        may_push = bool(protection.push_users or protection.push_teams)
        body = {
            "rule_name": protection.branch,
            "enable_push": may_push,
            "enable_push_whitelist": may_push,
            "push_whitelist_usernames": sorted(protection.push_users),
            "push_whitelist_teams": sorted(protection.push_teams),
            "required_approvals": protection.required_approvals,
            "apply_to_admins": True,
        }
        if protection in await self.protections(owner, name):
            return
        try:
            await self._api.post(path, body)
        except ConflictError:
            await self._api.patch(f"{path}/{_q(protection.branch)}", body)

    async def unprotect(self, owner: str, name: str, branch: str) -> None:
        """Protect a branch no longer."""
        await self._api.delete(f"{_repo(owner, name)}/branch_protections/{_q(branch)}")

    async def pulls(
        self, owner: str, name: str, *, state: PullState | None = PullState.OPEN
    ) -> list[Pull]:
        """Give pull requests."""
        asked = "all" if state is None else "open" if state is PullState.OPEN else "closed"
        path = f"{_repo(owner, name)}/pulls"
        found = await self._api.every(path, _pull(owner, name), state=asked)
        return [await self._owing(pull) for pull in found]

    async def pull(self, owner: str, name: str, number: int) -> Pull:
        """Give one pull request."""
        found = await self._api.get(f"{_repo(owner, name)}/pulls/{number}")
        return await self._owing(_read(_pull(owner, name), found))

    async def open_pull(self, owner: str, name: str, new: NewPull) -> Pull:
        """Open one."""
        body = {"head": new.head, "base": new.base, "title": new.title, "body": new.body}
        try:
            made = await self._api.post(f"{_repo(owner, name)}/pulls", body)
        except ForgeUnavailableError:
            # A Forgejo fails at a branch that is not there, instead of saying so.
            for branch in (new.head, new.base):
                await self._api.get(f"{_repo(owner, name)}/branches/{_q(branch)}")
            raise
        return _read(_pull(owner, name), made)

    async def diff(self, owner: str, name: str, number: int) -> str:
        """Give what it changes."""
        return await self._api.text(f"{_repo(owner, name)}/pulls/{number}.diff")

    async def close_pull(self, owner: str, name: str, number: int) -> Pull:
        """Close one without merging it."""
        if (await self.pull(owner, name, number)).state is PullState.MERGED:
            raise ConflictError("It was merged.", "Open another one.")
        path = f"{_repo(owner, name)}/pulls/{number}"
        return _read(_pull(owner, name), await self._api.patch(path, {"state": "closed"}))

    async def merge(
        self, owner: str, name: str, number: int, style: MergeStyle = MergeStyle.MERGE
    ) -> Pull:
        """Merge it."""
        found = await self._api.get(f"{_repo(owner, name)}/pulls/{number}")
        if _read(_pull(owner, name), found).state is not PullState.OPEN:
            raise ConflictError("It is not open.", "Look at its state.")
        # A Forgejo fails at this, instead of refusing.
        start, base = found.get("merge_base"), found["base"].get("sha")
        if style is MergeStyle.FAST_FORWARD and start and start != base:
            raise ConflictError("Its base has moved on.", "Rebase, or merge with a commit.")
        await self._api.post(f"{_repo(owner, name)}/pulls/{number}/merge", {"Do": style.value})
        return await self.pull(owner, name, number)

    async def request_review(
        self, owner: str, name: str, number: int, reviewers: Sequence[str]
    ) -> None:
        """Ask accounts for a review."""
        path = f"{_repo(owner, name)}/pulls/{number}/requested_reviewers"
        await self._api.post(path, {"reviewers": list(reviewers)})

    async def reviews(self, owner: str, name: str, number: int) -> list[Review]:
        """Give the reviews."""
        path = f"{_repo(owner, name)}/pulls/{number}/reviews"
        found = await self._api.every(path, reading.review)
        return [review for review in found if review is not None]

    async def review(
        self, owner: str, name: str, number: int, verdict: Verdict, body: str
    ) -> Review:
        """Say something of the whole."""
        path = f"{_repo(owner, name)}/pulls/{number}/reviews"
        said = await self._api.post(path, {"event": verdict.value, "body": body})
        review = _read(reading.review, said)
        if review is None:
            raise ForgeUnavailableError("The forge's answer is no review.")
        return review

    async def closed_by(self, pull: Pull) -> str | None:
        """Say who closed it."""
        path = f"{_repo(pull.owner, pull.repository)}/issues/{pull.number}/timeline"
        since = datetime.fromtimestamp((pull.closed_at or 0.0) - CLOCKS_SECONDS, UTC).isoformat()
        try:
            found = await self._api.every(path, reading.closer, since=since)
        except NotOfferedError:
            return None
        return next(filter(None, reversed(found)), None)

    async def comments(self, owner: str, name: str, number: int) -> list[Comment]:
        """Give the remarks."""
        found = await self._api.get(f"{_repo(owner, name)}/issues/{number}/comments")
        return [_read(reading.comment, one) for one in found or ()]

    async def comment(self, owner: str, name: str, number: int, body: str) -> Comment:
        """Add a remark."""
        path = f"{_repo(owner, name)}/issues/{number}/comments"
        return _read(reading.comment, await self._api.post(path, {"body": body}))

    async def hooks(self, org: str) -> list[Hook]:
        """Give the webhooks."""
        return await self._api.every(f"/orgs/{_q(org)}/hooks", reading.hook)

    async def create_hook(self, org: str, shape: HookShape, secret: str) -> Hook:
        """Add a webhook."""
        body = {"type": "gitea", **_hook(shape, secret)}
        return _read(reading.hook, await self._api.post(f"/orgs/{_q(org)}/hooks", body))

    async def change_hook(self, org: str, hook: int, shape: HookShape, secret: str) -> Hook:
        """Make a webhook what ``shape`` says."""
        path = f"/orgs/{_q(org)}/hooks/{hook}"
        return _read(reading.hook, await self._api.patch(path, _hook(shape, secret)))

    async def delete_hook(self, org: str, hook: int) -> None:
        """Remove a webhook."""
        await self._api.delete(f"/orgs/{_q(org)}/hooks/{hook}")

    async def _owing(self, pull: Pull) -> Pull:
        """Name only those who still owe a review: a Forgejo goes on naming who has given it."""
        if not pull.requested_reviewers or pull.state is not PullState.OPEN:
            return pull
        reviews = await self.reviews(pull.owner, pull.repository, pull.number)
        said = {
            each.reviewer: each.verdict
            for each in sorted(reviews, key=lambda each: each.id)
            if each.verdict is not Verdict.COMMENT
        }
        owing = {
            name
            for name in pull.requested_reviewers
            if said.get(name, Verdict.REQUESTED) is Verdict.REQUESTED
        }
        return replace(pull, requested_reviewers=frozenset(owing))

    async def _change(self, name: str, body: Mapping[str, Any]) -> Any:
        path = f"/admin/users/{_q(name)}"
        return await self._api.patch(path, {"source_id": 0, "login_name": name, **body})


def _password() -> str:
    # A letter of each kind and a sign, whatever a forge asks of passwords.
    return f"aA1!{secrets.token_urlsafe(32)}"


def _q(part: str) -> str:
    """Quote a part of a path; dots alone would be read as a way up."""
    return quote(part, safe="") if part.strip(".") else quote(part, safe="").replace(".", "%2E")


def _repo(owner: str, name: str) -> str:
    return f"/repos/{_q(owner)}/{_q(name)}"


def _json(response: Response) -> Any:
    if not response.content.strip():
        return {}
    try:
        return response.json()
    except ValueError as error:
        raise ForgeUnavailableError("The forge answered something that is not JSON.") from error


def _read(read: Callable[[Any], Value], found: Any) -> Value:
    try:
        return read(found)
    except (KeyError, TypeError, ValueError) as error:
        raise ForgeUnavailableError("The forge's answer cannot be understood.") from error


def _pull(owner: str, name: str) -> Callable[[Any], Pull]:
    return lambda found: reading.pull(found, owner, name)


def _team(shape: TeamShape) -> dict[str, Any]:
    access = shape.access.value
    return {
        "name": shape.name,
        "description": shape.description,
        "permission": access,
        "includes_all_repositories": True,
        "can_create_org_repo": shape.may_create_repositories,
        "units": list(UNITS),
        "units_map": dict.fromkeys(UNITS, access),
    }


def _repository(shape: RepositoryShape) -> dict[str, Any]:
    return {
        "name": shape.name,
        "description": shape.description,
        "private": shape.private,
        "default_branch": shape.default_branch,
        "auto_init": shape.auto_init,
    }


def _hook(shape: HookShape, secret: str) -> dict[str, Any]:
    return {
        "config": {"url": shape.url, "content_type": "json", "secret": secret},
        "events": sorted(event.value for event in shape.events),
        "active": True,
    }

"""How a forge's answers become values; an answer that cannot be read is the forge's failure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hyperhive.domain.forge import (
    Access,
    Comment,
    Hook,
    HookEvent,
    HookShape,
    Org,
    Protection,
    Pull,
    PullState,
    Repository,
    Review,
    Scope,
    Team,
    TeamShape,
    Token,
    User,
    Verdict,
)

Json = Mapping[str, Any]


def user(found: Json) -> User:
    """Read an account."""
    return User(
        name=str(found["login"]),
        full_name=str(found.get("full_name") or ""),
        email=str(found.get("email") or ""),
        is_admin=bool(found.get("is_admin")),
        is_active=bool(found.get("active", True)) and not found.get("prohibit_login"),
    )


def scopes(names: Any) -> frozenset[Scope]:
    """Read scopes; those that the hive has no word for are left out."""
    known = {scope.value for scope in Scope}
    return frozenset(Scope(name) for name in names or () if name in known)


def token(found: Json) -> Token:
    """Read a token without its secret."""
    last = str(found.get("token_last_eight") or "")
    return Token(str(found["name"]), scopes(found.get("scopes")), last)


def org(found: Json) -> Org:
    """Read an organisation."""
    name = found.get("name") or found["username"]
    return Org(str(name), str(found.get("description") or ""))


def team(found: Json) -> Team:
    """Read a team."""
    permission = str(found["permission"])
    if permission == "none":
        levels = set((found.get("units_map") or {}).values())
        permission = next((each for each in ("admin", "write") if each in levels), "read")
    shape = TeamShape(
        name=str(found["name"]),
        access=Access(permission),
        may_create_repositories=bool(found.get("can_create_org_repo")),
        description=str(found.get("description") or ""),
    )
    return Team(int(found["id"]), shape)


def repository(found: Json) -> Repository:
    """Read a repository."""
    return Repository(
        owner=str(found["owner"]["login"]),
        name=str(found["name"]),
        description=str(found.get("description") or ""),
        private=bool(found["private"]),
        empty=bool(found["empty"]),
        default_branch=str(found.get("default_branch") or ""),
        clone_url=str(found["clone_url"]),
        html_url=str(found["html_url"]),
        updated_at=_at(found.get("updated_at")),
    )


def protection(found: Json) -> Protection:
    """Read what protects a branch."""
    pushing = found.get("enable_push")
    return Protection(
        branch=str(found.get("rule_name") or found["branch_name"]),
        push_users=frozenset(found.get("push_whitelist_usernames") or ())
        if pushing
        else frozenset(),
        push_teams=frozenset(found.get("push_whitelist_teams") or ()) if pushing else frozenset(),
        required_approvals=int(found.get("required_approvals") or 0),
    )


def pull(found: Json, owner: str, repository_name: str) -> Pull:
    """Read a pull request."""
    state = PullState.MERGED if found.get("merged") else PullState(found["state"])
    asked = found.get("requested_reviewers") or ()
    return Pull(
        owner=owner,
        repository=repository_name,
        number=int(found["number"]),
        title=str(found["title"]),
        body=str(found.get("body") or ""),
        state=state,
        author=_login(found.get("user")) or "ghost",
        head=str(found["head"]["ref"]),
        base=str(found["base"]["ref"]),
        head_commit=str(found["head"].get("sha") or ""),
        requested_reviewers=frozenset(filter(None, map(_login, asked))),
        mergeable=bool(found.get("mergeable")) and state is PullState.OPEN,
        merged_by=_login(found.get("merged_by")),
        html_url=str(found.get("html_url") or ""),
        opened_at=_at(found["created_at"]) or 0.0,
        updated_at=_at(found["updated_at"]) or 0.0,
        closed_at=_at(found.get("closed_at") or found.get("merged_at")),
        merge_commit=found.get("merge_commit_sha") if state is PullState.MERGED else None,
    )


def review(found: Json) -> Review | None:
    """Read a review; ``None`` for one that says nothing yet, or what the hive has no word for."""
    if found["state"] not in set(Verdict):
        return None
    return Review(
        id=int(found["id"]),
        reviewer=_login(found.get("user")) or "ghost",
        verdict=Verdict(found["state"]),
        body=str(found.get("body") or ""),
        stale=bool(found.get("stale")),
        at=_at(found.get("submitted_at")) or 0.0,
    )


def comment(found: Json) -> Comment:
    """Read a comment."""
    author = _login(found.get("user")) or "ghost"
    return Comment(int(found["id"]), author, str(found["body"]), _at(found["created_at"]) or 0.0)


def closer(found: Json) -> str | None:
    """Read who closed something of what happened to it; ``None`` for all else."""
    return _login(found.get("user")) if found.get("type") == "close" else None


def hook(found: Json) -> Hook:
    """Read a webhook; whatever more a forge tells of pull requests goes without saying."""
    known = {event.value for event in HookEvent}
    events = frozenset(HookEvent(name) for name in found.get("events") or () if name in known)
    shape = HookShape(str(found["config"]["url"]), events)
    return Hook(int(found["id"]), shape, bool(found.get("active")))


def _login(found: Any) -> str | None:
    return str(found["login"]) if isinstance(found, Mapping) and found.get("login") else None


def _at(text: Any) -> float | None:
    return datetime.fromisoformat(str(text)).timestamp() if text else None

"""What the embedded forge shows of its rows: the part of Gitea's shapes that its clients read."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hyperhive.domain.forge import PullState, Verdict
from hyperhive.forge.embedded.permissions import LEVELS, Seen
from hyperhive.store import Row

UNITS = ("repo.code", "repo.pulls", "repo.issues")


def stamp(at: float | None) -> str | None:
    """Write a time."""
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def user(row: Row) -> dict[str, Any]:
    """Show a user, or the organisation that stands where one may: as the owner of a repository."""
    return {
        "id": row.id,
        "login": row.name,
        "username": row.name,
        "login_name": "",
        "source_id": 0,
        "full_name": row.full_name,
        "email": row.email,
        "is_admin": row.is_admin,
        "active": row.is_active,
        "prohibit_login": not row.is_active,
        "restricted": False,
        "visibility": "public",
        "avatar_url": "",
        "created": stamp(row.created_at),
    }


def name_alone(name: str | None) -> dict[str, Any] | None:
    """Show a user of whom only the name is at hand."""
    return None if name is None else {"login": name, "username": name}


def org(row: Row) -> dict[str, Any]:
    """Show an organisation."""
    return {
        "id": row.id,
        "name": row.name,
        "username": row.name,
        "full_name": row.full_name,
        "description": row.description,
        "website": "",
        "location": "",
        "visibility": "private",
        "avatar_url": "",
    }


def team(row: Row, held: Row) -> dict[str, Any]:
    """Show a team."""
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "permission": row.access,
        "can_create_org_repo": row.may_create,
        "includes_all_repositories": True,
        "organization": org(held),
        "units": list(UNITS),
        "units_map": dict.fromkeys(UNITS, row.access),
    }


def token(row: Row) -> dict[str, Any]:
    """Show a token without its secret."""
    return {
        "id": row.id,
        "name": row.name,
        "sha1": "",
        "token_last_eight": row.last_eight,
        "scopes": json.loads(row.scopes_json),
    }


def repository(seen: Seen, url: str, *, latest: float | None) -> dict[str, Any]:
    """Show a repository as somebody sees it; ``latest`` is of when its latest commit is."""
    row, owner = seen.repository, seen.owner
    where = f"{url}/{owner.name}/{row.name}"
    return {
        "id": row.id,
        "owner": user(owner),
        "name": row.name,
        "full_name": seen.full_name,
        "description": row.description,
        "private": row.private,
        "empty": latest is None,
        "fork": False,
        "mirror": False,
        "archived": False,
        "default_branch": row.default_branch,
        "clone_url": f"{where}.git",
        "html_url": where,
        "has_pull_requests": True,
        "permissions": {
            "admin": seen.level >= LEVELS.index("admin"),
            "push": seen.level >= LEVELS.index("write"),
            "pull": True,
        },
        "created_at": stamp(row.created_at),
        "updated_at": stamp(latest or row.created_at),
    }


def protection(row: Row) -> dict[str, Any]:
    """Show what protects a branch."""
    users, teams = json.loads(row.users_json), json.loads(row.teams_json)
    return {
        "branch_name": row.branch,
        "rule_name": row.branch,
        "enable_push": bool(users or teams),
        "enable_push_whitelist": bool(users or teams),
        "push_whitelist_usernames": users,
        "push_whitelist_teams": teams,
        "required_approvals": row.approvals,
        "apply_to_admins": True,
    }


def pull(
    row: Row, seen: Seen, url: str, requested: Sequence[str], *, mergeable: bool
) -> dict[str, Any]:
    """Show a pull request."""
    where = f"{url}/{seen.full_name}"
    page = f"{where}/pulls/{row.number}"
    shown = {"id": seen.repository.id, "name": seen.repository.name, "full_name": seen.full_name}
    return {
        "id": row.id,
        "number": row.number,
        "url": page,
        "html_url": page,
        "diff_url": f"{page}.diff",
        "user": name_alone(row.author),
        "title": row.title,
        "body": row.body,
        "labels": [],
        "assignees": [],
        "state": "open" if row.state == PullState.OPEN.value else "closed",
        "draft": False,
        "mergeable": mergeable,
        "merged": row.state == PullState.MERGED.value,
        "merged_at": stamp(row.closed_at) if row.state == PullState.MERGED.value else None,
        "merge_commit_sha": row.merge_commit,
        "merged_by": name_alone(row.merged_by),
        "requested_reviewers": [name_alone(name) for name in requested],
        "base": {
            "label": row.base, "ref": row.base, "sha": row.base_commit,
            "repo_id": seen.repository.id, "repo": shown,
        },
        "head": {
            "label": row.head, "ref": row.head, "sha": row.head_commit,
            "repo_id": seen.repository.id, "repo": shown,
        },
        "created_at": stamp(row.at),
        "updated_at": stamp(row.updated_at),
        "closed_at": stamp(row.closed_at),
    }  # fmt: skip


def review(row: Row, head: str) -> dict[str, Any]:
    """Show a review, or one that is owed."""
    owed = row.verdict == Verdict.REQUESTED.value
    return {
        "id": row.id,
        "user": name_alone(row.author),
        "state": row.verdict,
        "body": row.body,
        "commit_id": row.commit,
        "stale": not owed and row.commit != head,
        "official": True,
        "dismissed": False,
        "comments_count": 0,
        "submitted_at": stamp(row.at),
        "updated_at": stamp(row.at),
    }


def comment(row: Row) -> dict[str, Any]:
    """Show a comment."""
    return {
        "id": row.id,
        "user": name_alone(row.author),
        "body": row.body,
        "created_at": stamp(row.at),
        "updated_at": stamp(row.at),
    }


def hook(row: Row) -> dict[str, Any]:
    """Show a webhook without its secret."""
    return {
        "id": row.id,
        "type": "gitea",
        "config": {"url": row.url, "content_type": "json"},
        "events": json.loads(row.events_json),
        "active": row.active,
    }


def refusal(detail: str, url: str) -> Mapping[str, str]:
    """Show an error as Gitea does."""
    return {"message": detail, "url": f"{url}/api/v1"}

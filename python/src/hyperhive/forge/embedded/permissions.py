"""Who may do what on the embedded forge: one place, asked by the API and by git alike.

An administrator may everything. An account is owner of its own repositories; in an organisation it
has the most that one of its teams gives. Nobody sees a private repository without access: it is
not there for them.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from hyperhive.domain.errors import ForbiddenError, NotFoundError
from hyperhive.domain.forge import OWNERS
from hyperhive.store import Row, forge_accounts, forge_repositories
from hyperhive.store.transaction import Asking

LEVELS: Final = ("none", "read", "write", "admin", "owner")
READ, WRITE, ADMIN, OWNER = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Seen:
    """A repository as one account sees it."""

    repository: Row
    owner: Row
    level: int

    @property
    def full_name(self) -> str:
        """Owner and name."""
        return f"{self.owner.name}/{self.repository.name}"

    def require(self, level: int) -> None:
        """Refuse whoever has less access."""
        if self.level < level:
            raise ForbiddenError(
                f"That needs {LEVELS[level]} access to {self.full_name}.",
                "An owner of the organisation can put you into a team that has it.",
            )


def hashed(secret: str) -> str:
    """Give what is kept of a secret; those here are long and random, so a plain hash will do."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def level_in(asking: Asking, account: Row, owner: Row) -> int:
    """Say how far an account gets in what another one owns."""
    if account.is_admin or account.id == owner.id:
        return OWNER
    if not owner.is_org:
        return 0
    teams = forge_accounts.teams_with(asking, owner.id, account.id)
    return max((LEVELS.index(team.access) for team in teams), default=0)


def see(asking: Asking, account: Row, owner: str, name: str) -> Seen:
    """Find a repository that an account may read; `NotFoundError` for any other."""
    held = forge_accounts.find(asking, owner)
    found = forge_repositories.find(asking, held.id, name) if held is not None else None
    if held is None or found is None:
        raise NotFoundError("repository", f"{owner}/{name}")
    level = level_in(asking, account, held)
    if not found.private:
        level = max(level, READ)
    if level < READ:
        raise NotFoundError("repository", f"{owner}/{name}")
    return Seen(found, held, level)


def org(asking: Asking, account: Row, name: str, *, owner: bool = False) -> Row:
    """Find an organisation that an account is in, or owns; another one is not there for it."""
    found = forge_accounts.find(asking, name, is_org=True)
    if found is None:
        raise NotFoundError("organisation", name)
    level = level_in(asking, account, found)
    if level == 0:
        raise NotFoundError("organisation", name)
    if owner and level < OWNER:
        raise ForbiddenError(f"Only an owner of {found.name} may do that.")
    return found


def team(asking: Asking, account: Row, number: int, *, owner: bool) -> tuple[Row, Row]:
    """Find a team, with its organisation, that an account may see, or change."""
    found = forge_accounts.team(asking, number)
    held = forge_accounts.by_id(asking, found.org) if found is not None else None
    if found is None or held is None:
        raise NotFoundError("team", number)
    try:
        org(asking, account, held.name, owner=owner)
    except NotFoundError:
        raise NotFoundError("team", number) from None
    return found, held


def may_create_in(asking: Asking, account: Row, held: Row) -> bool:
    """Say whether an account may make repositories in an organisation."""
    if level_in(asking, account, held) >= OWNER:
        return True
    teams = forge_accounts.teams_with(asking, held.id, account.id)
    return any(team.may_create for team in teams)


def may_push(asking: Asking, account: Row, seen: Seen, branch: str) -> bool:
    """Say whether an account may move a branch by a push."""
    if seen.level < WRITE:
        return False
    rule = forge_repositories.protection(asking, seen.repository.id, branch)
    if rule is None:
        return True
    if account.key in {name.lower() for name in json.loads(rule.users_json)}:
        return True
    named = {name.lower() for name in json.loads(rule.teams_json)}
    teams = forge_accounts.teams_with(asking, seen.owner.id, account.id)
    return any(team.key in named for team in teams)


def is_owners(row: Row) -> bool:
    """Say whether a team is the one that every organisation keeps."""
    return bool(row.key == OWNERS.lower())

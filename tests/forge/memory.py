"""A forge in memory, for what is built on the port: it counts calls and fails on order.

It knows accounts, tokens, teams, repositories by name and pull requests; git it does not know. The
embedded forge is the one that a hive runs and that the contract is for.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hyperhive.domain.errors import (
    ConflictError,
    ForgeUnavailableError,
    NotFoundError,
    UnauthorizedError,
)
from hyperhive.domain.forge import (
    OWNERS,
    Access,
    Comment,
    Hook,
    HookShape,
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
    User,
)

ROOT = "root"


@dataclass
class World:
    """What is on the forge."""

    users: dict[str, User] = field(default_factory=dict)
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)
    orgs: dict[str, Org] = field(default_factory=dict)
    teams: dict[int, tuple[str, TeamShape]] = field(default_factory=dict)
    members: dict[int, set[str]] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)
    protections: dict[str, Protection] = field(default_factory=dict)
    hooks: dict[str, list[tuple[Hook, str]]] = field(default_factory=dict)
    pulls: dict[tuple[str, int], Pull] = field(default_factory=dict)
    comments: list[Comment] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    closer: str | None = None
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    calls: list[str] = field(default_factory=list)
    fails: Callable[[str], Exception | None] = lambda _: None


def down(_: str) -> Exception:
    """Fail as a forge does that is not there."""
    return ForgeUnavailableError("The forge does not answer.")


class MemoryForge:
    """One account's view of a world; the administrator's, unless it speaks as another one."""

    def __init__(self, world: World | None = None, account: str = ROOT) -> None:
        self.world = world or World({ROOT: User(ROOT, is_admin=True)})
        self._account = account

    url = "http://forge.test"

    def _called(self, name: str) -> World:
        self.world.calls.append(name)
        error = self.world.fails(name)
        if error is not None:
            raise error
        return self.world

    def speaking_as(self, secret: str) -> "MemoryForge":
        owner = next((who for (who, _), it in self.world.tokens.items() if it == secret), "")
        return MemoryForge(self.world, owner)

    async def close(self) -> None:
        """Let go of nothing."""

    async def version(self) -> str:
        self._called("version")
        return "memory"

    async def me(self) -> User:
        world = self._called("me")
        found = world.users.get(self._account)
        if found is None or not found.is_active:
            raise UnauthorizedError("The token is not known.")
        return found

    async def users(self) -> list[User]:
        return list(self._called("users").users.values())

    async def user(self, name: str) -> User | None:
        return self._called("user").users.get(name)

    async def create_user(self, new: NewUser) -> User:
        world = self._called("create_user")
        if new.name in {*world.users, *world.orgs}:
            raise ConflictError("The name is taken.")
        world.users[new.name] = User(new.name, new.full_name, new.email)
        return world.users[new.name]

    async def set_active(self, name: str, *, active: bool) -> None:
        world = self._called("set_active")
        world.users[name] = replace(world.users[name], is_active=active)

    async def create_token(self, user: str, name: str, scopes: Sequence[Scope]) -> NewToken:
        world = self._called("create_token")
        if user not in world.users:
            raise NotFoundError("user", user)
        world.tokens[user, name] = f"secret-{next(world.numbers)}"
        return NewToken(name, world.tokens[user, name], frozenset(scopes))

    async def delete_token(self, user: str, name: str) -> None:
        self._called("delete_token").tokens.pop((user, name), None)

    async def new_password(self, user: str) -> str:
        self._called("new_password")
        return f"password of {user}"

    async def orgs(self) -> list[Org]:
        return list(self._called("orgs").orgs.values())

    async def create_org(self, org: Org) -> Org:
        world = self._called("create_org")
        world.orgs[org.name] = org
        self._add_team(org.name, TeamShape(OWNERS, Access.OWNER), {self._account})
        return org

    async def teams(self, org: str) -> list[Team]:
        world = self._called("teams")
        return [Team(number, shape) for number, (of, shape) in world.teams.items() if of == org]

    def _add_team(self, org: str, shape: TeamShape, members: set[str]) -> Team:
        number = next(self.world.numbers)
        self.world.teams[number], self.world.members[number] = (org, shape), members
        return Team(number, shape)

    async def create_team(self, org: str, shape: TeamShape) -> Team:
        self._called("create_team")
        return self._add_team(org, shape, set())

    async def change_team(self, team: int, shape: TeamShape) -> Team:
        world = self._called("change_team")
        world.teams[team] = (world.teams[team][0], shape)
        return Team(team, shape)

    async def members(self, team: int) -> list[str]:
        return sorted(self._called("members").members[team])

    async def add_member(self, team: int, user: str) -> None:
        world = self._called("add_member")
        if user not in world.users:
            raise NotFoundError("user", user)
        world.members[team].add(user)

    async def remove_member(self, team: int, user: str) -> None:
        self._called("remove_member").members[team].discard(user)

    async def repositories(self, org: str) -> list[Repository]:
        world = self._called("repositories")
        if org not in world.orgs:
            raise NotFoundError("organisation", org)
        return [each for each in world.repositories.values() if each.owner == org]

    async def repository(self, owner: str, name: str) -> Repository | None:
        return self._called("repository").repositories.get(f"{owner}/{name}")

    async def create_repository(self, org: str, shape: RepositoryShape) -> Repository:
        world = self._called("create_repository")
        url = f"{self.url}/{org}/{shape.name}"
        made = Repository(org, shape.name, "", shape.private, True, "main", f"{url}.git", url)
        world.repositories[made.full_name] = made
        return made

    async def protections(self, owner: str, name: str) -> list[Protection]:
        found = self._called("protections").protections.get(f"{owner}/{name}")
        return [found] if found is not None else []

    async def protect(self, owner: str, name: str, protection: Protection) -> None:
        self._called("protect").protections[f"{owner}/{name}"] = protection

    async def hooks(self, org: str) -> list[Hook]:
        return [hook for hook, _ in self._called("hooks").hooks.get(org, [])]

    async def create_hook(self, org: str, shape: HookShape, secret: str) -> Hook:
        world = self._called("create_hook")
        made = Hook(next(world.numbers), shape, True)
        world.hooks.setdefault(org, []).append((made, secret))
        return made

    async def change_hook(self, org: str, hook: int, shape: HookShape, secret: str) -> Hook:
        world = self._called("change_hook")
        made = Hook(hook, shape, True)
        world.hooks[org] = [
            (made, secret) if each.id == hook else (each, kept) for each, kept in world.hooks[org]
        ]
        return made

    async def pulls(
        self, owner: str, name: str, *, state: PullState | None = PullState.OPEN
    ) -> list[Pull]:
        found = self._called("pulls").pulls.items()
        here = [pull for (place, _), pull in found if place == f"{owner}/{name}"]
        return [pull for pull in here if state is None or pull.state is state]

    async def pull(self, owner: str, name: str, number: int) -> Pull:
        found = self._called("pull").pulls.get((f"{owner}/{name}", number))
        if found is None:
            raise NotFoundError("pull request", number)
        return found

    async def comments(self, owner: str, name: str, number: int) -> list[Comment]:
        return list(self._called("comments").comments)

    async def closed_by(self, pull: Pull) -> str | None:
        return self._called("closed_by").closer

    async def reviews(self, owner: str, name: str, number: int) -> list[Review]:
        return list(self._called("reviews").reviews)

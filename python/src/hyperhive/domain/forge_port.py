"""What the hive needs of a forge; every forge, real or embedded, keeps these words.

A client speaks for one account, by its token, and `Forge.speaking_as` gives another one. Every
method may raise, beside what it names:

- `UnavailableError` when the forge cannot be reached, is too slow, answers nonsense or fails.
  It is a `ForgeUnavailableError`, which says how many seconds to wait. What was asked may have
  been done all the same: look before asking again.
- `UnauthorizedError` when it does not know the token.
- `ForbiddenError` when the account, or the scopes of its token, do not reach so far.
- `NotFoundError` when something that the call names is not there, or is not for this account to
  see.
- `InvalidError` when it refuses a value.
- `NotOfferedError` when it never does such a thing.

Lists are whole, whatever the forge gives in one answer.
"""

from collections.abc import Sequence
from typing import Protocol, Self

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

__all__ = ["Accounts", "Forge", "Hooks", "Orgs", "Pulls", "Repositories"]


class Accounts(Protocol):
    """Users and their tokens. All but `me` needs an administrator."""

    async def me(self) -> User:
        """Say whose token this is, as far as the token lets it be seen."""
        ...

    async def users(self) -> list[User]:
        """Give every account, by name; not the organisations."""
        ...

    async def user(self, name: str) -> User | None:
        """Give one account, or ``None``."""
        ...

    async def create_user(self, new: NewUser) -> User:
        """Make an account. `ConflictError` when the name or the address of mail is taken."""
        ...

    async def set_active(self, name: str, *, active: bool) -> None:
        """Let an account log in, or shut it out, tokens and git included. Idempotent."""
        ...

    async def set_repositories_max(self, name: str, count: int | None) -> None:
        """Say how many repositories an account may own itself; ``None``: the forge's default."""
        ...

    async def delete_user(self, name: str) -> None:
        """Remove an account. `ConflictError` while it owns repositories or organisations."""
        ...

    async def tokens(self, user: str) -> list[Token]:
        """Give the tokens of an account. Like all about tokens, it changes the password."""
        ...

    async def create_token(self, user: str, name: str, scopes: Sequence[Scope]) -> NewToken:
        """Make a token in place of one of that name, which is void from then on."""
        ...

    async def delete_token(self, user: str, name: str) -> None:
        """Void a token. One that is not there is fine."""
        ...

    async def new_password(self, user: str) -> str:
        """Give an account another password, and say which."""
        ...


class Orgs(Protocol):
    """Organisations and teams. Making organisations needs an administrator, the rest an owner."""

    async def orgs(self) -> list[Org]:
        """Give every organisation, by name. For administrators."""
        ...

    async def org(self, name: str) -> Org | None:
        """Give one organisation, or ``None``."""
        ...

    async def create_org(self, org: Org) -> Org:
        """Make a private organisation, owned by this account. `ConflictError`: name taken."""
        ...

    async def delete_org(self, name: str) -> None:
        """Remove an organisation. `ConflictError` while it owns repositories."""
        ...

    async def teams(self, org: str) -> list[Team]:
        """Give the teams of an organisation, `OWNERS` included."""
        ...

    async def create_team(self, org: str, shape: TeamShape) -> Team:
        """Make a team. `ConflictError` when the organisation has one of that name."""
        ...

    async def change_team(self, team: int, shape: TeamShape) -> Team:
        """Make a team what ``shape`` says. Idempotent."""
        ...

    async def delete_team(self, team: int) -> None:
        """Remove a team; its members stay accounts."""
        ...

    async def members(self, team: int) -> list[str]:
        """Give the names of a team's members."""
        ...

    async def add_member(self, team: int, user: str) -> None:
        """Put an account into a team. Idempotent."""
        ...

    async def remove_member(self, team: int, user: str) -> None:
        """Take an account out of a team. Who is not in it is fine."""
        ...


class Repositories(Protocol):
    """Repositories and the branches they protect."""

    async def repositories(self, org: str) -> list[Repository]:
        """Give the repositories of an organisation that this account can read."""
        ...

    async def repository(self, owner: str, name: str) -> Repository | None:
        """Give one repository, or ``None`` also when it is not for this account to see."""
        ...

    async def create_repository(self, org: str, shape: RepositoryShape) -> Repository:
        """Make a repository in an organisation. `ConflictError` when it has one of that name."""
        ...

    async def create_own_repository(self, shape: RepositoryShape) -> Repository:
        """Make a repository of this account's own. `ConflictError` when it has one so named."""
        ...

    async def delete_repository(self, owner: str, name: str) -> None:
        """Remove a repository and all in it. One that is not there is fine."""
        ...

    async def protections(self, owner: str, name: str) -> list[Protection]:
        """Give the protected branches."""
        ...

    async def protect(self, owner: str, name: str, protection: Protection) -> None:
        """Protect a branch so, there already or not yet, whatever protected it before."""
        ...

    async def unprotect(self, owner: str, name: str, branch: str) -> None:
        """Protect a branch no longer. One that is not protected is fine."""
        ...


class Pulls(Protocol):
    """Pull requests of one repository."""

    async def pulls(
        self, owner: str, name: str, *, state: PullState | None = PullState.OPEN
    ) -> list[Pull]:
        """Give the open ones, or the closed ones (merged or not), or all (``None``)."""
        ...

    async def pull(self, owner: str, name: str, number: int) -> Pull:
        """Give one pull request."""
        ...

    async def open_pull(self, owner: str, name: str, new: NewPull) -> Pull:
        """Open one. `ConflictError` when there is an open one from this head to this base.

        `InvalidError` or `NotFoundError` for a branch that is not there.
        """
        ...

    async def diff(self, owner: str, name: str, number: int) -> str:
        """Give what it changes, as a unified diff."""
        ...

    async def close_pull(self, owner: str, name: str, number: int) -> Pull:
        """Close one without merging it. `ConflictError` when it was merged."""
        ...

    async def merge(
        self, owner: str, name: str, number: int, style: MergeStyle = MergeStyle.MERGE
    ) -> Pull:
        """Merge it. `ConflictError` when it does not merge, or is not approved, or not open."""
        ...

    async def request_review(
        self, owner: str, name: str, number: int, reviewers: Sequence[str]
    ) -> None:
        """Ask accounts that can read the repository for a review."""
        ...

    async def reviews(self, owner: str, name: str, number: int) -> list[Review]:
        """Give the reviews, oldest first, those still owed included."""
        ...

    async def review(
        self, owner: str, name: str, number: int, verdict: Verdict, body: str
    ) -> Review:
        """Say something of the whole. `InvalidError` for a verdict on one's own."""
        ...

    async def closed_by(self, pull: Pull) -> str | None:
        """Say who closed it without merging; ``None`` where the forge does not keep that."""
        ...

    async def comments(self, owner: str, name: str, number: int) -> list[Comment]:
        """Give the remarks, oldest first."""
        ...

    async def comment(self, owner: str, name: str, number: int, body: str) -> Comment:
        """Add a remark."""
        ...


class Hooks(Protocol):
    """Webhooks of an organisation: they tell of all its repositories, later ones too.

    What is posted carries ``X-Gitea-Event``, ``X-Gitea-Delivery`` (another for every event) and
    ``X-Gitea-Signature``: the HMAC-SHA256 of the body under the secret, in hexadecimal digits.
    """

    async def hooks(self, org: str) -> list[Hook]:
        """Give the webhooks."""
        ...

    async def create_hook(self, org: str, shape: HookShape, secret: str) -> Hook:
        """Add a webhook. One more with the same address is one more."""
        ...

    async def change_hook(self, org: str, hook: int, shape: HookShape, secret: str) -> Hook:
        """Make a webhook what ``shape`` says, active, with this secret. Idempotent."""
        ...

    async def delete_hook(self, org: str, hook: int) -> None:
        """Remove a webhook. One that is not there is fine."""
        ...


class Forge(Accounts, Orgs, Repositories, Pulls, Hooks, Protocol):
    """One forge, spoken to as one account."""

    @property
    def url(self) -> str:
        """Where its API and its repositories are, for this process; without a trailing slash."""
        ...

    async def version(self) -> str:
        """Say what is there, which is also the cheapest way to see whether it is."""
        ...

    def speaking_as(self, secret: str) -> Self:
        """Give a client that speaks with another token and shares nothing with this one."""
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...

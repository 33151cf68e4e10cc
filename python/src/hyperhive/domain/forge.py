"""What is on a forge, as values: accounts, organisations, repositories, pull requests, hooks.

They hold what the hive uses, in its own words; what a forge says beside that is dropped where its
answers are read. Times are seconds since the epoch.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

OWNERS: Final = "Owners"
"""The team that every organisation has from the start; who made the organisation is in it."""


class Scope(StrEnum):
    """What a token may be used for, at most what its account may do."""

    READ_REPOSITORY = "read:repository"
    WRITE_REPOSITORY = "write:repository"
    READ_ISSUE = "read:issue"
    WRITE_ISSUE = "write:issue"
    READ_ORGANIZATION = "read:organization"
    WRITE_ORGANIZATION = "write:organization"
    READ_USER = "read:user"
    WRITE_USER = "write:user"
    READ_ADMIN = "read:admin"
    WRITE_ADMIN = "write:admin"
    ALL = "all"


class Access(StrEnum):
    """What the members of a team may do with the repositories of its organisation."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    OWNER = "owner"


class PullState(StrEnum):
    """Where a pull request is in its life."""

    OPEN = "open"
    CLOSED = "closed"
    MERGED = "merged"


class Verdict(StrEnum):
    """What a review says; `REQUESTED` is one that somebody still owes."""

    APPROVED = "APPROVED"
    CHANGES = "REQUEST_CHANGES"
    COMMENT = "COMMENT"
    REQUESTED = "REQUEST_REVIEW"


class MergeStyle(StrEnum):
    """How a pull request gets into its base."""

    MERGE = "merge"
    FAST_FORWARD = "fast-forward-only"


class HookEvent(StrEnum):
    """What a webhook can be told of."""

    PUSH = "push"
    CREATE = "create"
    DELETE = "delete"
    REPOSITORY = "repository"
    PULL_REQUEST = "pull_request"
    """Everything about pull requests: reviews, requests, comments and new commits, too."""


@dataclass(frozen=True, slots=True)
class User:
    """An account. ``is_active`` accounts can log in; no answer holds a password."""

    name: str
    full_name: str = ""
    email: str = ""
    is_admin: bool = False
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class NewUser:
    """An account to be made. Its password is random, and nobody is told it.

    ``repositories_max`` is how many repositories it may own itself, beside those that it makes in
    organisations: ``None`` for as many as the forge allows, 0 for none. ``may_create_orgs`` is
    whether it may make organisations, where the forge lets anybody.
    """

    name: str
    email: str
    full_name: str = ""
    is_admin: bool = False
    repositories_max: int | None = None
    may_create_orgs: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """A token, as its owner sees it later: without the secret."""

    name: str
    scopes: frozenset[Scope] = frozenset()
    last_eight: str = ""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made: the only time that its ``secret`` is told."""

    name: str
    secret: str = field(repr=False)
    scopes: frozenset[Scope] = frozenset()


@dataclass(frozen=True, slots=True)
class Org:
    """An organisation."""

    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class TeamShape:
    """What a team may do. It has all repositories of its organisation, later ones too."""

    name: str
    access: Access = Access.READ
    may_create_repositories: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Team:
    """A team of an organisation."""

    id: int
    shape: TeamShape

    @property
    def name(self) -> str:
        """Its name, which is its only one within the organisation."""
        return self.shape.name


@dataclass(frozen=True, slots=True)
class RepositoryShape:
    """What a repository is to be. ``auto_init`` gives it a first commit when it is made."""

    name: str
    description: str = ""
    private: bool = True
    default_branch: str = "main"
    auto_init: bool = False


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository. ``clone_url`` is the http one and holds no secret.

    ``updated_at`` is when it last changed, in seconds since the epoch, if the forge says so.
    """

    owner: str
    name: str
    description: str
    private: bool
    empty: bool
    default_branch: str
    clone_url: str
    html_url: str
    updated_at: float | None = None

    @property
    def full_name(self) -> str:
        """Owner and name, as in an address."""
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True, slots=True)
class Protection:
    """A branch that nobody pushes to, but for those named here; nobody may force it or delete it.

    Pull requests may be merged into it by everybody with write access, once that many have
    approved. An administrator's access is no exception.
    """

    branch: str
    push_users: frozenset[str] = frozenset()
    push_teams: frozenset[str] = frozenset()
    required_approvals: int = 0


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request. ``head`` and ``base`` are branches of the repository it is opened in."""

    owner: str
    repository: str
    number: int
    title: str
    body: str
    state: PullState
    author: str
    head: str
    base: str
    head_commit: str
    requested_reviewers: frozenset[str]
    mergeable: bool
    merged_by: str | None
    html_url: str
    opened_at: float
    updated_at: float
    closed_at: float | None
    merge_commit: str | None = None


@dataclass(frozen=True, slots=True)
class NewPull:
    """A pull request to be opened."""

    head: str
    base: str
    title: str
    body: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """What somebody said of a pull request as a whole. ``stale``: the head has moved since."""

    id: int
    reviewer: str
    verdict: Verdict
    body: str
    stale: bool
    at: float


@dataclass(frozen=True, slots=True)
class Comment:
    """A remark on a pull request."""

    id: int
    author: str
    body: str
    at: float


@dataclass(frozen=True, slots=True)
class HookShape:
    """A webhook: where the forge posts JSON about ``events``, whoever caused them."""

    url: str
    events: frozenset[HookEvent]


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook of an organisation. Its secret is never told."""

    id: int
    shape: HookShape
    is_active: bool

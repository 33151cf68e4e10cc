"""The forge: pull requests, repositories, accounts."""

from typing import TypedDict


class PullRequest(TypedDict):
    """A pull request on the forge; times are in seconds since the epoch."""

    id: int
    repository: str
    number: int
    title: str
    author: str
    state: str
    head: str
    base: str
    url: str
    reviewers: list[str]
    merged_by: str | None
    at: float
    updated_at: float
    closed_at: float | None
    comments: int


class ForgeStanding(TypedDict):
    """How the forge stands: ``starting``, ``ready``, ``incomplete`` or ``unreachable``."""

    kind: str
    url: str | None
    state: str
    reason: str | None
    pull_requests: list[PullRequest]


class ForgeListing(TypedDict):
    """The forge, and the accounts and organisations that the hive keeps on it."""

    forge: ForgeStanding | None
    accounts: list[str]
    organisations: list[str]


class Repository(TypedDict):
    """A repository on the forge; ``updated_at`` is in seconds since the epoch, if it is known."""

    name: str
    description: str
    url: str
    clone_url: str
    branch: str
    empty: bool
    open_pulls: int
    updated_at: float | None


class RepositoryListing(TypedDict):
    """The repositories of the hive's organisations."""

    repositories: list[Repository]


class ForgePassword(TypedDict):
    """Another password of the operator's account on the forge."""

    account: str
    password: str
    url: str
    did: str
    seq: int


class Rotated(TypedDict):
    """A token that was made anew."""

    account: str
    did: str
    seq: int

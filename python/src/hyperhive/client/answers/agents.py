"""Agents: how they are, what holds them, what was deployed to them."""

from typing import NotRequired, TypedDict

from hyperhive.client.answers.events import Done
from hyperhive.client.answers.messages import InboxCounts
from hyperhive.client.answers.turns import TurnMark


class Pause(TypedDict):
    """One reason why no turn starts; ``until`` is ``None`` where only somebody can end it."""

    cause: str
    reason: str
    since: float
    until: float | None


class Hold(TypedDict):
    """That the operator wants an agent stopped, and since when."""

    by: str
    at: float


class Context(TypedDict):
    """How full an agent's conversation is; ``window`` is ``None`` where nobody knows it."""

    tokens: int
    window: int | None


class Probe(TypedDict):
    """What an agent's box found out about itself at its start, in sentences.

    Where it is other than promised, what is good to know, and what it is, sees and reaches.
    """

    differences: list[str]
    remarks: list[str]
    facts: list[str]


class Tombstone(TypedDict):
    """An agent that is gone and whose state is kept: what it was, and what it left in bytes.

    One that was spawned, and so not ``declared``, can be revived.
    """

    name: str
    role: str
    description: str
    removed_at: float
    bytes: int | None
    declared: bool


class Spawned(TypedDict):
    """Who asked for an agent, by which approval, and the commit that it runs."""

    by: str
    at: float
    approval: int
    revision: str


class AgentSummary(TypedDict):
    """An agent: what is declared of it, what the operator decided, what it is seen to do.

    ``transient`` is what is being done to it now, such as ``restarting``; ``model`` is what its
    next turn uses, ``declared_model`` what the declaration says; ``bytes`` is what its state and
    home took on the disk when they were last measured.
    """

    name: str
    role: str
    description: str
    declared: bool
    driver: str
    runtime: str
    state: str
    reason: str | None
    since: float
    status: str | None
    status_at: float | None
    turn: TurnMark | None
    inbox: InboxCounts
    pauses: list[Pause]
    held: Hold | None
    transient: str | None
    model: str | None
    declared_model: str | None
    context: Context | None
    probe: Probe | None
    bytes: int | None
    spawned: NotRequired[Spawned]


class Deployment(TypedDict):
    """A commit that was deployed to a spawned agent, and the tags that tell what became of it."""

    commit: str
    subject: str
    author: str
    at: float
    tags: list[str]


class Deployments(TypedDict):
    """What was deployed to a spawned agent, newest first."""

    deployments: list[Deployment]


class Redeployed(Done):
    """Which commit an agent is to come up with; it is deployed then, as a new one."""

    revision: str


class Visit(Done):
    """That an agent starts no turn for now; ``turn`` is one that has not ended yet."""

    turn: int | None


class Logs(TypedDict):
    """The last lines that an agent's processes wrote, oldest first."""

    lines: list[str]

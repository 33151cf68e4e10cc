"""The hive as a whole: its snapshot, plan, restart, audit log, health and backups."""

from typing import Any, TypedDict

from hyperhive.client.answers.agents import AgentSummary, Pause, Tombstone
from hyperhive.client.answers.deciding import Question
from hyperhive.client.answers.forge import ForgeStanding
from hyperhive.client.answers.messages import MessageSummary, OperatorInbox


class GoingRestart(TypedDict):
    """An agent that is being restarted: which box goes, and until when it may take."""

    incarnation: str | None
    deadline: float


class Rollout(TypedDict):
    """A restart of several agents that is under way.

    ``order`` are all of them, the manager first if it is one. ``phase`` is ``draining`` (running
    turns may end until ``deadline``), ``manager`` or ``others``. ``cut`` are those whose turn was
    ended for it; ``failed`` says why.
    """

    id: int
    reason: str
    manager: str
    order: list[str]
    deadline: float
    phase: str
    cut: list[str]
    going: dict[str, GoingRestart]
    restarted: list[str]
    failed: dict[str, str]
    waiting: list[str]


class HiveLimits(TypedDict):
    """What the hive may spend and how large it may grow; ``None`` is without end."""

    agents: int
    spend_per_day_usd: float | None


class HiveFacts(TypedDict):
    """Which hive this is, and how it stands as a whole."""

    name: str
    version: str
    started_at: float
    pauses: list[Pause]
    rollout: Rollout | None
    spent_today_usd: float
    limits: HiveLimits


class Alert(TypedDict):
    """Something the operator should look at."""

    key: str
    severity: str
    text: str
    agent: str | None
    raised_at: float


class Snapshot(TypedDict):
    """The hive as it was at ``seq``: apply the events after it and you have the truth."""

    seq: int
    epoch: str
    at: float
    hive: HiveFacts
    agents: list[AgentSummary]
    plan: list["Action"]
    messages: list[MessageSummary]
    dead: list[MessageSummary]
    questions: list[Question]
    forge: ForgeStanding | None
    operator: OperatorInbox
    alerts: list[Alert]
    tombstones: list[Tombstone]


class AuditEntry(TypedDict):
    """Who did what, when, to what; ``via`` is the surface it came by."""

    id: int
    at: float
    actor: str
    via: str
    verb: str
    subject: str
    detail: Any


class AuditPage(TypedDict):
    """Audit entries, newest first; ``more`` says that older ones exist."""

    entries: list[AuditEntry]
    more: bool


class Action(TypedDict):
    """One step of a plan: ``start``, ``stop`` or ``restart`` an agent, and why."""

    action: str
    agent: str
    reason: str


class Plan(TypedDict):
    """What the hive would do to make what runs what is declared."""

    actions: list[Action]
    warnings: list[str]


class Applied(TypedDict):
    """What a new reading of the declaration changed, and the ``seq`` at which it shows."""

    agents: dict[str, Any]
    seq: int


class BackupMade(TypedDict):
    """A finished backup: its path on the server's machine, its bytes, the ``seq`` it reaches."""

    path: str
    bytes: int
    seq: int


class Restored(TypedDict):
    """A finished restore: the new epoch, and where the copy of what was replaced lies."""

    epoch: str
    saved: str | None


class Health(TypedDict):
    """That the server answers, and for how long it has."""

    status: str
    version: str
    uptime_seconds: float
    agents: int
    seq: int


class LoginLink(TypedDict):
    """Where a browser is logged in as the operator, once."""

    url: str

"""What the operator's API and the agent's tools answer, as typed dictionaries.

They are `TypedDict`, not dataclasses: an answer is the very object that came over the wire, so
nothing is copied or lost, ``json.dumps`` gives it back, a key that a newer server adds does not
break an older client, and importing them costs no `dataclasses`. States and kinds are plain
strings for the same reason; the closed sets of this version are the enumerations in
`hyperhive.domain`. Times are seconds since the epoch, sizes are bytes.
"""

from typing import Any, NotRequired, TypedDict

Message = TypedDict(
    "Message",
    {
        "id": int,
        "from": str,
        "to": str,
        "at": float,
        "body": str,
        "in_reply_to": int | None,
        "broadcast": bool,
        "attempt": int,
        "redelivered": bool,
        "hint": str | None,
    },
)
"""A message as its receiver gets it. ``attempt`` counts deliveries from 1."""

MessageSummary = TypedDict(
    "MessageSummary",
    {
        "id": int,
        "from": str,
        "to": str,
        "at": float,
        "in_reply_to": int | None,
        "broadcast": bool,
        "state": str,
        "attempts": int,
        "redelivered": bool,
        "not_before": float | None,
        "reason": str | None,
        "preview": str,
        "size": int,
        "read_at": float | None,
    },
)
"""A message as lists show it: where it is and how it begins, without the whole body."""


class Event(TypedDict):
    """A fact. ``seq`` orders all events of a hive; ``agent`` is whom it concerns."""

    seq: int
    at: float
    kind: str
    agent: str | None
    actor: str
    data: dict[str, Any]


class MessageDetail(MessageSummary):
    """One message with its body and everything that happened to it, oldest first."""

    body: str
    history: list[Event]


class MessagePage(TypedDict):
    """Messages, newest first; ``more`` says that older ones exist."""

    messages: list[MessageSummary]
    more: bool


class MessageChange(TypedDict):
    """What a message became, and the ``seq`` of the event that says so."""

    id: int
    state: str
    seq: int


class SentByOperator(TypedDict):
    """What became of a message the operator sent.

    ``id`` is ``None`` for a broadcast, whose copies are in ``ids``; ``receiver`` is the state the
    receiver is in; ``left_out`` names whom a broadcast did not reach.
    """

    id: int | None
    ids: dict[str, int]
    to: str
    receiver: str | None
    left_out: list[str]
    seq: int


class Pause(TypedDict):
    """One reason why no turn starts; ``until`` is ``None`` where only somebody can end it."""

    cause: str
    reason: str
    since: float
    until: float | None


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


class Hold(TypedDict):
    """That the operator wants an agent stopped, and since when."""

    by: str
    at: float


class Context(TypedDict):
    """How full an agent's conversation is; ``window`` is ``None`` where nobody knows it."""

    tokens: int
    window: int | None


class Probe(TypedDict):
    """What an agent's box found out about itself at its start."""

    differences: list[str]
    remarks: list[str]


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


class TurnMark(TypedDict):
    """The turn an agent is in."""

    id: int
    started_at: float


class InboxCounts(TypedDict):
    """How many messages an agent's inbox holds, by state."""

    queued: int
    leased: int
    dead: int


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


class OperatorInbox(TypedDict):
    """How much the operator has not read yet."""

    unread: int


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
    questions: list["Question"]
    forge: "ForgeStanding | None"
    operator: OperatorInbox
    alerts: list[Alert]
    tombstones: list[Tombstone]


class HistoryPage(TypedDict):
    """Events, newest first; ``more`` says that older ones exist."""

    events: list[Event]
    more: bool


class Usage(TypedDict):
    """What a turn consumed; ``cost_usd`` is in US dollars."""

    input_tokens: NotRequired[int | None]
    output_tokens: NotRequired[int | None]
    cost_usd: NotRequired[float | None]


class Turn(TypedDict):
    """A turn of an agent; ``outcome`` is ``None`` while it runs."""

    id: int
    agent: str
    started_at: float
    ended_at: float | None
    outcome: str | None
    error: str | None
    usage: Usage | None
    tools: dict[str, int]
    messages: list[int]
    kind: NotRequired[str]
    model: NotRequired[str | None]
    context_tokens: NotRequired[int | None]


class TurnPage(TypedDict):
    """Turns, newest first; ``more`` says that older ones exist."""

    turns: list[Turn]
    more: bool


class TurnEvent(TypedDict):
    """One line of a turn's transcript; ``n`` counts from 0."""

    n: int
    at: float
    kind: str
    data: dict[str, Any]


class TurnEventPage(TypedDict):
    """Lines of a transcript, oldest first; ``more`` says that later ones exist."""

    events: list[TurnEvent]
    more: bool


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


class Done(TypedDict):
    """What was done, to which agent (``None``: the hive), and the ``seq`` at which it shows."""

    agent: str | None
    did: str
    seq: int


class Requested(TypedDict):
    """An approval that was asked for, and the ``seq`` at which it shows."""

    id: int
    state: str
    seq: int


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
    """Which commit an agent is restarted with, and what it is ``deployed`` as.

    ``deployed`` is ``None`` while the agent is to come up with it first.
    """

    revision: str
    deployed: str | None


class Visit(Done):
    """That an agent starts no turn for now; ``turn`` is one that has not ended yet."""

    turn: int | None


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


class Logs(TypedDict):
    """The last lines that an agent's processes wrote, oldest first."""

    lines: list[str]


class QuotaStanding(TypedDict):
    """One quota of an agent.

    ``used`` and ``left`` are of what is used up; of a rate, ``limit`` is how many can be had at
    once, ``per_minute`` how many come back in a minute, and ``frees_in_seconds`` when there is
    one again (``None``: never).
    """

    limit: float
    used: NotRequired[int]
    left: NotRequired[float]
    per_minute: NotRequired[float]
    frees_in_seconds: NotRequired[float | None]


class QuotasOf(TypedDict):
    """The quotas of an agent, by the names that the declaration has for them, in snake case."""

    agent: str
    quotas: dict[str, QuotaStanding]


Thread = TypedDict(
    "Thread",
    {
        "kind": str,
        "id": int,
        "summary": str,
        "since": float,
        "agent": str,
        "with": str | None,
        "url": NotRequired[str],
    },
)
"""Something that hangs on ``agent``; ``with`` is at its other end."""


class Question(TypedDict):
    """A question of an agent; ``target`` is ``operator`` or an agent.

    ``state`` is ``open``, ``answered``, ``expired`` or ``cancelled``; ``late`` says that it had
    expired when its answer came.
    """

    id: int
    asker: str
    target: str
    question: str
    options: list[str]
    multi: bool
    state: str
    at: float
    expires_at: float | None
    answer: str | list[str] | None
    answerer: str | None
    answered_at: float | None
    late: bool
    closed_at: float | None


class Questions(TypedDict):
    """Questions, oldest first: all that are open, and those that were closed last."""

    questions: list[Question]


class Asked(TypedDict):
    """The id of a question that was asked; ``receiver`` is the state its target is in."""

    id: int
    to: str
    receiver: str | None
    seq: int


class Answered(TypedDict):
    """What an answer made of its question, and the ``seq`` of the event that says so."""

    id: int
    state: str
    late: bool
    seq: int


class Threads(TypedDict):
    """Open threads, oldest first, as they were at ``seq``.

    ``more`` names the kinds of which not all are shown.
    """

    threads: list[Thread]
    more: list[str]
    seq: int


class Cancelled(TypedDict):
    """What was withdrawn, what became of it, and the ``seq`` of the event that says so."""

    kind: str
    id: int
    state: str
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


class SentByAgent(TypedDict):
    """What became of a message an agent sent; see `SentByOperator`."""

    id: int | None
    to: str
    ids: NotRequired[dict[str, int]]
    receiver: NotRequired[str | None]
    left_out: NotRequired[list[str]]


class Received(TypedDict):
    """Messages that are now leased to the caller, and how many more wait."""

    messages: list[Message]
    waiting: int


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

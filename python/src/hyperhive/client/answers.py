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


class HiveFacts(TypedDict):
    """Which hive this is."""

    name: str
    version: str
    started_at: float


class TurnMark(TypedDict):
    """The turn an agent is in."""

    id: int
    started_at: float


class InboxCounts(TypedDict):
    """How many messages an agent's inbox holds, by state."""

    queued: int
    leased: int
    dead: int


class AgentSummary(TypedDict):
    """An agent: what is declared of it, and what it is seen to do."""

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
    messages: list[MessageSummary]
    dead: list[MessageSummary]
    operator: OperatorInbox
    alerts: list[Alert]


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

"""The tables, as SQLModel classes, and the Core tables that the statements are built on.

Times are seconds since the epoch (UTC), as floats. Texts named ``*_json`` hold one JSON value.
The migrations make what is declared here; a test compares the two. A column that is constant
within an index makes the planner prefer that index to a full one.
"""

from typing import Any, ClassVar, cast

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text, text
from sqlmodel import Field, SQLModel

_QUEUED = text("state = 'queued'")
_LEASED = text("state = 'leased'")
_DEAD = text("state = 'dead'")
_OPEN = text("state = 'open'")
_UNRESOLVED = text("closed_at IS NULL")
_PENDING = text("state = 'pending'")
_FAILED = text("state = 'failed'")
_WRITTEN = text("written IS NOT NULL")
_UNREAD = text("recipient = 'operator' AND read_at IS NULL")


class EventRow(SQLModel, table=True):
    """A fact, in the order of the whole hive."""

    __tablename__ = "event"
    __table_args__: ClassVar[Any] = (
        Index("ix_event_agent", "agent", "seq"),
        Index("ix_event_subject", "subject", sqlite_where=text("subject IS NOT NULL")),
        {"sqlite_autoincrement": True},
    )
    seq: int | None = Field(default=None, primary_key=True)
    at: float
    kind: str
    agent: str | None = None
    actor: str
    subject: int | None = Field(default=None)
    data_json: str = Field(sa_type=Text)


class MessageRow(SQLModel, table=True):
    """A message in one inbox; a broadcast has one row for each receiver."""

    __tablename__ = "message"
    __table_args__: ClassVar[Any] = (
        Index("ix_message_queued", "recipient", "state", "id", "not_before", sqlite_where=_QUEUED),
        Index("ix_message_leased", "recipient", "delivery", sqlite_where=_LEASED),
        Index("ix_message_turn", "turn", sqlite_where=_LEASED),
        Index("ix_message_dead", "state", "id", sqlite_where=_DEAD),
        Index("ix_message_recipient", "recipient", "id"),
        Index("ix_message_sender", "sender", "id"),
        Index("ix_message_settled", "settled_at", sqlite_where=text("settled_at IS NOT NULL")),
        Index("ix_message_unread", "recipient", "read_at", sqlite_where=_UNREAD),
        {"sqlite_autoincrement": True},
    )  # fmt: skip
    id: int | None = Field(default=None, primary_key=True)
    sender: str
    recipient: str
    body: str = Field(sa_type=Text)
    at: float
    in_reply_to: int | None = None
    broadcast: bool = False
    state: str
    attempts: int = 0
    redelivered: bool = False
    not_before: float
    reason: str | None = None
    turn: int | None = None
    delivery: str | None = None
    confirmed: bool = False
    leased_at: float | None = None
    lease_until: float | None = None
    settled_at: float | None = None
    read_at: float | None = None


class RequestKeyRow(SQLModel, table=True):
    """An idempotency key, what it was used for, and what came of it."""

    __tablename__ = "request_key"
    __table_args__: ClassVar[Any] = (Index("ix_request_key_at", "at"),)
    actor: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    result_json: str = Field(sa_type=Text)
    at: float


class AgentRow(SQLModel, table=True):
    """What is recorded of an agent; what is declared of it is in ``hive.json``."""

    __tablename__ = "agent"
    name: str = Field(primary_key=True)
    shape_json: str = Field(sa_type=Text)
    present: bool = True
    state: str
    reason: str | None = None
    since: float
    status: str | None = None
    status_at: float | None = None
    held_by: str | None = None
    held_at: float | None = None
    crashes_json: str = Field(default="[]", sa_type=Text)
    pauses_json: str = Field(default="[]", sa_type=Text)
    model: str | None = None
    errands_json: str = Field(default="[]", sa_type=Text)
    fresh: bool = False
    note: str | None = Field(default=None, sa_type=Text)
    incarnation: str | None = None
    replace_json: str | None = Field(default=None, sa_type=Text)
    context_tokens: int | None = None
    context_window: int | None = None
    refusals: int = 0
    removed_at: float | None = None
    probe_json: str | None = Field(default=None, sa_type=Text)


class TurnRow(SQLModel, table=True):
    """One run of a driver; ``ended_at`` is empty while it lasts."""

    __tablename__ = "turn"
    __table_args__: ClassVar[Any] = (
        Index("ix_turn_agent", "agent", "id"),
        Index("ix_turn_open", "ended_at", "agent", sqlite_where=text("ended_at IS NULL")),
        Index("ix_turn_cost", "ended_at", "agent", sqlite_where=text("cost_usd IS NOT NULL")),
        {"sqlite_autoincrement": True},
    )
    id: int | None = Field(default=None, primary_key=True)
    agent: str
    session: str
    offered_at: float
    started_at: float | None = None
    ended_at: float | None = None
    outcome: str | None = None
    error: str | None = Field(default=None, sa_type=Text)
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    tools_json: str = Field(default="{}", sa_type=Text)
    messages_json: str = Field(default="[]", sa_type=Text)
    kind: str = "work"
    model: str | None = None
    context_tokens: int | None = None


class TurnEventRow(SQLModel, table=True):
    """One line of a turn's transcript."""

    __tablename__ = "turn_event"
    turn: int = Field(
        sa_column=Column(Integer, ForeignKey("turn.id", ondelete="CASCADE"), primary_key=True)
    )
    n: int = Field(primary_key=True)
    at: float
    kind: str
    data_json: str = Field(sa_type=Text)


class QuestionRow(SQLModel, table=True):
    """A question of an agent, to the operator or to another agent.

    ``answered_at`` and ``answerer`` are of the answer that counts; ``late`` says that the question
    had expired when it came. ``answer`` is its JSON: a text, or of a ``multi`` question a list.
    """

    __tablename__ = "question"
    __table_args__: ClassVar[Any] = (
        Index("ix_question_open", "state", "id", sqlite_where=_OPEN),
        Index("ix_question_expires", "state", "expires_at", sqlite_where=_OPEN),
        Index("ix_question_asker", "asker", "id"),
        Index("ix_question_target", "target", "id"),
        Index("ix_question_closed", "closed_at", sqlite_where=text("closed_at IS NOT NULL")),
        {"sqlite_autoincrement": True},
    )
    id: int | None = Field(default=None, primary_key=True)
    asker: str
    target: str
    question: str = Field(sa_type=Text)
    options_json: str = Field(default="[]", sa_type=Text)
    multi: bool = False
    state: str
    at: float
    expires_at: float | None = None
    answer: str | None = Field(default=None, sa_type=Text)
    answerer: str | None = None
    answered_at: float | None = None
    late: bool = False
    closed_at: float | None = None


class ApprovalRow(SQLModel, table=True):
    """Something that waits for the operator's yes, or had it.

    ``shown_json`` is exactly what the operator is shown, in one canonical text, and ``digest`` its
    SHA-256; ``agent`` is whom it concerns where that is one agent.
    """

    __tablename__ = "approval"
    __table_args__: ClassVar[Any] = (
        Index("ix_approval_open", "state", "id", sqlite_where=_UNRESOLVED),
        Index("ix_approval_requester", "requester", "id"),
        Index("ix_approval_closed", "closed_at", sqlite_where=text("closed_at IS NOT NULL")),
        {"sqlite_autoincrement": True},
    )
    id: int | None = Field(default=None, primary_key=True)
    kind: str
    requester: str
    agent: str | None = None
    title: str = Field(sa_type=Text)
    shown_json: str = Field(sa_type=Text)
    digest: str
    state: str
    at: float
    expires_at: float | None = None
    decided_at: float | None = None
    decided_by: str | None = None
    note: str | None = Field(default=None, sa_type=Text)
    started_at: float | None = None
    closed_at: float | None = None
    error: str | None = Field(default=None, sa_type=Text)
    result_json: str | None = Field(default=None, sa_type=Text)
    used_at: float | None = None


class SpawnedRow(SQLModel, table=True):
    """An agent that the manager asked for and the operator approved.

    ``settings_json`` is its part of a declaration as it is deployed, ``revision`` the commit of
    its applied repository that this came from. One that was destroyed
    keeps its row until it is purged.
    """

    __tablename__ = "spawned"
    name: str = Field(primary_key=True)
    settings_json: str = Field(sa_type=Text)
    requester: str
    approval: int
    at: float
    revision: str | None = None
    removed_at: float | None = None


class ReminderRow(SQLModel, table=True):
    """A word of an agent to itself, for later.

    ``due_at`` is when it is to be delivered, ``next_at`` when that is tried next; ``file_path``
    is where its text shall be, ``written`` where it is, both relative to the agent's state.
    ``message`` is the latest delivery, ``skipped`` how many times were left out since.
    """

    __tablename__ = "reminder"
    __table_args__: ClassVar[Any] = (
        Index("ix_reminder_due", "state", "next_at", "id", sqlite_where=_PENDING),
        Index("ix_reminder_due_of", *("state", "agent", "next_at", "id"), sqlite_where=_PENDING),
        Index("ix_reminder_failed", "state", "id", sqlite_where=_FAILED),
        Index("ix_reminder_open", "closed_at", "agent", "state", "id", sqlite_where=_UNRESOLVED),
        Index("ix_reminder_agent", "agent", "id"),
        Index(
            "ix_reminder_written",
            *("agent", "written", "message", "id"),
            sqlite_where=_WRITTEN,
        ),
        Index("ix_reminder_closed", "closed_at", sqlite_where=text("closed_at IS NOT NULL")),
        {"sqlite_autoincrement": True},
    )
    id: int | None = Field(default=None, primary_key=True)
    agent: str
    body: str = Field(sa_type=Text)
    state: str
    at: float
    due_at: float
    next_at: float
    file_path: str | None = None
    repeat_every_seconds: float | None = None
    approval: int | None = None
    attempts: int = 0
    last_error: str | None = Field(default=None, sa_type=Text)
    late: bool = False
    deliveries: int = 0
    skipped: int = 0
    delivered_at: float | None = None
    message: int | None = None
    written: str | None = None
    closed_at: float | None = None


class PullRequestRow(SQLModel, table=True):
    """A pull request on the forge, as it was when the hive last told of it.

    ``comments`` and ``reviews`` are the latest of each that were told; ``involved_json`` are the
    accounts that have said something.
    """

    __tablename__ = "pull_request"
    __table_args__: ClassVar[Any] = (
        Index("ix_pull_request_place", "repository", "number", unique=True),
        Index("ix_pull_request_open", "state", "id", sqlite_where=_OPEN),
        {"sqlite_autoincrement": True},
    )
    id: int | None = Field(default=None, primary_key=True)
    repository: str
    number: int
    title: str = Field(sa_type=Text)
    author: str
    state: str
    head: str
    base: str
    url: str = Field(sa_type=Text)
    reviewers_json: str = Field(default="[]", sa_type=Text)
    involved_json: str = Field(default="[]", sa_type=Text)
    merged_by: str | None = None
    at: float
    updated_at: float
    closed_at: float | None = None
    comments: int = 0
    reviews: int = 0


class ForgeKeptRow(SQLModel, table=True):
    """An account or organisation that the hive has made or kept on the forge (``kind``)."""

    __tablename__ = "forge_kept"
    kind: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    at: float


class AlertRow(SQLModel, table=True):
    """Something the operator should know of and that still holds."""

    __tablename__ = "alert"
    key: str = Field(primary_key=True)
    severity: str
    text: str = Field(sa_type=Text)
    agent: str | None = None
    raised_at: float


class AuditRow(SQLModel, table=True):
    """Something done with the operator's authority; rows are only ever added."""

    __tablename__ = "audit"
    __table_args__: ClassVar[Any] = ({"sqlite_autoincrement": True},)
    id: int | None = Field(default=None, primary_key=True)
    at: float
    actor: str
    via: str
    verb: str
    subject: str
    digest: str | None = None
    detail_json: str = Field(default="{}", sa_type=Text)


class LoginRow(SQLModel, table=True):
    """A logged-in browser, or a one-time link (``kind``), known by the hash of its secret."""

    __tablename__ = "login"
    secret_hash: str = Field(primary_key=True)
    kind: str
    csrf: str | None = None
    created_at: float
    expires_at: float


class MetaRow(SQLModel, table=True):
    """Facts of the database itself, such as its epoch."""

    __tablename__ = "meta"
    key: str = Field(sa_column=Column(String, primary_key=True))
    value: str


def table_of(model: type[SQLModel]) -> Table:
    """Give the Core table of a SQLModel class; the hot statements are built on it."""
    return cast("Table", model.__table__)  # type: ignore[attr-defined]  # set by SQLModel's metaclass


event = table_of(EventRow)
message = table_of(MessageRow)
request_key = table_of(RequestKeyRow)
agent = table_of(AgentRow)
turn = table_of(TurnRow)
turn_event = table_of(TurnEventRow)
question = table_of(QuestionRow)
approval = table_of(ApprovalRow)
spawned = table_of(SpawnedRow)
reminder = table_of(ReminderRow)
pull_request = table_of(PullRequestRow)
forge_kept = table_of(ForgeKeptRow)
alert = table_of(AlertRow)
audit = table_of(AuditRow)
login = table_of(LoginRow)
meta = table_of(MetaRow)

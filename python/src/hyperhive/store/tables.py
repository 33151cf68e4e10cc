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
alert = table_of(AlertRow)
audit = table_of(AuditRow)
login = table_of(LoginRow)
meta = table_of(MetaRow)

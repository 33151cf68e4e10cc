"""Messages, as their receiver, the lists and the operator see them."""

from typing import NotRequired, TypedDict

from hyperhive.client.answers.events import Event

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


class InboxCounts(TypedDict):
    """How many messages an agent's inbox holds, by state."""

    queued: int
    leased: int
    dead: int


class OperatorInbox(TypedDict):
    """How much the operator has not read yet."""

    unread: int


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

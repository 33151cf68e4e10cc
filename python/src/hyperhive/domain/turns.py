"""Turns: how they end, and what each end means for the messages they held."""

from enum import StrEnum
from typing import Final


class TurnOutcome(StrEnum):
    """How a turn ended.

    ``ok`` acks what the turn was seen to receive; every other end gives its messages back. Three
    are reasons to give back a single message: ``unconfirmed`` (nobody saw it reach its client),
    ``expired`` (a lease by hand ran out) and ``void`` (the harness never began with it).
    """

    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    DIED = "died"
    CANCELLED = "cancelled"
    RATE_LIMITED = "rate_limited"
    NEEDS_LOGIN = "needs_login"
    DRAINED = "drained"
    SERVER_RESTARTED = "server_restarted"
    UNCONFIRMED = "unconfirmed"
    EXPIRED = "expired"
    VOID = "void"


COUNTED: Final = frozenset({TurnOutcome.FAILED, TurnOutcome.TIMED_OUT, TurnOutcome.DIED})
"""Ends that use up one of a message's attempts: only these can be the message's own doing."""

UNANSWERED: Final = frozenset({TurnOutcome.UNCONFIRMED, TurnOutcome.EXPIRED})
"""Ends of a delivery of which its receiver never said a word."""

REPORTABLE: Final = frozenset(
    {
        TurnOutcome.OK,
        TurnOutcome.FAILED,
        TurnOutcome.TIMED_OUT,
        TurnOutcome.CANCELLED,
        TurnOutcome.RATE_LIMITED,
        TurnOutcome.NEEDS_LOGIN,
    }
)
"""Ends that a harness may report; the server alone knows of the others."""

TURN_LIMIT_SECONDS: Final = 1800.0
HEARTBEAT_SECONDS: Final = 10.0
WORK_WAIT_SECONDS_MAX: Final = 180.0
SESSION_GRACE_SECONDS: Final = 10.0
"""How long leases wait, after a restart of the server, for their session to come back."""


class TurnKind(StrEnum):
    """What a turn is for: work that came as a message, or upkeep of the agent's context."""

    WORK = "work"
    CHECKPOINT = "checkpoint"
    COMPACT = "compact"


CONTEXT_WATERMARK: Final = 0.75
"""Above this share of the model's window, a clean turn is followed by a checkpoint and compact."""


class TurnEventKind(StrEnum):
    """What a line of a transcript is."""

    TEXT = "text"
    THINKING = "thinking"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    NOTE = "note"
    ERROR = "error"

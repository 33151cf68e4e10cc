"""The life of a message, as rules without a store.

    queued ──lease──▶ leased ──ack──▶ acked
     │ ▲                 │
     │ │                 │
       └────release──────┤
                         └─too many failed attempts─▶ dead ──requeue──▶ queued
     │                                                  └───drop──────▶ dropped
     └──withdraw (while nobody has seen it)───────────────────────────────▲

A lease belongs to a turn, or to a client without one, and every lease ends: by an ack, by a
release, or by its time. Only ends that can be the message's own doing count as attempts, and
those of a receiver that never says that it has got anything: nothing is tried again for ever.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hyperhive.domain.errors import InvalidError, TooLargeError
from hyperhive.domain.quotas import Quota
from hyperhive.domain.turns import COUNTED, UNANSWERED, TurnOutcome

BODY_BYTES_MAX: Final = 16 * 1024
KEY_CHARS_MAX: Final = 128
KEY_SECONDS: Final = 24 * 3600.0
RECV_MESSAGES_MAX: Final = 32
RECV_WAIT_SECONDS_MAX: Final = 50.0
"""MCP clients cut a call at 60 s."""
HAND_LEASE_SECONDS: Final = 15 * 60.0
ATTEMPTS_MAX: Final = 5
UNANSWERED_FREE: Final = 2
"""So many deliveries may stay without a word of the receiver; each further one is an attempt."""
REDELIVERY_SECONDS: Final = (0.0, 30.0, 120.0, 600.0)
"""Wait before the second, third, fourth and fifth delivery."""
AT_ONCE: Final = 0.0
"""The ``not_before`` of what waits for nothing: due whatever the clock says."""
PREVIEW_CHARS: Final = 280
WAITING_COUNTED_MAX: Final = 1000
"""How far "N more waiting" counts, so that its cost does not grow with the inbox."""

WITHDRAWN: Final = "withdrawn by "
"""How the reason of a dropped message begins that was taken back; a name follows."""

BROADCAST_HINT: Final = "this was a broadcast and may not need any action from you"
REDELIVERY_HINT: Final = "this was delivered before; you may have handled this already"


class MessageState(StrEnum):
    """Where a message is; ``acked``, ``dead`` and ``dropped`` move only by the operator's hand."""

    QUEUED = "queued"
    LEASED = "leased"
    ACKED = "acked"
    DEAD = "dead"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a message whose lease ended without an ack."""

    state: MessageState
    attempts: int
    not_before: float
    reason: str


def fate_of_released(
    attempts: int, outcome: TurnOutcome, now: float, *, unanswered: int = 0
) -> Fate:
    """Decide between redelivery and death.

    ``attempts`` counts the failed ones so far, ``unanswered`` the earlier deliveries that the
    receiver never answered; ``not_before`` is in seconds since the epoch, the earliest time of the
    next delivery, or `AT_ONCE`.
    """
    is_counted = outcome in COUNTED or (outcome in UNANSWERED and unanswered >= UNANSWERED_FREE)
    if not is_counted:
        return Fate(MessageState.QUEUED, attempts, AT_ONCE, outcome.value)
    failed = attempts + 1
    if failed >= ATTEMPTS_MAX:
        return Fate(MessageState.DEAD, failed, AT_ONCE, outcome.value)
    delay = REDELIVERY_SECONDS[failed - 1]
    return Fate(MessageState.QUEUED, failed, now + delay if delay else AT_ONCE, outcome.value)


def is_due(not_before: float, now: float) -> bool:
    """Whether a queued message may be delivered.

    A time that no back-off reaches was written before the clock was set back: it binds nobody.
    """
    return not now < not_before <= now + REDELIVERY_SECONDS[-1]


def check_body(body: str, limit: int = BODY_BYTES_MAX) -> None:
    """Refuse an empty body, or one over ``limit`` bytes of UTF-8, saying what to do instead."""
    if not body.strip():
        raise InvalidError("A message needs a body.", "Write what the receiver should know or do.")
    try:
        size = len(body.encode())
    except UnicodeEncodeError:
        raise InvalidError(
            "The body has lone surrogates.", "Send text that is valid Unicode."
        ) from None
    if size > limit:
        raise TooLargeError(
            "body",
            size,
            limit,
            "Put the text in a file under /shared or your own state and send its path.",
            option=Quota.MESSAGE_BYTES.option,
        )


def check_key(key: str) -> None:
    """Refuse an idempotency key that is empty or over 128 characters."""
    if not 0 < len(key) <= KEY_CHARS_MAX:
        raise InvalidError(
            f"A key has 1 to {KEY_CHARS_MAX} characters, not {len(key)}.",
            "Use a fresh identifier such as a UUID for each message.",
        )


def fingerprint(*parts: object) -> str:
    """Digest a request, so that a key used again for another one is noticed."""
    joined = "\x1f".join(repr(part) for part in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()


def preview(body: str) -> str:
    """Cut a body to what a list shows."""
    return body if len(body) <= PREVIEW_CHARS else body[: PREVIEW_CHARS - 1] + "…"


def hint(*, broadcast: bool, redelivered: bool) -> str | None:
    """Say what a receiver should bear in mind, or nothing."""
    said = [
        text
        for text, holds in ((BROADCAST_HINT, broadcast), (REDELIVERY_HINT, redelivered))
        if holds
    ]
    return "; ".join(said) or None

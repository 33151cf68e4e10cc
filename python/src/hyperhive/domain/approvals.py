"""What waits for the operator's yes, as rules without a store.

    pending ──approve──▶ approved ──take up──▶ running ──▶ done
       │                                          └──────▶ failed
       ├──deny────▶ denied
       └──cancel──▶ cancelled        (by whoever asked, the manager, the operator, or time)

An approval is bound to the digest of exactly what was shown. Whoever approves sends that digest
back, so that a yes can never fall on anything else than what was read. What has left ``pending``
is never decided again, and what has left ``approved`` is never begun again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from hyperhive.domain.errors import InvalidError, TooLargeError

TITLE_CHARS_MAX: Final = 200
NOTE_CHARS_MAX: Final = 2000
SHOWN_BYTES_MAX: Final = 512 * 1024
"""Bytes of all that an operator is shown of one approval: more is not read but waved through."""
TTL_SECONDS_MAX: Final = 365 * 24 * 3600.0
CLOSED_SHOWN: Final = 50
"""How many of those that are decided stay in sight."""


class ApprovalKind(StrEnum):
    """What would be done after a yes; each has an executor of its own."""

    SPAWN = "spawn"
    ACTION = "action"
    CONFIG_CHANGE = "config_change"
    INPUT_UPDATE = "input_update"
    RECURRING_REMINDER = "recurring_reminder"


class ApprovalState(StrEnum):
    """Where an approval is; see the picture above."""

    PENDING = "pending"
    APPROVED = "approved"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DENIED = "denied"
    CANCELLED = "cancelled"


NEXT: Final[Mapping[ApprovalState, frozenset[ApprovalState]]] = {
    ApprovalState.PENDING: frozenset(
        {ApprovalState.APPROVED, ApprovalState.DENIED, ApprovalState.CANCELLED}
    ),
    ApprovalState.APPROVED: frozenset({ApprovalState.RUNNING}),
    ApprovalState.RUNNING: frozenset({ApprovalState.DONE, ApprovalState.FAILED}),
    ApprovalState.DONE: frozenset(),
    ApprovalState.FAILED: frozenset(),
    ApprovalState.DENIED: frozenset(),
    ApprovalState.CANCELLED: frozenset(),
}
"""Which states may follow each."""

CLOSED: Final = frozenset(state for state, following in NEXT.items() if not following)
"""States in which nothing is left to do or to decide."""

SAID_YES: Final = frozenset(
    {ApprovalState.APPROVED, ApprovalState.RUNNING, ApprovalState.DONE, ApprovalState.FAILED}
)
"""States of what the operator has said yes to."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What somebody wants a yes for, as it is to be shown.

    ``payload`` is JSON that the kind's executor reads, and is shown, too; ``agent`` is whom it
    concerns, where that is one agent. Without ``ttl_seconds`` it waits for ever.
    """

    kind: ApprovalKind
    title: str
    details: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)
    agent: str | None = None
    ttl_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Approved:
    """What an executor is given: it carries out this and nothing else."""

    id: int
    kind: ApprovalKind
    requester: str
    agent: str | None
    payload: Mapping[str, Any]
    digest: str


def shown_text(requester: str, proposal: Proposal) -> str:
    """Write what the operator is shown, in the one text that the digest is taken of.

    Raises `InvalidError` or `TooLargeError` for a proposal that cannot be shown whole.
    """
    _check(proposal)
    shown = {
        "kind": proposal.kind.value,
        "requester": requester,
        "agent": proposal.agent,
        "title": proposal.title,
        "details": proposal.details,
        "payload": dict(proposal.payload),
    }
    try:
        text = json.dumps(
            shown, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidError(
            "The request has lone surrogates.", "Send text that is valid Unicode."
        ) from None
    except (TypeError, ValueError) as error:
        raise InvalidError(f"The payload is not JSON: {error}.", "Send a JSON object.") from None
    if size > SHOWN_BYTES_MAX:
        raise TooLargeError(
            "request",
            size,
            SHOWN_BYTES_MAX,
            "Put what is long into a file, name its path, and ask for what can be read.",
        )
    return text


def digest_of(text: str) -> str:
    """Give the SHA-256 that an approval is bound to."""
    return hashlib.sha256(text.encode()).hexdigest()


def proposal_of(text: str) -> Proposal:
    """Read back what `shown_text` wrote; how long it may wait is not part of what is shown."""
    shown: dict[str, Any] = json.loads(text)
    return Proposal(
        kind=ApprovalKind(shown["kind"]),
        title=shown["title"],
        details=shown["details"],
        payload=shown["payload"],
        agent=shown["agent"],
    )


def check_note(note: str) -> str:
    """Give a note as it is kept, or refuse one that is too long."""
    text = note.strip()
    if len(text) > NOTE_CHARS_MAX:
        raise InvalidError(
            f"The note has {len(text)} characters; the limit is {NOTE_CHARS_MAX}.",
            "Say it shorter, or send the rest as a message.",
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidError(
            "The note has lone surrogates.", "Send text that is valid Unicode."
        ) from None
    return text


def _check(proposal: Proposal) -> None:
    title = proposal.title
    if not title.strip() or len(title) > TITLE_CHARS_MAX or not title.isprintable():
        raise InvalidError(
            f"A title is one line of 1 to {TITLE_CHARS_MAX} printable characters.",
            "Say in one line what would be done, and the rest in the details.",
        )
    ttl = proposal.ttl_seconds
    if ttl is not None and not 0 < ttl <= TTL_SECONDS_MAX:
        raise InvalidError(
            f"ttl_seconds is {ttl}.", f"Give more than 0 and at most {TTL_SECONDS_MAX:.0f}."
        )

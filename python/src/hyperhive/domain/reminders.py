"""The life of a reminder, as rules without a store.

    proposed ──approved──▶ pending ──due──▶ delivered
        │                   │  ▲ │
        │                   │  │ └─too many failed attempts─▶ failed
        └──────cancel───────┤  └────────────retry──────────────┘
                            ▼
                        cancelled

A recurring one begins as proposed and stays pending from one delivery to the next. Where a
reminder's file may lie is decided here by its name alone; what is really there is for whoever
writes it.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from hyperhive.domain.errors import ForbiddenError, InvalidError, QuotaError, TooLargeError
from hyperhive.domain.messages import BODY_BYTES_MAX
from hyperhive.domain.quotas import Quota

FILE_BYTES_MAX: Final = 64 * 1024
"""Bytes of a text that goes into a file."""
PATH_CHARS_MAX: Final = 1024
NAME_BYTES_MAX: Final = 255
"""Bytes of one component of a path; every usual file system takes so many."""
AUTO: Final = "auto"
AUTO_DIRECTORY: Final = "reminders"
REPEAT_SECONDS_MIN: Final = 600.0
BATCH: Final = 50
"""Reminders delivered in one transaction, 100 at most: a send waits for one or two of them."""
ATTEMPTS_MAX: Final = 5
RETRY_SECONDS: Final = (10.0, 60.0, 300.0, 1800.0)
"""Wait after the first, second, third and fourth failed attempt."""
LATE_SECONDS: Final = 5.0
"""Delivered so much after its time, a reminder says so."""
DAY_SECONDS: Final = 24 * 3600.0


class ReminderState(StrEnum):
    """Where a reminder is."""

    PROPOSED = "proposed"
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN: Final = (ReminderState.PROPOSED, ReminderState.PENDING, ReminderState.FAILED)
"""States that something still follows."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is said when a reminder comes due.

    ``text`` is the body, or ``None`` when it is in the file ``path``. ``fault`` says why it is
    not there although it should be. ``skipped`` counts the times that were left out since the
    last delivery.
    """

    number: int
    due_at: float
    now: float
    late: bool
    text: str | None
    path: str | None = None
    size: int = 0
    fault: str | None = None
    skipped: int = 0


def due_time(now: float, delay_seconds: float | None, at_unix_timestamp: float | None) -> float:
    """Give the time (seconds since the epoch) that exactly one of the two asks for."""
    if (delay_seconds is None) == (at_unix_timestamp is None):
        given = "Neither" if delay_seconds is None else "Both"
        raise InvalidError(
            f"{given} of delay_seconds and at_unix_timestamp is given.", "Give exactly one of them."
        )
    at = now + delay_seconds if delay_seconds is not None else at_unix_timestamp
    assert at is not None
    if not math.isfinite(at):
        raise InvalidError("The time is not a finite number.", "Give seconds.")
    if delay_seconds is not None and delay_seconds < 0:
        raise InvalidError("delay_seconds is negative.", "Give 0 or more.")
    if at < now:
        raise InvalidError(
            f"at_unix_timestamp is {now - at:.0f} s ago; it is {now:.0f} now.",
            "Give a time to come, or delay_seconds.",
        )
    return at


def check_horizon(now: float, due_at: float, days: int, latest_repeat: float | None = None) -> None:
    """Refuse a time, or a pause between two times, that lies further ahead than the quota."""
    furthest = days * DAY_SECONDS
    for what, seconds in (("It is due", due_at - now), ("It repeats", latest_repeat or 0.0)):
        if seconds > furthest:
            raise QuotaError(
                f"{what} in {seconds / DAY_SECONDS:.1f} days; quotas.reminderHorizonDays allows "
                f"{days} days.",
                f"Choose a time up to {moment(now + furthest)}, and remind yourself again then.",
            )


def check_text(text: str, limit: int, *, has_file: bool) -> None:
    """Refuse an empty text, one that is not Unicode, and one that needs a file and has none."""
    if not text.strip():
        raise InvalidError("A reminder needs a message.", "Write what you will have to know.")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidError(
            "The message has lone surrogates.", "Send text that is valid Unicode."
        ) from None
    if has_file and size > FILE_BYTES_MAX:
        raise TooLargeError(
            "message", size, FILE_BYTES_MAX, "Write a file now and remind yourself of its path."
        )
    if not has_file and size > limit:
        raise TooLargeError(
            "message",
            size,
            limit,
            f'Set file_path (a path in your own state, or "{AUTO}"): the text is written there '
            "when it is due.",
            option=Quota.REMINDER_BYTES.option,
        )


def check_repeat(seconds: float | None) -> None:
    """Refuse to repeat more often than every ten minutes."""
    if seconds is not None and not REPEAT_SECONDS_MIN <= seconds < math.inf:
        raise InvalidError(
            f"repeat_every_seconds is {seconds:g}.", f"Give {REPEAT_SECONDS_MIN:.0f} or more."
        )


def path_within(file_path: str, roots: tuple[str, ...]) -> str:
    """Give a path relative to an agent's own state, or refuse it by its name.

    ``roots`` are the names under which the agent knows its state; an absolute path must lie in
    one of them. Nothing is looked up.
    """
    said = f"file_path {file_path[:80]!r}"
    way_on = f'Give a path relative to your own state, such as "notes/later.md", or "{AUTO}".'
    if not file_path or len(file_path) > PATH_CHARS_MAX or "\0" in file_path:
        raise InvalidError(f"{said} is no path of 1 to {PATH_CHARS_MAX} characters.", way_on)
    relative = file_path
    if file_path.startswith("/"):
        root = next((root for root in roots if file_path.startswith(f"{root}/")), None)
        if root is None:
            raise ForbiddenError(f"{said} is not in your own state ({roots[0]}).", way_on)
        relative = file_path[len(root) + 1 :]
    parts = [part for part in relative.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ForbiddenError(f"{said} has `..` in it.", way_on)
    if not parts or relative.endswith(("/", "/.")):
        raise InvalidError(f"{said} names a directory.", "Give the path of a file.")
    try:
        lengths = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise InvalidError(f"{said} is not valid Unicode.", way_on) from None
    if max(lengths) > NAME_BYTES_MAX:
        raise InvalidError(f"{said} has a name of over {NAME_BYTES_MAX} bytes.", way_on)
    return "/".join(parts)


def auto_path(due_at: float, number: int) -> str:
    """Choose a file for a reminder; no other one has the same."""
    stamp = datetime.fromtimestamp(due_at, UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{AUTO_DIRECTORY}/auto-{stamp}-{number}.md"


def is_late(due_at: float, now: float, since: float) -> bool:
    """Whether to say that a reminder is late; one due before ``since`` fell into a downtime."""
    return due_at < since or now - due_at > LATE_SECONDS


def next_occurrence(due_at: float, every_seconds: float, now: float) -> float:
    """Give the first time after ``now`` of one that recurs: what was missed is not made up for."""
    steps = max(1, math.floor((now - due_at) / every_seconds) + 1)
    return due_at + steps * every_seconds


def retry_at(attempts: int, now: float) -> float | None:
    """Say when to try again after that many failed attempts; ``None``: no more."""
    if attempts >= ATTEMPTS_MAX:
        return None
    return now + RETRY_SECONDS[attempts - 1]


def wording(delivery: Delivery) -> str:
    """Write what the agent reads: notes of the hive in brackets, then the text or a pointer."""
    notes = []
    if delivery.late:
        ago = delivery.now - delivery.due_at
        notes.append(f"[late: this was due at {moment(delivery.due_at)}, {ago:.0f} s ago]")
    if delivery.skipped:
        notes.append(
            f"[{delivery.skipped} times were left out: the reminder before was not handled yet]"
        )
    if delivery.text is None:
        notes.append(f"Your reminder {delivery.number} is in {delivery.path} ({delivery.size} B).")
        return "\n".join(notes)
    if delivery.fault is not None:
        notes.append(
            f"[this was to be written to {delivery.path}, which was not done: {delivery.fault} "
            "Here it is instead]"
        )
        kept, is_cut = cut(delivery.text)
        if is_cut:
            notes.append(
                f"[it is cut after {len(kept.encode())} of {delivery.size} B: "
                f"list_reminders with id {delivery.number} gives the whole text]"
            )
        return "\n".join([*notes, kept])
    return "\n".join([*notes, delivery.text])


def cut(text: str) -> tuple[str, bool]:
    """Cut a text to what a message may hold; say whether anything is missing."""
    encoded = text.encode()
    if len(encoded) <= BODY_BYTES_MAX:
        return text, False
    return encoded[:BODY_BYTES_MAX].decode(errors="ignore"), True


def moment(at: float) -> str:
    """Write a time as an agent reads it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

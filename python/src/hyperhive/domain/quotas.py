"""What an agent is granted: one table of quotas, and the arithmetic of the bucket behind a rate.

A rate is a bucket of tokens that fills again evenly; a count is of rows that are open at once; a
size is of one thing. Every refusal says which quota, how much of it is used and when it frees.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from hyperhive.domain.errors import QuotaUsedError

MINUTE_SECONDS: Final = 60.0
_ROUNDING: Final = 1e-9
"""So that a bucket which filled in many small steps holds the token that it should."""


class Quota(StrEnum):
    """Every quota; its value is the key of the declaration's ``quotas``, in snake case."""

    MESSAGES = "messages_per_minute"
    BROADCASTS = "broadcasts_per_minute"
    OPEN_QUESTIONS = "open_questions"
    PENDING_APPROVALS = "pending_approvals"
    PENDING_REMINDERS = "pending_reminders"
    REMINDERS = "reminders_per_minute"
    REMINDER_HORIZON_DAYS = "reminder_horizon_days"
    MESSAGE_BYTES = "message_bytes"
    REMINDER_BYTES = "reminder_bytes"

    @property
    def option(self) -> str:
        """The option of the declaration that sets it for the whole hive."""
        first, *rest = self.value.split("_")
        return "quotas." + first + "".join(word.capitalize() for word in rest)


class Measure(StrEnum):
    """How a quota is used up."""

    RATE = "rate"
    COUNT = "count"
    SIZE = "size"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table: how a quota is measured, and what to do when it is used up."""

    measure: Measure
    remedy: str = ""
    burst: str | None = None
    """The key of the bucket's size, where that is not the rate itself."""


TABLE: Final[Mapping[Quota, Rule]] = {
    Quota.MESSAGES: Rule(Measure.RATE, "Say more in one message rather than a little in many."),
    Quota.BROADCASTS: Rule(Measure.RATE, "Write to those whom it concerns instead of to *."),
    Quota.OPEN_QUESTIONS: Rule(
        Measure.COUNT,
        "Go on without the answers, or withdraw a question that no longer matters: "
        "get_open_threads lists them, cancel_thread withdraws one.",
    ),
    Quota.PENDING_APPROVALS: Rule(
        Measure.COUNT,
        "Wait for the operator, or withdraw a request that no longer matters: get_open_threads "
        "lists them, cancel_thread withdraws one.",
    ),
    Quota.PENDING_REMINDERS: Rule(
        Measure.COUNT, "Cancel a reminder that no longer matters, or put several into one."
    ),
    Quota.REMINDERS: Rule(
        Measure.RATE, "Put what belongs together into one reminder.", burst="reminder_burst"
    ),
    Quota.REMINDER_HORIZON_DAYS: Rule(Measure.SIZE),
    Quota.MESSAGE_BYTES: Rule(Measure.SIZE),
    Quota.REMINDER_BYTES: Rule(Measure.SIZE),
}
"""Every quota there is."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one agent has of one quota; ``burst`` is the size of the bucket behind a rate."""

    quota: Quota
    limit: float
    burst: float

    @property
    def a_second(self) -> float:
        """How many tokens the bucket gains in a second."""
        return self.limit / MINUTE_SECONDS

    @property
    def size(self) -> float:
        """How many tokens the bucket holds; a rate above 0 must be able to give out one."""
        return max(self.burst, 1.0) if self.limit else self.burst


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many tokens were left at a time (seconds since the epoch)."""

    level: float
    at: float

    @classmethod
    def full(cls, grant: Grant, now: float) -> Self:
        """Begin with all that is granted."""
        return cls(grant.size, now)

    def filled(self, grant: Grant, now: float) -> "Bucket":
        """Fill it as far as time has passed; a clock that was set back fills nothing and binds
        nobody to the time that it showed before.
        """
        passed = max(0.0, now - self.at)
        return Bucket(min(grant.size, self.level + passed * grant.a_second), now)

    def taken(self, grant: Grant, now: float) -> "Bucket":
        """Take one token; raises `QuotaUsedError` when there is none."""
        filled = self.filled(grant, now)
        if filled.level < 1.0 - _ROUNDING:
            raise used_up(grant.quota, filled.used(grant), grant.size, filled.frees_in(grant))
        return Bucket(filled.level - 1.0, now)

    def returned(self, grant: Grant) -> "Bucket":
        """Put one token back."""
        return Bucket(min(grant.size, self.level + 1.0), self.at)

    def left(self) -> int:
        """How many tokens can be taken now."""
        return max(0, math.floor(self.level + _ROUNDING))

    def used(self, grant: Grant) -> int:
        """How many tokens are missing."""
        return max(0, math.ceil(grant.size - self.level - _ROUNDING))

    def frees_in(self, grant: Grant) -> float | None:
        """In how many seconds there is a token again; ``None`` when never."""
        missing = max(0.0, 1.0 - self.level)
        if missing <= _ROUNDING:
            return 0.0
        return missing / grant.a_second if grant.a_second else None


def used_up(
    quota: Quota, used: float, limit: float, frees_in_seconds: float | None
) -> QuotaUsedError:
    """Word the refusal of what a quota does not allow.

    ``frees_in_seconds`` is ``None`` when no time but only a deed frees it.
    """
    rule = TABLE[quota]
    if not limit:
        when = f"{quota.option} is 0, which forbids it; the operator can change that."
    elif frees_in_seconds is not None:
        when = f"There is room again in {max(0.1, math.ceil(frees_in_seconds * 10) / 10):g} s."
    else:
        when = "There is room again when one of them is closed."
    remedy = f"{when} {rule.remedy}" if limit else when
    return QuotaUsedError(quota.value, used, limit, frees_in_seconds, remedy)

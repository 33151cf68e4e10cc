"""Why an agent, or the whole hive, starts no turn: its messages arrive and wait.

A pause has a cause and there is one of each cause at most, so that what set it is also what ends
it: the operator's resume does not end a rate limit, and room on the disk does not end the
operator's pause. A pause with an end ends by itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Cause(StrEnum):
    """What paused it, and so what resumes it."""

    OPERATOR = "operator"
    ROLLOUT = "rollout"
    RATE_LIMIT = "rate_limit"
    LOGIN = "login"
    SPEND = "spend"
    DISK = "disk"
    VISIT = "visit"
    """Somebody works in the agent's box."""


@dataclass(frozen=True, slots=True)
class Pause:
    """One reason to start no turn, since when and (seconds since the epoch, or open) until when."""

    cause: Cause
    reason: str
    since: float
    until: float | None = None

    def holds(self, now: float) -> bool:
        """Whether it still stands at ``now``."""
        return self.until is None or now < self.until

    def as_json(self) -> dict[str, Any]:
        """Give the shape that is stored and shown."""
        return {**asdict(self), "cause": self.cause.value}


def read(stored: Iterable[Mapping[str, Any]]) -> tuple[Pause, ...]:
    """Read pauses as `Pause.as_json` wrote them."""
    return tuple(Pause(**{**pause, "cause": Cause(pause["cause"])}) for pause in stored)


def standing(pauses: Iterable[Pause], now: float) -> tuple[Pause, ...]:
    """Give those that hold at ``now``."""
    return tuple(pause for pause in pauses if pause.holds(now))


def with_pause(pauses: Iterable[Pause], pause: Pause) -> tuple[Pause, ...]:
    """Set a pause in place of the one of the same cause."""
    return (*without(pauses, pause.cause), pause)


def without(pauses: Iterable[Pause], cause: Cause) -> tuple[Pause, ...]:
    """Take the pause of a cause away."""
    return tuple(pause for pause in pauses if pause.cause is not cause)


def next_end(pauses: Iterable[Pause], now: float) -> float | None:
    """When the last of the pauses that hold is over, if all of them end by themselves.

    ``None`` when nothing holds, or when something holds that only somebody can end.
    """
    held = standing(pauses, now)
    ends = [pause.until for pause in held if pause.until is not None]
    return max(ends) if held and len(ends) == len(held) else None

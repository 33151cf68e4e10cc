"""Open threads: what hangs on somebody, whatever kind of thing it is.

A thread is a view of a row that something else owns. It is open as long as that row is, so there
is nothing here that could be forgotten.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

SHOWN_MAX: Final = 100
"""How many threads of one kind a list shows; the oldest ones, which hang the longest."""
SUMMARY_CHARS: Final = 160


class ThreadKind(StrEnum):
    """What can hang."""

    APPROVAL = "approval"
    QUESTION = "question"
    REMINDER = "reminder"
    MESSAGE = "message"
    PULL_REQUEST = "pull_request"


@dataclass(frozen=True, slots=True)
class Thread:
    """One thing that hangs.

    ``number`` is that of the thing among its kind; ``agent`` is whose thread it is and
    ``other`` at the other end of it; ``since`` is in seconds since the epoch.
    """

    kind: ThreadKind
    number: int
    summary: str
    since: float
    agent: str
    other: str | None = None
    url: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Give the shape that agents and the operator see."""
        shown: dict[str, Any] = {
            "kind": self.kind.value,
            "id": self.number,
            "summary": self.summary,
            "since": self.since,
            "agent": self.agent,
            "with": self.other,
        }
        return shown if self.url is None else {**shown, "url": self.url}


def summary(lead: str, text: str) -> str:
    """Put what a thread is about into one line: a lead of ours and the beginning of a text."""
    line = f"{lead}: {' '.join(text.split())}"
    return line if len(line) <= SUMMARY_CHARS else line[: SUMMARY_CHARS - 1] + "…"

"""What waits for a person: questions, open threads, quotas and what was asked for."""

from typing import NotRequired, TypedDict


class Requested(TypedDict):
    """An approval that was asked for, and the ``seq`` at which it shows."""

    id: int
    state: str
    seq: int


class QuotaStanding(TypedDict):
    """One quota of an agent.

    ``used`` and ``left`` are of what is used up; of a rate, ``limit`` is how many can be had at
    once, ``per_minute`` how many come back in a minute, and ``frees_in_seconds`` when there is
    one again (``None``: never).
    """

    limit: float
    used: NotRequired[int]
    left: NotRequired[float]
    per_minute: NotRequired[float]
    frees_in_seconds: NotRequired[float | None]


class QuotasOf(TypedDict):
    """The quotas of an agent, by the names that the declaration has for them, in snake case."""

    agent: str
    quotas: dict[str, QuotaStanding]


Thread = TypedDict(
    "Thread",
    {
        "kind": str,
        "id": int,
        "summary": str,
        "since": float,
        "agent": str,
        "with": str | None,
        "url": NotRequired[str],
    },
)
"""Something that hangs on ``agent``; ``with`` is at its other end."""


class Question(TypedDict):
    """A question of an agent; ``target`` is ``operator`` or an agent.

    ``state`` is ``open``, ``answered``, ``expired`` or ``cancelled``; ``late`` says that it had
    expired when its answer came.
    """

    id: int
    asker: str
    target: str
    question: str
    options: list[str]
    multi: bool
    state: str
    at: float
    expires_at: float | None
    answer: str | list[str] | None
    answerer: str | None
    answered_at: float | None
    late: bool
    closed_at: float | None


class Questions(TypedDict):
    """Questions, oldest first: all that are open, and those that were closed last."""

    questions: list[Question]


class Asked(TypedDict):
    """The id of a question that was asked; ``receiver`` is the state its target is in."""

    id: int
    to: str
    receiver: str | None
    seq: int


class Answered(TypedDict):
    """What an answer made of its question, and the ``seq`` of the event that says so."""

    id: int
    state: str
    late: bool
    seq: int


class Threads(TypedDict):
    """Open threads, oldest first, as they were at ``seq``.

    ``more`` names the kinds of which not all are shown.
    """

    threads: list[Thread]
    more: list[str]
    seq: int


class Cancelled(TypedDict):
    """What was withdrawn, what became of it, and the ``seq`` of the event that says so."""

    kind: str
    id: int
    state: str
    seq: int

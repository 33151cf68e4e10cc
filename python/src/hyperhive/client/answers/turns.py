"""Turns: what they cost, what happened in them."""

from typing import Any, NotRequired, TypedDict


class TurnMark(TypedDict):
    """The turn an agent is in."""

    id: int
    started_at: float


class Usage(TypedDict):
    """What a turn consumed; ``cost_usd`` is in US dollars."""

    input_tokens: NotRequired[int | None]
    output_tokens: NotRequired[int | None]
    cost_usd: NotRequired[float | None]


class Turn(TypedDict):
    """A turn of an agent; ``outcome`` is ``None`` while it runs."""

    id: int
    agent: str
    started_at: float
    ended_at: float | None
    outcome: str | None
    error: str | None
    usage: Usage | None
    tools: dict[str, int]
    messages: list[int]
    kind: NotRequired[str]
    model: NotRequired[str | None]
    context_tokens: NotRequired[int | None]


class TurnPage(TypedDict):
    """Turns, newest first; ``more`` says that older ones exist."""

    turns: list[Turn]
    more: bool


class TurnEvent(TypedDict):
    """One line of a turn's transcript; ``n`` counts from 0."""

    n: int
    at: float
    kind: str
    data: dict[str, Any]


class TurnEventPage(TypedDict):
    """Lines of a transcript, oldest first; ``more`` says that later ones exist."""

    events: list[TurnEvent]
    more: bool

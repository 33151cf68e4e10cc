"""Events, pages of them, and the position that an action caused."""

from typing import Any, NotRequired, TypedDict


class Event(TypedDict):
    """A fact. ``seq`` orders all events of a hive; ``agent`` is whom it concerns."""

    seq: int
    at: float
    kind: str
    agent: str | None
    actor: str
    data: dict[str, Any]


class HistoryPage(TypedDict):
    """Events, newest first; ``more`` says that older ones exist."""

    events: list[Event]
    more: bool


class Done(TypedDict):
    """What was done, to which agent (``None``: the hive), and the ``seq`` at which it shows.

    Of a restart, ``order`` has who is restarted.
    """

    agent: str | None
    did: str
    seq: int
    order: NotRequired[list[str]]

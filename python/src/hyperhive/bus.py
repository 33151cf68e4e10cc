"""Who wants to know that something was committed, and how far the event table reaches.

The bus carries a position and names, never a payload: a wake-up says "look again". Losing one
costs latency only, because whoever waits looks at the store first and after every wake-up.

All methods belong to the event loop's thread.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

ANYTHING: Final = "*"
"""The name under which every publication is heard."""

LIFECYCLE: Final = "lifecycle"
"""Rings when something about agents was recorded that the reconciler or a restart looks at."""

REMINDERS: Final = "reminders"
"""Rings when a reminder may be due earlier than any known one."""

QUESTIONS: Final = "questions"
"""Rings when a question was asked that will expire, or an agent is gone."""

APPROVALS: Final = "approvals"
"""Rings when an approval was added, decided or closed, or an agent is gone."""


class Watch:
    """A standing interest in some names.

    A publication between two waits is not missed: it makes the next wait return at once. So
    subscribe first, then look, then wait, then look again.
    """

    __slots__ = ("_bus", "_event", "names")

    def __init__(self, bus: "Bus", names: tuple[str, ...]) -> None:
        self.names = names
        self._bus = bus
        self._event = asyncio.Event()

    def __enter__(self) -> Self:
        self._bus._add(self)  # noqa: SLF001 - the two halves of one mechanism
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bus._remove(self)  # noqa: SLF001 - the two halves of one mechanism

    def ring(self) -> None:
        """Make the present or next wait return."""
        self._event.set()

    async def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait for a publication; ``False`` when the time passed without one."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class Bus:
    """Wakes those who wait for what was committed."""

    def __init__(self) -> None:
        self.seq = 0
        self.closed = False
        self._watches: defaultdict[str, set[Watch]] = defaultdict(set)

    def watch(self, *names: str) -> Watch:
        """Start an interest in ``names``; use it as a context manager."""
        return Watch(self, names or (ANYTHING,))

    def publish(self, seq: int, names: Iterable[str] = ()) -> None:
        """Say that the event table reaches ``seq``, and wake who waits for one of ``names``."""
        self.seq = seq
        for name in {*names, ANYTHING}:
            for watch in self._watches.get(name, ()):
                watch.ring()

    def close(self) -> None:
        """Wake everybody for good: the hive is stopping, and waits must end."""
        self.closed = True
        for watches in self._watches.values():
            for watch in watches:
                watch.ring()

    @contextmanager
    def ringing(self, watch: Watch, name: str) -> Iterator[None]:
        """Let one more name ring a watch for a while."""
        self._watches[name].add(watch)
        try:
            yield
        finally:
            self._discard(name, watch)

    def _add(self, watch: Watch) -> None:
        for name in watch.names:
            self._watches[name].add(watch)

    def _remove(self, watch: Watch) -> None:
        for name in watch.names:
            self._discard(name, watch)

    def _discard(self, name: str, watch: Watch) -> None:
        watches = self._watches[name]
        watches.discard(watch)
        if not watches:
            del self._watches[name]


def inbox(agent: str) -> str:
    """Name what rings when an agent's inbox has something new or due."""
    return f"inbox:{agent}"


def turn(number: int) -> str:
    """Name what rings when a turn ends."""
    return f"turn:{number}"


def approval(number: int) -> str:
    """Name what rings when an approval takes a step."""
    return f"approval:{number}"


def transcript(number: int) -> str:
    """Name what rings when a turn's transcript has grown."""
    return f"transcript:{number}"

"""The events of one turn on their way to the server, in order and in bounded memory.

A driver adds events and never waits. Whoever sends them takes a batch, which stays the same,
numbers included, until it is known to have arrived; so a batch may be sent twice and is stored
once. While the server is away events pile up to a limit; past it the oldest go, and a note says
how many. Numbers have no gaps: they are given when a batch is made.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hyperhive.domain.turns import TurnEventKind
from hyperhive.harness.cutting import TEXT_BYTES_MAX, cut_texts

EVENT_BYTES_MAX: Final = 128 * 1024
BATCH_EVENTS_MAX: Final = 64
BATCH_BYTES_MAX: Final = 192 * 1024
"""Below the 256 KiB the server takes, with room for numbers, times and names."""
BUFFER_EVENTS_MAX: Final = 4096
BUFFER_BYTES_MAX: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Event:
    at: float
    kind: TurnEventKind
    data: Mapping[str, Any]
    size: int


class Transcript:
    """A queue of events with one writer and one reader."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._events: deque[_Event] = deque()
        self._bytes = 0
        self._dropped = 0
        self._next_number = 0
        self._batch: list[dict[str, Any]] | None = None
        self._closed = False
        self._changed = asyncio.Event()

    def add(self, kind: TurnEventKind, data: Mapping[str, Any]) -> None:
        """Append an event now; texts over 16 KiB are cut and marked with ``"cut": true``."""
        event = self._measured(kind, cut_texts(data))
        self._events.append(event)
        self._bytes += event.size
        while len(self._events) > BUFFER_EVENTS_MAX or self._bytes > BUFFER_BYTES_MAX:
            self._bytes -= self._events.popleft().size
            self._dropped += 1
        self._changed.set()

    def close(self) -> None:
        """Say that no event follows."""
        self._closed = True
        self._changed.set()

    async def batch(self) -> list[dict[str, Any]] | None:
        """Return what to send next, waiting for it; ``None`` when closed and all was taken.

        Until ``sent`` is called the same batch is returned again.
        """
        while self._batch is None:
            if self._events:
                self._batch = self._take()
            elif self._closed:
                return None
            else:
                self._changed.clear()
                await self._changed.wait()
        return self._batch

    def sent(self) -> None:
        """Say that the server has the batch."""
        self._batch = None

    def _take(self) -> list[dict[str, Any]]:
        if self._dropped:
            text = f"{self._dropped} events were dropped here: the server took them too slowly."
            note = self._measured(TurnEventKind.NOTE, {"text": text, "dropped": self._dropped})
            self._events.appendleft(note)
            self._bytes += note.size
            self._dropped = 0
        batch: list[dict[str, Any]] = []
        size = 0
        while self._events and len(batch) < BATCH_EVENTS_MAX:
            event = self._events[0]
            size += event.size
            if batch and size > BATCH_BYTES_MAX:
                break
            self._events.popleft()
            self._bytes -= event.size
            batch.append(
                {"n": self._next_number, "at": event.at, "kind": event.kind, "data": event.data}
            )
            self._next_number += 1
        return batch

    def _measured(self, kind: TurnEventKind, data: Mapping[str, Any]) -> _Event:
        text = json.dumps(data)
        if len(text) > EVENT_BYTES_MAX:
            # Many texts, each below its own limit: keep what it began with.
            data = {"text": text[:TEXT_BYTES_MAX], "cut": True}
            text = json.dumps(data)
        return _Event(self._clock(), kind, data, len(text) + 80)

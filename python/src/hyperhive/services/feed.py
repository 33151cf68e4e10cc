"""The event table as a stream, for any number of readers at the cost of one.

The latest events are kept rendered; a reader that is further behind reads the table. Every
reader gets every event after its position, once and in order, or is told that it cannot.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from hyperhive.domain.events import Event
from hyperhive.store import Reading, Store, events

KEPT: Final = 2048
READ_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Rendered:
    """One event as JSON text, at its position; UTF-8, as it is sent to any number of readers."""

    seq: int
    text: bytes


class TooFarBehindError(Exception):
    """Events that the reader has not seen are no longer kept; it needs a new snapshot."""


class Feed:
    """The latest events, shared by all who follow them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: deque[Rendered] = deque(maxlen=KEPT)
        self._lock = asyncio.Lock()
        self._epoch = store.epoch
        self.readers = 0
        """How many follow the stream now."""

    @contextmanager
    def following(self) -> Iterator[None]:
        """Count as a reader within the block."""
        self.readers += 1
        self._store.bus.publish(self._store.bus.seq)
        try:
            yield
        finally:
            self.readers -= 1

    async def after(self, seq: int) -> Sequence[Rendered]:
        """Give events that follow ``seq``, oldest first, some at once; empty at the end.

        Raises `TooFarBehindError` when some of them were deleted by retention.
        """
        await self._catch_up()
        if self._kept and self._kept[0].seq <= seq + 1:
            ahead = self._kept[-1].seq - seq
            # From the right end: what is new is little, and the whole would be copied for each.
            return [self._kept[-place] for place in range(ahead, 0, -1)]
        if not self._kept or seq >= self._kept[-1].seq:
            return []
        return await self._store.read(lambda asking: _read(asking, seq))

    async def _catch_up(self) -> None:
        if self._reached() >= self._store.bus.seq and self._epoch == self._store.epoch:
            return
        async with self._lock:
            if self._epoch != self._store.epoch:
                self._kept.clear()
                self._epoch = self._store.epoch
            while (reached := self._reached()) < self._store.bus.seq:
                start = max(reached, self._store.bus.seq - KEPT)
                fresh = await self._store.read(partial(events.after, seq=start, limit=READ_AT_ONCE))
                if not fresh:
                    return
                self._kept.extend(map(_rendered, fresh))

    def _reached(self) -> int:
        return self._kept[-1].seq if self._kept else 0


def _read(asking: Reading, seq: int) -> list[Rendered]:
    if events.oldest(asking) > seq + 1:
        raise TooFarBehindError
    return [_rendered(event) for event in events.after(asking, seq, READ_AT_ONCE)]


def _rendered(event: Event) -> Rendered:
    text = json.dumps(event.as_json(), separators=(",", ":"), ensure_ascii=False)
    return Rendered(event.seq, text.encode())

"""The clock of the machine, and its twin whose time passes when a test says so."""

import asyncio
import heapq
import time
from itertools import count


class SystemClock:
    """The host's clock."""

    def now(self) -> float:
        """Give seconds since the epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait by the monotonic clock."""
        await asyncio.sleep(seconds)


class ManualClock:
    """Time that stands still until `advance`; sleepers wake in the order of their times."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now
        self._slept = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Give seconds since the epoch."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has covered ``seconds``."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._slept + seconds, next(self._order), woken))
        await woken

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake whoever waited for it."""
        self._now += seconds
        self._slept += seconds
        while self._sleepers and self._sleepers[0][0] <= self._slept:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)

    def jump_to(self, now: float) -> None:
        """Set the clock, as an administrator would; nobody who sleeps wakes from it."""
        self._now = now

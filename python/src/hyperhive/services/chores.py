"""What is done again and again while the hive runs, each in a loop of its own.

Somebody rings; the loop does the work. One that is rung while it works does it once more
afterwards. A failure is an alert until the chore has gone well, and the next ring tries again.
Stopping finishes what is under way, for a limited time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from hyperhive.services.trouble import Trouble
from hyperhive.store import Store

STOP_SECONDS: Final = 5.0
"""How long what is under way may still take when the hive stops."""

UNRUNG: Final = 2.0
"""After how many intervals without a ring it is done all the same."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do at an interval (seconds), at the start too unless it says otherwise.

    Doing it once too often must not matter.
    """

    name: str
    every_seconds: float
    do: Callable[[], Awaitable[object]]
    at_start: bool = True


class ChoreLoop:
    """Does one chore whenever it is rung."""

    def __init__(self, store: Store, chore: Chore) -> None:
        self.chore = chore
        self._rung = asyncio.Event()
        self._ending = False
        self._trouble = Trouble(store, chore.name)

    def ring(self) -> None:
        """Have it done, soon and once."""
        self._rung.set()

    def end(self) -> None:
        """Have `run` return when what is under way is done."""
        self._ending = True
        self._rung.set()

    async def run(self) -> None:
        """Do it at each ring, or when none comes for long, until `end`; an error ends nothing."""
        while True:
            # Whoever rings keeps time by a clock that may be set back for hours.
            with suppress(TimeoutError):
                async with asyncio.timeout(UNRUNG * self.chore.every_seconds):
                    await self._rung.wait()
            self._rung.clear()
            if self._ending:
                return
            async with self._trouble.told():
                await self.chore.do()


async def stopped(loops: Sequence[asyncio.Task[None]], seconds: float = STOP_SECONDS) -> None:
    """Wait for loops that were told to end; whatever takes longer is cut off."""
    if not loops:
        return
    _, late = await asyncio.wait(loops, timeout=seconds)
    for task in late:
        _log.warning("%s did not end in %g s and is cut off", task.get_name(), seconds)
        task.cancel()
    await asyncio.gather(*loops, return_exceptions=True)

"""The clockwork of a running hive: what rings, tied to the loops that do the work."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from hyperhive.scheduling.clockwork import Clockwork
from hyperhive.services.chores import Chore, ChoreLoop, stopped
from hyperhive.services.deliveries import Deliveries
from hyperhive.store import Store


@asynccontextmanager
async def ticking(
    store: Store, chores: Iterable[Chore], deliveries: Deliveries
) -> AsyncIterator[Clockwork]:
    """Do the chores and deliver reminders until the block is left; then finish within 5 s."""
    clockwork = Clockwork()
    loops = [ChoreLoop(store, chore) for chore in chores]
    tasks = [asyncio.create_task(loop.run(), name=loop.chore.name) for loop in loops]
    for loop in loops:
        chore = loop.chore
        clockwork.every(chore.name, chore.every_seconds, loop.ring, at_start=chore.at_start)
    deliveries.arm = lambda at: clockwork.at("reminders", at, deliveries.wake)
    tasks.append(asyncio.create_task(deliveries.run(), name="reminders"))
    clockwork.start()
    try:
        yield clockwork
    finally:
        clockwork.stop()
        deliveries.end()
        for loop in loops:
            loop.end()
        await stopped(tasks)

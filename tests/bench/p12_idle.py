"""P12: an idle hive of 50 connected harnesses.

They wait for work and send their heartbeats, and nothing else happens. Measured is the server's
processor time; an idle hive must also run no turn, because a turn costs money. ``--idle-seconds``
says for how long; the bar is meant for 600.

Bars: at most 2 % of one core, and no turn.
"""

import asyncio
import time
from pathlib import Path

from tests.bench.harnesses import connected
from tests.bench.hives import Running, declared, served
from tests.bench.measure import Figure, Scale, processor_seconds

AGENTS = 50


def figures(scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    with declared(AGENTS, where) as hive, served(hive) as server:
        share, turns = asyncio.run(_idle(server, scale.idle_seconds))
    watched = f"{AGENTS} agents, idle for {scale.idle_seconds:g} s"
    return [
        Figure("P12", f"{watched}: server's share of a core", share * 100, "%", at_most=2),
        Figure("P12", f"{watched}: turns run", turns, "turns", at_most=0),
    ]


async def _idle(server: Running, seconds: float) -> tuple[float, int]:
    async with connected(server.hive) as harnesses:
        used, begun = processor_seconds(server.pid), time.perf_counter()
        await asyncio.sleep(seconds)
        share = (processor_seconds(server.pid) - used) / (time.perf_counter() - begun)
        return share, sum(harness.turns for harness in harnesses)

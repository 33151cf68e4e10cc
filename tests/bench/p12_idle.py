"""P12: an idle hive of 50 agents.

They wait for work and send their heartbeats, and nothing else happens: once with harnesses that
the benchmark plays, once with real ones, each in a bubblewrap box that the hive has started.
Measured is the server's processor time; an idle hive must also run no turn, because a turn costs
money. ``--idle-seconds`` says for how long each; the bar is meant for 600.

Bars: at most 2 % of one core, and no turn.
"""

import asyncio
import time
from pathlib import Path

from hyperhive.client import OperatorClient
from tests.bench.boxed import up
from tests.bench.harnesses import connected
from tests.bench.hives import Running, declared, served
from tests.bench.measure import Figure, Scale, Skipped, processor_seconds

AGENTS = 50


def figures(scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    with declared(AGENTS, where) as hive, served(hive) as server:
        share, turns = asyncio.run(_idle(server, scale.idle_seconds))
    watched = f"{AGENTS} agents, idle for {scale.idle_seconds:g} s"
    return [
        Figure("P12", f"{watched}: server's share of a core", share * 100, "%", at_most=2),
        Figure("P12", f"{watched}: turns run", turns, "turns", at_most=0),
        *_boxed(scale, where),
    ]


async def _idle(server: Running, seconds: float) -> tuple[float, int]:
    async with connected(server.hive) as harnesses:
        used, begun = processor_seconds(server.pid), time.perf_counter()
        await asyncio.sleep(seconds)
        share = (processor_seconds(server.pid) - used) / (time.perf_counter() - begun)
        return share, sum(harness.turns for harness in harnesses)


def _boxed(scale: Scale, where: Path) -> list[Figure]:
    agents = scale.pick(AGENTS, 4)
    watched = f"{agents} bubblewrap boxes, idle for {scale.idle_seconds:g} s"
    try:
        with up(agents, where, "bubblewrap") as started:
            names = started.ready()
            boxes = [pid for name in names for pid in started.box(name)]
            server, around = processor_seconds(started.pid), sum(map(processor_seconds, boxes))
            begun = time.perf_counter()
            time.sleep(scale.idle_seconds)
            took = time.perf_counter() - begun
            server = (processor_seconds(started.pid) - server) / took
            around = (sum(map(processor_seconds, boxes)) - around) / took
            with OperatorClient(started.hive.admin_socket) as operator:
                turns = sum(len(operator.turns(name)["turns"]) for name in names)
    except Skipped as reason:
        return [Figure.skip("P12", watched, reason)]
    return [
        Figure("P12", f"{watched}: server's share of a core", server * 100, "%", at_most=2),
        Figure("P12", f"{watched}: the boxes' own share", around * 100, "%"),
        Figure("P12", f"{watched}: turns run", turns, "turns", at_most=0),
    ]

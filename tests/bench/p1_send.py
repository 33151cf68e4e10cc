"""P1: ``send`` over MCP on an agent's socket, one caller.

Baseline: a tool that does nothing, on the same server. The two are called in turn on one
connection, so whatever else the machine does slows both alike. The caller is this process, the
server another. Each ``send`` is a durable commit; its request number makes it safe to repeat, as
the bridge's do.

Bar: p50 at most 1.6 times the baseline's, p99 at most 25 ms.
"""

import asyncio
import time
from pathlib import Path

from tests.bench.hives import MANAGER, SERVE_WITH_NOOP, Declared, Running, declared, served, worker
from tests.bench.measure import Figure, Scale, milliseconds, processor_seconds, undisturbed
from tests.bench.wires import Wire, tool_call

WARM_UP = 30
SEND = tool_call("send", {"to": worker(1), "body": "x" * 200})
NOOP = tool_call("noop", {})


def figures(scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    with declared(3, where) as hive, served(hive, SERVE_WITH_NOOP) as server:
        sends, noops = asyncio.run(_alternate(hive, scale.pick(3000, 100)))
        used = [asyncio.run(_used(server, call, scale.pick(2000, 100))) for call in (SEND, NOOP)]
    return [
        Figure(
            "P1",
            "send over MCP, p50 (baseline: no-op tool)",
            milliseconds(sends, 0.5),
            "ms",
            milliseconds(noops, 0.5),
            ratio_at_most=1.6,
        ),
        Figure(
            "P1",
            "send over MCP, p99",
            milliseconds(sends, 0.99),
            "ms",
            milliseconds(noops, 0.99),
            at_most=25,
        ),
        Figure(
            "P1", "send over MCP, the server's processor time", used[0] * 1000, "ms", used[1] * 1000
        ),
    ]


async def _alternate(hive: Declared, rounds: int) -> tuple[list[float], list[float]]:
    wire = await Wire.open(hive.socket(MANAGER))
    for _ in range(WARM_UP):
        await wire.call(SEND)
        await wire.call(NOOP)
    sends: list[float] = []
    noops: list[float] = []
    with undisturbed():
        for _ in range(rounds):
            for request, times in ((SEND, sends), (NOOP, noops)):
                begun = time.perf_counter()
                await wire.call(request)
                times.append(time.perf_counter() - begun)
    wire.close()
    return sends, noops


async def _used(server: Running, call: bytes, count: int) -> float:
    """Give the processor time that the server uses for a call: noise moves it less."""
    wire = await Wire.open(server.hive.socket(MANAGER))
    before = processor_seconds(server.pid)
    for _ in range(count):
        await wire.call(call)
    wire.close()
    return (processor_seconds(server.pid) - before) / count

"""P6: ``recv`` from an inbox in which 100,000 messages wait.

Baseline: the same from an inbox in which 10 wait, in another hive. The two are asked in turn, and
each gets one new message for the one it gave, so that they stay as full.

Bar: p95 at most 2 times the baseline's.
"""

import asyncio
import time
from pathlib import Path

from tests.bench.hives import MANAGER, Declared, declared, served, worker
from tests.bench.inboxes import fill
from tests.bench.measure import Figure, Scale, milliseconds, undisturbed
from tests.bench.wires import Wire, tool_call

DEEP = 100_000
SHALLOW = 10
BODY = "x" * 200


def figures(scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    depth = scale.pick(DEEP, 1_000)
    with declared(2, where) as deep, declared(2, where) as shallow:
        asyncio.run(fill(deep, depth, [worker(1)]))
        asyncio.run(fill(shallow, SHALLOW, [worker(1)]))
        with served(deep), served(shallow):
            full, few = asyncio.run(_alternate(deep, shallow, scale.pick(2000, 50)))
    return [
        Figure(
            "P6",
            f"recv with {depth:,} waiting, {name} (baseline: {SHALLOW})",
            milliseconds(full, share),
            "ms",
            milliseconds(few, share),
            ratio_at_most=bar,
        )
        for name, share, bar in (("p95", 0.95, 2), ("p50", 0.5, None))
    ]


async def _alternate(
    deep: Declared, shallow: Declared, rounds: int
) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    recv = tool_call("recv", {})
    send = tool_call("send", {"to": worker(1), "body": BODY})
    wires = [
        (
            await Wire.open(hive.socket(worker(1))),
            await Wire.open(hive.socket(MANAGER)),
            into,
        )
        for hive, into in zip((deep, shallow), times, strict=True)
    ]
    with undisturbed():
        for _ in range(rounds):
            for receiver, sender, into in wires:
                begun = time.perf_counter()
                answer = await receiver.call(recv)
                into.append(time.perf_counter() - begun)
                if answer.delivery is None:
                    raise RuntimeError("An inbox that should be full gave nothing.")
                await receiver.confirm(answer)
                await sender.call(send)
    for receiver, sender, _ in wires:
        receiver.close()
        sender.close()
    return times

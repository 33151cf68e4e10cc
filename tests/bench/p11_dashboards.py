"""P11: 100 dashboards follow the stream while 1,000 events happen.

Each dashboard is a connection to the operator's port that reads ``GET /dashboard/stream`` as it
comes. Fifty agents send twenty messages each at once, a commit at least for every group of them.
Timed is from before the first is sent until the last dashboard has the last event, so it holds the
sends as well; how long those took is beside it. Baseline: the same with one dashboard.

Bars: every event everywhere, in order; at most 2 s.
"""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from hyperhive.client import OperatorClient
from tests.bench.hives import MANAGER, Declared, declared, served
from tests.bench.inboxes import text
from tests.bench.measure import Figure, Scale, undisturbed
from tests.bench.pages import address
from tests.bench.wires import Wire, tool_call

SENDERS: Final = 50
EACH: Final = 20
DASHBOARDS: Final = 100
ROUND_SECONDS: Final = 120.0


@dataclass(slots=True)
class Dashboard:
    """What one has seen: the position of every event, in the order in which they came."""

    seqs: list[int] = field(default_factory=list)

    async def follow(self, reader: asyncio.StreamReader, messages: int) -> None:
        """Read until so many messages have been told of; what else happens is told between."""
        while messages > 0:
            line = await reader.readline()
            if not line:
                raise RuntimeError("The stream ended.")
            if line.startswith(b"id: "):
                self.seqs.append(int(line.rpartition(b":")[2]))
            elif b'"kind":"message_queued"' in line:
                messages -= 1

    def amiss(self, after: int) -> int:
        """Count what did not come, or not in its place, behind a position."""
        return sum(seq != due for due, seq in enumerate(self.seqs, after + 1))


@dataclass(frozen=True, slots=True)
class Round:
    """How long it took, in seconds, and how many events did not come or not in order."""

    seconds: float
    sending: float
    amiss: int


def figures(scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    rounds, each, many = (
        scale.pick(5, 1),
        scale.pick(EACH, 4),
        scale.pick(DASHBOARDS, 20),
    )
    with declared(SENDERS + 1, where) as hive, served(hive):
        asyncio.run(_round(hive, 1, each))
        alone = [asyncio.run(_round(hive, 1, each)) for _ in range(rounds)]
        all_of_them = [asyncio.run(_round(hive, many, each)) for _ in range(rounds)]
    what = f"{SENDERS * each:,} events, {many} dashboards"
    amiss = sum(each.amiss for each in all_of_them)
    took = min(each.seconds for each in all_of_them)
    baseline = min(each.seconds for each in alone)
    sending = min(each.sending for each in all_of_them)
    return [
        Figure("P11", f"{what}: missing or out of order", amiss, "events", at_most=0),
        Figure(
            "P11",
            f"{what}: all have all (baseline: one)",
            took,
            "s",
            baseline,
            at_most=2,
        ),
        Figure("P11", "the same: until all were sent", sending, "s"),
    ]


async def _round(hive: Declared, dashboards: int, each: int) -> Round:
    place = urlsplit(address(hive))
    with OperatorClient(hive.admin_socket) as operator:
        before = operator.health()["seq"]
    secret = (hive.state_dir / "operator-secret").read_text().strip()
    head = (
        f"GET /dashboard/stream?after={before} HTTP/1.1\r\nHost: {place.netloc}\r\n"
        f"Authorization: Bearer {secret}\r\nAccept: text/event-stream\r\n\r\n"
    ).encode()
    assert place.hostname is not None
    streams = []
    for _ in range(dashboards):
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        writer.write(head)
        await reader.readuntil(b"event: hello")
        streams.append((reader, writer))
    wires = [await Wire.open(hive.socket(name)) for name in hive.agents if name != MANAGER]
    seen = [Dashboard() for _ in streams]
    count = len(wires) * each
    with undisturbed():
        begun = time.perf_counter()
        async with asyncio.timeout(ROUND_SECONDS), asyncio.TaskGroup() as group:
            for dashboard, (reader, _) in zip(seen, streams, strict=True):
                group.create_task(dashboard.follow(reader, count))
            await asyncio.gather(*(_send(wire, each) for wire in wires))
            sent = time.perf_counter()
        took = time.perf_counter() - begun
    for _, writer in streams:
        writer.close()
    for wire in wires:
        wire.close()
    return Round(took, sent - begun, sum(dashboard.amiss(before) for dashboard in seen))


async def _send(wire: Wire, count: int) -> None:
    for number in range(count):
        await wire.call(tool_call("send", {"to": MANAGER, "body": text(number)}))

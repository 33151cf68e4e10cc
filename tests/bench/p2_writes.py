"""P2: durable sends of 64 callers, in process.

Each caller sends its next message when the one before is on disk, through the service that every
surface uses: the row, its event, the wake-up. Baseline: raw ``sqlite3`` in the same directory,
one row and one commit a message, with the same settings (WAL, ``synchronous = FULL``). Rounds of
both take turns; the median round of each counts.

Bar: at least 3 times as many a second.
"""

import asyncio
import contextlib
import sqlite3
import statistics
import time
from pathlib import Path

from hyperhive import config
from hyperhive.bootstrap import Running, running
from hyperhive.domain import actors
from tests.bench.hives import MANAGER, declared, worker
from tests.bench.measure import Figure, Scale

CALLERS = 64
BODY = "x" * 200


def figures(scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    with declared(9, where) as hive:
        ours, raw = asyncio.run(
            _rounds(hive.path, scale.pick(5, 2), scale.pick(20_000, 640), scale.pick(8_000, 200))
        )
    return [
        Figure(
            "P2",
            f"durable sends, {CALLERS} callers (baseline: raw sqlite3)",
            statistics.median(ours),
            "/s",
            statistics.median(raw),
            ratio_at_least=3,
        ),
    ]


async def _rounds(
    path: Path, rounds: int, sends: int, inserts: int
) -> tuple[list[float], list[float]]:
    hive = config.load(path)
    ours: list[float] = []
    raw: list[float] = []
    async with running(hive, with_agents=False) as run:
        await _sends(run, CALLERS * 4)
        for _ in range(rounds):
            raw.append(_inserts(hive.state_dir / "raw.db", inserts))
            ours.append(await _sends(run, sends))
    return ours, raw


async def _sends(run: Running, count: int) -> float:
    """Send ``count`` messages and return how many a second that was."""
    sender = actors.agent(MANAGER)
    left = iter(range(count))

    async def caller(number: int) -> None:
        to = worker(1 + number % 8)
        for _ in left:
            await run.messages.send(sender, to, BODY)

    begun = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    return count / (time.perf_counter() - begun)


def _inserts(path: Path, count: int) -> float:
    """Insert ``count`` rows, each in a commit of its own, and return how many a second."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, sender TEXT, "
            "recipient TEXT, body TEXT, at REAL, state TEXT)"
        )
        begun = time.perf_counter()
        for _ in range(count):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "INSERT INTO message (sender, recipient, body, at, state) VALUES (?, ?, ?, ?, ?)",
                (MANAGER, worker(1), BODY, time.time(), "queued"),
            )
            connection.execute("COMMIT")
        return count / (time.perf_counter() - begun)

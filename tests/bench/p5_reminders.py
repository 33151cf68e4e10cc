"""P5: 10,000 reminders due at once, while other agents send.

The server runs with its rows already there: they were added before it began, and all are due at
the same second. A sender calls ``send`` without a pause from before that second until the last
one is delivered. Baseline: the same sends in the seconds before, with nothing due.

One agent has no part in it: its ordinary reminder falls due amid the flood. Baseline: another of
its own, just before.

Bars: all delivered within 5 s of their time; the p99 of the sends at most 50 ms; the ordinary one
at most a second after its time. What one costs is shown with 1,000, 10,000 and 100,000 more
pending that are not due: it must not grow.
"""

import asyncio
import sqlite3
import statistics
import time
from contextlib import closing
from pathlib import Path

from hyperhive import config
from hyperhive.bus import Bus
from hyperhive.domain.actors import agent
from hyperhive.domain.reminders import ReminderState
from hyperhive.services.agents import Agents
from hyperhive.services.deliveries import Deliveries
from hyperhive.store import Store, Writing, reminders
from hyperhive.store.store import FILE_NAME
from tests.bench.hives import MANAGER, Declared, declared, served, worker
from tests.bench.measure import Figure, Scale, milliseconds, undisturbed
from tests.bench.wires import Wire, tool_call

AGENTS = 10
BODY = "x" * 200
SEND = tool_call("send", {"to": worker(1), "body": BODY})
LEAD_SECONDS = 8.0
"""From adding the rows until they are due: the server starts, and the baseline is taken."""
QUIET_SECONDS = 2.0
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 60.0
AMID_SECONDS = 0.1
"""So long after the flood's time is the ordinary one's, and so long before it the other's."""
FAR_SECONDS = 1e6
STEP = 1_000


def figures(scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    count = scale.pick(10_000, 500)
    with declared(AGENTS, where) as hive:
        asyncio.run(_add(hive, count + 2, 0))
        due_at = time.time() + LEAD_SECONDS
        _set_times(hive, due_at)
        with served(hive):
            took, during, before = asyncio.run(_flood(hive, due_at))
        early, amid = _lateness(hive)
    return [
        Figure("P5", f"{count:,} due at once, until the last is delivered", took, "s", at_most=5),
        Figure(
            "P5",
            "a send meanwhile, p99 (baseline: nothing due)",
            milliseconds(during, 0.99),
            "ms",
            milliseconds(before, 0.99),
            at_most=50,
        ),
        Figure("P5", "the same, p50", milliseconds(during, 0.5), "ms", milliseconds(before, 0.5)),
        Figure(
            "P5",
            "an ordinary reminder meanwhile, after its time (baseline: before them)",
            amid * 1e3,
            "ms",
            early * 1e3,
            at_most=1000,
        ),
        *_costs(scale, where),
    ]


def _set_times(hive: Declared, due_at: float) -> None:
    """Have all be due at once, but two of an agent that has no others: before them, and amid."""
    first, last = hive.agents[0], hive.agents[AGENTS - 1]
    with closing(sqlite3.connect(hive.state_dir / FILE_NAME)) as database:
        database.execute("UPDATE reminder SET due_at = ?, next_at = ?", (due_at, due_at))
        database.execute("UPDATE reminder SET agent = ? WHERE agent = ?", (first, last))
        apart = "UPDATE reminder SET agent = ?, due_at = ?, next_at = ? WHERE id = ?"
        for number, at in enumerate((due_at - AMID_SECONDS, due_at + AMID_SECONDS), start=1):
            database.execute(apart, (last, at, at, number))
        database.commit()


def _lateness(hive: Declared) -> list[float]:
    """Give how many seconds after their times those two came, the earlier first."""
    late = "SELECT delivered_at - due_at FROM reminder WHERE agent = ? ORDER BY due_at"
    with closing(sqlite3.connect(hive.state_dir / FILE_NAME)) as database:
        return [float(row[0]) for row in database.execute(late, (hive.agents[AGENTS - 1],))]


def _costs(scale: Scale, where: Path) -> list[Figure]:
    """What one reminder costs, with ever more pending behind it."""
    due = scale.pick(1_000, 100)
    costs = {}
    for pending in (100, 1_000) if scale.small else (1_000, 10_000, 100_000):
        with declared(AGENTS, where) as hive:
            costs[pending] = asyncio.run(_cost(hive, due, pending))
    first = min(costs)
    return [
        Figure(
            "P5",
            f"a reminder with {pending:,} pending (baseline: {first:,})",
            cost * 1e6,
            "µs",
            costs[first] * 1e6,
        )
        for pending, cost in costs.items()
    ]


async def _add(hive: Declared, due: int, pending: int) -> None:
    """Add rows of all agents in turn, past the quotas: ``due`` are due now, ``pending`` never."""
    store = await Store.open(hive.state_dir, Bus())
    try:
        await Agents(store, config.load(hive.path)).declare(config.load(hive.path))
        await _fill(store, hive, due, pending)
    finally:
        await store.close()


async def _fill(store: Store, hive: Declared, due: int, pending: int) -> None:
    for begin in range(0, due + pending, STEP):
        numbers = range(begin, min(begin + STEP, due + pending))

        def add(work: Writing, numbers: range = numbers) -> None:
            for number in numbers:
                ahead = 0.0 if number < due else FAR_SECONDS + number
                reminders.add(
                    work,
                    agent(hive.agents[number % AGENTS]),
                    body=BODY,
                    state=ReminderState.PENDING,
                    due_at=work.now + ahead,
                )

        await store.write(add)


async def _cost(hive: Declared, due: int, pending: int) -> float:
    """Deliver what is due, in process, and give the seconds that each took."""
    store = await Store.open(hive.state_dir, Bus())
    try:
        agents = Agents(store, config.load(hive.path))
        await agents.declare(agents.hive)
        times = []
        await _fill(store, hive, 0, pending)
        deliveries = Deliveries(store, agents)
        for _ in range(3):
            await _fill(store, hive, due, 0)
            begun = time.perf_counter()
            delivered = await deliveries.deliver_due()
            times.append((time.perf_counter() - begun) / due)
            if delivered != due:
                raise RuntimeError(f"{delivered} of {due} reminders were delivered.")
        return statistics.median(times)
    finally:
        await store.close()


async def _flood(hive: Declared, due_at: float) -> tuple[float, list[float], list[float]]:
    """Send until all are delivered; give how long that took, and the sends in and before it."""
    over = asyncio.Event()
    sending = asyncio.create_task(_send(hive, due_at - QUIET_SECONDS, over))
    try:
        async with asyncio.timeout(LEAD_SECONDS + PATIENCE_SECONDS):
            done = await _all_delivered(hive, due_at)
    finally:
        over.set()
    sends = await sending
    during = [took for at, took in sends if due_at <= at <= done]
    before = [took for at, took in sends if at + took < due_at]
    if not during or not before:
        raise RuntimeError("The server was not ready in time; nothing was measured.")
    return done - due_at, during, before


async def _send(hive: Declared, begin: float, over: asyncio.Event) -> list[tuple[float, float]]:
    """Send without a pause; give when each began and how long it took."""
    sends = []
    wire = await Wire.open(hive.socket(MANAGER))
    await asyncio.sleep(max(0.0, begin - time.time()))
    with undisturbed():
        while not over.is_set():
            at, begun = time.time(), time.perf_counter()
            await wire.call(SEND)
            sends.append((at, time.perf_counter() - begun))
    wire.close()
    return sends


async def _all_delivered(hive: Declared, due_at: float) -> float:
    """Wait for the last one; give when it was delivered, by the server's own word."""
    await asyncio.sleep(max(0.0, due_at - time.time()))
    with closing(sqlite3.connect(hive.state_dir / FILE_NAME)) as database:
        pending = "SELECT EXISTS (SELECT 1 FROM reminder WHERE state = 'pending')"
        while database.execute(pending).fetchone()[0]:  # noqa: ASYNC110 - another process's
            await asyncio.sleep(LOOK_SECONDS)
        last = "max(delivered_at) FILTER (WHERE due_at = ?)"
        counted = f"SELECT {last}, sum(deliveries), count(*) FROM reminder"
        last, deliveries, count = database.execute(counted, (due_at,)).fetchone()
    if deliveries != count:
        raise RuntimeError(f"{count} reminders were delivered {deliveries} times.")
    return float(last)

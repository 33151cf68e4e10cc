"""P7: the snapshot and the page's first load, at 50 agents and 10,000 messages, then 100,000.

``GET /api/state`` is asked for as a browser asks, by TCP and with gzip; baseline: a hive of a
manager and a worker in which nothing happened. The page is loaded by Chromium with nothing cached.

Bars: the snapshot at most 50 ms; first paint and usable at most 1 s, also with 100,000 messages; a
first load at most 150 kB with everything.
"""

import asyncio
import http.client
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from tests.bench.hives import Declared, declared, served
from tests.bench.inboxes import fill
from tests.bench.measure import (
    Figure,
    Scale,
    Skipped,
    milliseconds,
    percentile,
    undisturbed,
)
from tests.bench.pages import Load, address, load, logged_in
from tests.browser.chromium import NoChromiumError, chromium

AGENTS: Final = 50
FULL: Final = 10_000
OVERFULL: Final = 100_000
KILOBYTE: Final = 1000


def figures(scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    rounds, loads = scale.pick(200, 10), scale.pick(7, 1)
    found: list[Figure] = []
    with declared(2, where) as empty, declared(AGENTS, where) as hive:
        there = 0
        for count in (500,) if scale.small else (FULL, OVERFULL):
            asyncio.run(fill(hive, count - there, hive.agents[1:]))
            there = count
            with served(empty), served(hive):
                found += _snapshots(hive, empty, count, rounds)
                found += _loads(hive, count, loads)
    return found


def _snapshots(hive: Declared, empty: Declared, count: int, rounds: int) -> list[Figure]:
    full, none = _alternate(hive, empty, rounds)
    what = f"GET /api/state, {AGENTS} agents, {count:,} messages"
    return [
        Figure(
            "P7",
            f"{what}, {name} (baseline: an empty hive)",
            milliseconds(full, share),
            "ms",
            milliseconds(none, share),
            at_most=50,
        )
        for name, share in (("p50", 0.5), ("p95", 0.95))
    ]


def _loads(hive: Declared, count: int, rounds: int) -> list[Figure]:
    what = f"page with {count:,} messages"
    try:
        with chromium() as browser:
            found: list[Load] = []
            for _ in range(rounds):
                with logged_in(browser, hive) as page:
                    found.append(load(page, hive))
    except NoChromiumError as reason:
        return [Figure.skip("P7", what, Skipped(str(reason)))]
    size = max(each.transferred for each in found) / KILOBYTE
    used = percentile([each.processor for each in found], 0.5)
    return [
        *_best("first paint", what, [each.painted for each in found], bar=1000),
        *_best("usable", what, [each.usable for each in found], bar=1000),
        *_best("live", what, [each.live for each in found]),
        Figure("P7", f"{what}: its main thread's processor time, median", used, "ms"),
        Figure("P7", f"{what}: transferred", size, "kB", at_most=150),
    ]


def _best(step: str, what: str, times: Sequence[float], bar: float | None = None) -> list[Figure]:
    """Give the best of several, which is least of the machine's other work, and the median."""
    return [
        Figure("P7", f"{what}: {step}, best of {len(times)}", min(times), "ms", at_most=bar),
        Figure("P7", f"{what}: {step}, median", percentile(times, 0.5), "ms"),
    ]


@dataclass(frozen=True, slots=True)
class _Asker:
    """Asks one hive for its snapshot, on a connection that is kept."""

    connection: http.client.HTTPConnection
    secret: str

    @classmethod
    def of(cls, hive: Declared) -> Self:
        secret = (hive.state_dir / "operator-secret").read_text().strip()
        return cls(http.client.HTTPConnection(urlsplit(address(hive)).netloc), secret)

    def ask(self) -> float:
        headers = {"Authorization": f"Bearer {self.secret}", "Accept-Encoding": "gzip"}
        begun = time.perf_counter()
        self.connection.request("GET", "/api/state", headers=headers)
        answer = self.connection.getresponse()
        answer.read()
        took = time.perf_counter() - begun
        if answer.status != 200:
            raise RuntimeError(f"GET /api/state answered {answer.status}.")
        return took


def _alternate(
    hive: Declared, empty: Declared, rounds: int
) -> tuple[Sequence[float], Sequence[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    askers = (_Asker.of(hive), _Asker.of(empty))
    with undisturbed():
        for _ in range(rounds + 1):
            for asker, into in zip(askers, times, strict=True):
                into.append(asker.ask())
    for asker in askers:
        asker.connection.close()
    return times[0][1:], times[1][1:]

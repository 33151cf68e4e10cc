"""The page while the hive works: how soon an event is on it, and what a day does to its memory.

Fifty agents; the page is open in Chromium with each of its places visited. First agents send twenty
messages a second, more than they do in life, and each is timed from its commit (the time
that its row has) until its row is in the page's document. Then events come as fast as the server
makes them, broadcasts, and after every tenth of them the page's garbage is collected and its heap
measured: between the second tenth, when every list is as long as it gets, and the last.

Bars: p99 at most 100 ms; the heap at most 1.1 times, over 100,000 events.
"""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page

from hyperhive.client import OperatorClient
from tests.bench.hives import MANAGER, Declared, declared, served
from tests.bench.inboxes import fill, text
from tests.bench.measure import Figure, Scale, Skipped, milliseconds
from tests.bench.pages import heap_mebibytes, load, logged_in
from tests.bench.wires import Wire, tool_call
from tests.browser.chromium import NoChromiumError, chromium

AGENTS: Final = 50
BEFORE: Final = 1_000
BETWEEN_SENDS: Final = 0.05
PARTS: Final = 10
PLACES: Final = (
    "decisions",
    "reminders",
    "forge",
    "agent/w001",
    "system",
    "messages",
    "hive",
)

_WATCH: Final = """() => {
  window.came = [];
  window.watcher = new MutationObserver((changes) => {
    const now = Date.now() / 1000;
    for (const { addedNodes } of changes)
      for (const row of addedNodes) window.came.push([Number(row.dataset.id), now]);
  });
  window.watcher.observe(document.getElementById("flow-rows"), { childList: true });
}"""
_CAME: Final = "() => { window.watcher.disconnect(); return window.came.splice(0); }"
_UNTIL: Final = """(id) => new Promise((done) => {
  const look = () => document.querySelector(`#flow-rows [data-id="${id}"]`)
    ? done() : setTimeout(look, 20);
  look();
})"""


def figures(scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    try:
        with declared(AGENTS, where) as hive:
            asyncio.run(fill(hive, BEFORE, hive.agents[1:]))
            with served(hive), chromium() as browser:
                return _followed(browser, hive, scale)
    except NoChromiumError as reason:
        return [Figure.skip("PAGE", "an event on the page", Skipped(str(reason)))]


def _followed(browser: Browser, hive: Declared, scale: Scale) -> list[Figure]:
    sends, events = scale.pick(600, 50), scale.pick(100_000, 2_000)
    with logged_in(browser, hive) as page:
        load(page, hive)
        for place in PLACES:
            page.evaluate("(place) => { location.hash = `#/${place}`; }", place)
        times = _delays(page, hive, sends)
        heaps = [_after_events(page, hive, events // PARTS) for _ in range(PARTS)]
        nodes = page.evaluate("document.querySelectorAll('*').length")
    what = f"{events:,} events"
    return [
        Figure(
            "PAGE",
            f"commit to page, p99 of {sends:,}",
            milliseconds(times, 0.99),
            "ms",
            at_most=100,
        ),
        Figure("PAGE", "the same, p50", milliseconds(times, 0.5), "ms"),
        Figure(
            "PAGE",
            f"heap after {what} (baseline: after a fifth)",
            heaps[-1],
            "MiB",
            heaps[1],
            ratio_at_most=1.1,
        ),
        Figure("PAGE", f"elements after {what}", nodes, ""),
    ]


def _delays(page: Page, hive: Declared, count: int) -> list[float]:
    """Give the seconds from each message's commit until it was on the page."""
    page.evaluate(_WATCH)
    last = _meanwhile(page, lambda: asyncio.run(_send(hive, count)))
    page.evaluate(_UNTIL, last)
    came = {int(number): at for number, at in page.evaluate(_CAME)}
    committed: dict[int, float] = {}
    with OperatorClient(hive.admin_socket) as operator:
        before = last + 1
        while len(committed) < count:
            rows = operator.messages(before=before, limit=500)["messages"]
            committed.update((row["id"], row["at"]) for row in rows if row["id"] in came)
            before = rows[-1]["id"]
    return [came[number] - at for number, at in committed.items()]


def _after_events(page: Page, hive: Declared, count: int) -> float:
    """Let so many events happen and give the heap when the page has seen them, in MiB."""
    last = _meanwhile(page, lambda: asyncio.run(_broadcast(hive, count // (AGENTS - 1))))
    page.evaluate(_UNTIL, last)
    return heap_mebibytes(page)


def _meanwhile(page: Page, work: Callable[[], int]) -> int:
    """Work in another thread while the page runs, as its driver does in this one."""
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(work()))
    thread.start()
    while thread.is_alive():
        page.wait_for_timeout(50)
    return done[0]


async def _send(hive: Declared, count: int) -> int:
    """Let the agents send in turn; give the last message's id."""
    wires = [await Wire.open(hive.socket(name)) for name in hive.agents]
    for number in range(count):
        request = tool_call("send", {"to": MANAGER, "body": text(number)})
        sender = wires[1 + number % (len(wires) - 1)]
        await asyncio.gather(asyncio.sleep(BETWEEN_SENDS), sender.call(request))
    for wire in wires:
        wire.close()
    return _last(hive)


async def _broadcast(hive: Declared, count: int) -> int:
    wire = await Wire.open(hive.socket(MANAGER))
    for number in range(count):
        await wire.call(tool_call("send", {"to": "*", "body": text(number)}))
    wire.close()
    return _last(hive)


def _last(hive: Declared) -> int:
    with OperatorClient(hive.admin_socket) as operator:
        return int(operator.messages(limit=1)["messages"][0]["id"])

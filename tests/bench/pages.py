"""The operator's page in Chromium, opened as by a browser that has never seen it; its figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from playwright.sync_api import Browser, Page

from hyperhive.client import OperatorClient
from tests.bench.hives import Declared
from tests.bench.measure import MEBIBYTE

PATIENCE_MS: Final = 120_000

_FIRST_PAINT: Final = """() => new Promise((done) => new PerformanceObserver((list) => {
  for (const { name, startTime } of list.getEntries())
    if (name === "first-contentful-paint") done(startTime);
}).observe({ type: "paint", buffered: true }))"""
_WATCH: Final = """(agents) => {
  const look = () => {
    const isReady = document.body && !document.body.classList.contains("is-loading");
    const isThere = isReady && document.querySelectorAll(".card").length >= agents;
    if (isThere) window.readyAt ??= performance.now();
    if (document.querySelector("#connection.is-live")) window.liveAt = performance.now();
    else requestAnimationFrame(look);
  };
  look();
}"""
_READY: Final = """() => new Promise((done) => {
  const look = () => window.liveAt && window.readyAt
    ? done([window.readyAt, window.liveAt]) : setTimeout(look, 20);
  look();
})"""


@dataclass(frozen=True, slots=True)
class Load:
    """A first load, in milliseconds since its beginning.

    ``painted`` is the first paint; ``usable``, when every agent is there and can be acted on, by
    the frame that shows them; ``live``, when the stream has been joined. ``processor`` is what the
    page's main thread has used until then, and ``transferred`` counts bytes with their headers.
    """

    painted: float
    usable: float
    live: float
    processor: float
    transferred: int


@contextmanager
def logged_in(browser: Browser, hive: Declared) -> Iterator[Page]:
    """Give a page of a fresh profile that is logged in and has loaded nothing of the hive."""
    with OperatorClient(hive.admin_socket) as operator:
        link = operator.login_link()["url"]
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    try:
        # The link logs in and leads to the page; only the cookie of its answer is wanted.
        context.request.get(link, max_redirects=0)
        yield context.new_page()
    finally:
        context.close()


def load(page: Page, hive: Declared) -> Load:
    """Load the page of the hive with an empty cache."""
    received = 0

    def count(event: dict[str, Any]) -> None:
        nonlocal received
        received += int(event["encodedDataLength"])

    wire = page.context.new_cdp_session(page)
    wire.on("Network.loadingFinished", count)
    wire.send("Network.enable")
    wire.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.add_init_script(f"({_WATCH})({len(hive.agents)})")
    page.goto(address(hive))
    usable, live = page.evaluate(_READY)
    used = {each["name"]: each["value"] for each in wire.send("Performance.getMetrics")["metrics"]}
    painted = page.evaluate(_FIRST_PAINT)
    wire.detach()
    return Load(painted, usable, live, used["TaskDuration"] * 1000, received)


def address(hive: Declared) -> str:
    """Give where the operator's page is."""
    with OperatorClient(hive.admin_socket) as operator:
        link: str = operator.login_link()["url"]
    return link.rpartition("/login/")[0] + "/"


def heap_mebibytes(page: Page) -> float:
    """Collect the page's garbage and give what is left of its heap."""
    wire = page.context.new_cdp_session(page)
    wire.send("HeapProfiler.enable")
    for _ in range(2):
        wire.send("HeapProfiler.collectGarbage")
    used = wire.send("Runtime.getHeapUsage")["usedSize"]
    wire.detach()
    return float(used) / MEBIBYTE

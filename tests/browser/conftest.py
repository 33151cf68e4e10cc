"""A browser, a hive for it to look at, and a page that must stay clean.

The browser lives as long as this package's tests and no longer: Playwright's synchronous interface
keeps an event loop running in the thread, in which asynchronous tests elsewhere could not run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
)

from tests.browser.chromium import NoChromiumError, chromium
from tests.browser.fake_hive import FakeHive
from tests.browser.hive_model import HiveModel

FAILED_REQUEST = "Failed to load resource"
"""What Chromium says of every request that was refused, however well that was handled."""

PATIENCE_MS = 20_000
"""How long a condition may take to come true on a machine that does much else meanwhile."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Run a headless Chromium of the machine's own."""
    expect.set_options(timeout=PATIENCE_MS)
    try:
        with chromium() as running:
            yield running
    except NoChromiumError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def hive() -> Iterator[FakeHive]:
    """Serve a hive of a manager and two workers, with no message yet."""
    model = HiveModel()
    model.add_agent("queen", role="manager")
    model.add_agent("alice")
    model.add_agent("bob")
    with FakeHive(model) as running:
        yield running


@dataclass
class Watch:
    """What a page did that no page of ours may do."""

    origin: str
    faults: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()
    """Beginnings of console texts that the test brings about on purpose."""

    def on_page(self, page: Page) -> None:
        """Note every error, every violation of the policy, every request to another host."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        page.on("request", lambda request: self._request(request.url))

    def _console(self, message: ConsoleMessage) -> None:
        # Chromium reports every failed request as an error of the page, however well it is handled.
        if message.type in ("error", "warning") and not message.text.startswith(
            self.expected or ("\0",)
        ):
            self.faults.append(f"{message.type}: {message.text}")

    def _request(self, url: str) -> None:
        if not url.startswith((self.origin, "data:")):
            self.faults.append(f"a request to {url}")


@pytest.fixture
def watch(hive: FakeHive) -> Iterator[Watch]:
    """Fail the test at its end if the page did what it may not do."""
    watching = Watch(hive.url)
    yield watching
    assert watching.faults == []


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Open a fresh profile of the size of a small laptop."""
    fresh = browser.new_context(viewport={"width": 1280, "height": 800})
    fresh.set_default_timeout(PATIENCE_MS)
    yield fresh
    fresh.close()


@pytest.fixture
def page(context: BrowserContext, watch: Watch) -> Page:
    """Give a watched page, not yet anywhere."""
    fresh = context.new_page()
    watch.on_page(fresh)
    return fresh


@pytest.fixture
def live(page: Page, hive: FakeHive) -> Page:
    """Open the hive's page and wait until it is live."""
    page.goto(hive.url)
    page.locator("#connection.is-live").wait_for()
    return page

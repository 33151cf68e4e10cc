"""Takes the pictures that README and docs/operator.md show.

    .venv/bin/python -m tests.browser.pictures [DIRECTORY]

Without a directory they are written to ``docs/images``; with one, every page is taken there in
light and dark, on a desk, on a phone (the whole page) and on a wall, to be looked at.
"""

import sys
import time
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, Page

from tests.browser.chromium import chromium
from tests.browser.fake_hive import FakeHive
from tests.browser.hive_model import HiveModel
from tests.browser.meadow import fill

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
PLACES: Final = {
    "dashboard": "#/hive",
    "decisions": "#/decisions",
    "reminders": "#/reminders",
    "messages": "#/messages",
    "forge": "#/forge",
    "agent": "#/agent/alice",
    "system": "#/system",
}
DESK: Final = (1280, 800)
PHONE: Final = (360, 740)
WALL: Final = (2560, 1300)


class Morning:
    """A clock of the hour before now: each look at it comes half a minute after the last."""

    def __init__(self) -> None:
        self.at = time.time() - 3000

    def __call__(self) -> float:
        self.at = min(self.at + 30, time.time())
        return self.at


def take(
    browser: Browser,
    url: str,
    target: Path,
    size: tuple[int, int],
    scheme: Literal["light", "dark"],
    suffix: str = "",
) -> None:
    """Take every page once."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    page = context.new_page()
    for name, place in PLACES.items():
        show(page, url, place)
        page.screenshot(path=target / f"{name}{suffix}.png", full_page=size == PHONE)
    context.close()


def show(page: Page, url: str, place: str) -> None:
    """Go to a place and wait until what it fetches is there."""
    page.goto(f"{url}/{place}")
    page.locator("#connection.is-live").wait_for()
    if "decisions" in place:
        page.locator(".diff").wait_for()
    if "agent" in place:
        page.locator(".line").nth(3).wait_for()
    if "system" in place or "agent" in place:
        page.locator("figure:visible").nth(3).wait_for()


def main(arguments: list[str]) -> None:
    """Serve a hive, look at it, and write down what is seen."""
    model = HiveModel(clock=Morning())
    model.add_agent("queen", role="manager")
    model.add_agent("alice")
    model.add_agent("bob")
    with FakeHive(model) as hive, chromium() as browser:
        fill(hive)
        model.clock = time.time
        if not arguments:
            take(browser, hive.url, IMAGES, DESK, "light")
        else:
            target = Path(arguments[0])
            target.mkdir(parents=True, exist_ok=True)
            for scheme in ("light", "dark"):
                take(browser, hive.url, target, DESK, scheme, f"-{scheme}")
                take(browser, hive.url, target, PHONE, scheme, f"-{scheme}-phone")
                take(browser, hive.url, target, WALL, scheme, f"-{scheme}-wall")


if __name__ == "__main__":
    main(sys.argv[1:])

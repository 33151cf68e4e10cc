"""The machine's own Chromium, headless: for tests, for pictures and for benchmarks."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, sync_playwright

ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class NoChromiumError(Exception):
    """There is none on this machine."""


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """Run it until the block is left; ``arguments`` join those that a headless machine needs.

    Playwright keeps an event loop running in the thread meanwhile.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise NoChromiumError("Chromium is not installed on this machine")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS, *arguments])
        try:
            yield running
        finally:
            running.close()

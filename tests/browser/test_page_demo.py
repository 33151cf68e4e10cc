"""The demo, played through the page: its server, its agents, and an operator in Chromium."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.conftest import Watch
from tests.promises import promise

COMMAND = (sys.executable, "-m", "hyperhive.cli.main", "demo", "--runtime", "process")
STEP_MS = 90_000


@pytest.fixture
def demo() -> Iterator[subprocess.Popen[str]]:
    """Play the demo, for somebody at the page, in a directory of its own."""
    place = Path(tempfile.mkdtemp(prefix="hh-", dir="/tmp"))
    environment = {**os.environ, "TMPDIR": str(place), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        COMMAND,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as playing:
        yield playing
        if playing.poll() is None:
            playing.kill()
    shutil.rmtree(place, ignore_errors=True)


def link_of(demo: subprocess.Popen[str]) -> str:
    """Read the link that the demo prints."""
    assert demo.stdout is not None
    for line in demo.stdout:
        if found := re.search(r"http://\S+/login/\S+", line):
            return found.group()
    raise AssertionError("The demo printed no link.")


def approved(page: Page, title: str) -> Locator:
    """Say yes to an approval when it is there, and give the row that it becomes."""
    card = page.locator("#waiting [data-approval]", has_text=title)
    card.locator(".fields").first.wait_for(timeout=STEP_MS)
    card.get_by_role("button", name="Approve").click()
    return page.locator("#decided .decided", has_text=title)


@promise("C3")
def test_the_whole_demo_is_played_through_the_page(
    demo: subprocess.Popen[str], context: BrowserContext
) -> None:
    link = link_of(demo)
    watch = Watch(link.partition("/login/")[0])
    page = context.new_page()
    watch.on_page(page)

    page.goto(link)
    expect(page.locator(".card")).to_have_count(3)
    expect(page.locator("#flow-rows")).to_contain_text("bob", timeout=STEP_MS)
    page.locator(".places a", has_text="Decisions").click()
    question = page.locator("#waiting [data-question]")
    question.locator(".answers .button").first.click(timeout=STEP_MS)
    expect(page.locator("#decided [data-question] .chip")).to_have_text("answered")
    expect(approved(page, "Spawn the agent carol").locator(".chip")).to_have_text(
        "done", timeout=STEP_MS
    )
    changed = approved(page, "Change the configuration of carol")
    expect(changed.locator(".chip")).to_have_text("done", timeout=STEP_MS)
    page.locator(".places a", has_text="Hive").click()
    expect(page.locator("[data-agent='carol']")).to_be_visible()
    published = page.locator("#flow-rows .row", has_text="Published")
    published.wait_for(timeout=STEP_MS)
    page.locator(".places a", has_text="System").click()
    expect(page.locator("#system .tiles b")).to_have_count(5)
    page.locator(".places a", has_text="Hive").click()
    page.locator("#unread").click()

    expect(page.locator("#flow-rows .message-detail .body").first).not_to_be_empty()
    demo.send_signal(signal.SIGINT)
    said = demo.communicate(timeout=60)[0]
    assert demo.returncode == 0, said
    watch.expected = ("Failed to load resource: net::ERR",)
    assert [fault for fault in watch.faults if "net::ERR" not in fault] == []

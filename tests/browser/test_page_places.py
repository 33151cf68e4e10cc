"""The page's places: each has an address, shares one stream with other tabs, and is open to all."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Watch
from tests.browser.fake_hive import SECRET, FakeHive
from tests.browser.meadow import fill
from tests.browser.pictures import PLACES, show
from tests.browser.test_page_safety import CONTRASTS, HOSTILE, SCHEMES
from tests.promises import promise

AXE = "axe-core@4.10.3"
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the source of the accessibility checker, a test's tool that is not shipped."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed on this machine")
    target = tmp_path_factory.mktemp("axe")
    command = ["npm", "install", "--silent", "--no-save", "--prefix", str(target), AXE]
    subprocess.run(command, check=True, timeout=120)
    return Path(target, "node_modules/axe-core/axe.min.js").read_text()


@promise("G3")
def test_no_place_fails_the_accessibility_checker(page: Page, hive: FakeHive, axe: str) -> None:
    fill(hive)
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(hive.url)
    page.evaluate(axe)
    found: dict[str, Any] = {}
    for name, place in PLACES.items():
        show(page, hive.url, place)
        rules = {"runOnly": {"type": "tag", "values": TAGS}}
        answer = page.evaluate("rules => axe.run(document, rules)", rules)
        for violation in answer["violations"]:
            found[f"{name}: {violation['id']}"] = [n["html"][:150] for n in violation["nodes"][:3]]

    assert found == {}, json.dumps(found, indent=1)


def test_no_place_needs_scrolling_sideways(page: Page, hive: FakeHive) -> None:
    fill(hive)
    for place in PLACES.values():
        show(page, hive.url, place)
        for width in (360, 700, 1280, 2560):
            page.set_viewport_size({"width": width, "height": 740})
            needed = page.evaluate("document.documentElement.scrollWidth")
            assert needed <= width, (place, width)


@promise("G3")
def test_every_text_of_every_place_stands_out_in_the_light_and_in_the_dark(
    page: Page, hive: FakeHive
) -> None:
    fill(hive)
    page.emulate_media(reduced_motion="reduce")
    for place in PLACES.values():
        show(page, hive.url, place)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            faint = [text for ratio, text in page.evaluate(CONTRASTS) if ratio < 4.5]
            assert faint == [], (place, scheme)


@promise("E4")
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_string_is_text_in_every_place(live: Page, hive: FakeHive, hostile: str) -> None:
    model = hive.model
    model.ask(hostile, hostile, options=[hostile])
    model.ask(hostile, hostile, target="alice")
    shown = {"details": hostile, "payload": {hostile: [hostile, {"a": hostile}]}, "x": hostile}
    model.propose(hostile, hostile, hostile, shown, agent=hostile)
    model.decide(model.propose(hostile, hostile, hostile), "denied", note=hostile, error=hostile)
    model.move_reminder(model.remind("alice", hostile), "failed", last_error=hostile)
    model.set_forge(kind=hostile, url=hostile, state=hostile, reason=hostile)
    model.set_pull(1, title=hostile, author=hostile, url=hostile, reviewers=[hostile, "alice"])
    turn = model.start_turn("alice")
    for kind in ("text", "tool_call", "tool_result", "note", hostile):
        model.write_line(turn, kind, text=hostile, name=hostile, result=hostile)
    model.ask("alice", hostile, target=hostile)
    entry = dict.fromkeys(("actor", "via", "verb", "subject", "digest"), hostile)
    hive.audit = [{"id": 1, "at": 1.0, "detail": {}, **entry}]
    kinds = ("turns", "cost_usd", "tokens", "messages")
    hive.figures["agents"] = {hostile: {kind: [1.0] for kind in kinds}}
    for place in ("decisions", "reminders", "forge", "agent/alice", "system"):
        live.goto(f"{hive.url}/#/{place}")
        if place == "agent/alice":
            live.locator(".line").nth(4).wait_for()
        if place == "system":
            live.locator("#system figure").nth(3).wait_for()
        if place == "decisions":
            live.locator(".fields").first.wait_for()

    assert live.title().endswith("meadow · Hyperhive")
    assert live.locator("main :is(img, script, svg:not(figure > svg))").count() == 0
    assert live.locator("a[href^='javascript:' i]").count() == 0


@pytest.mark.parametrize("place", ["decisions", "reminders", "forge", "system", "agent/alice"])
def test_a_place_is_opened_by_its_address_and_left_by_going_back(
    live: Page, hive: FakeHive, place: str
) -> None:
    live.goto(f"{hive.url}/#/{place}")
    section = live.locator(f"#{place.split('/')[0]}")
    expect(section).to_be_visible()
    expect(live.locator("#agent-cards")).to_be_hidden()

    live.go_back()

    expect(live.locator("#agent-cards")).to_be_visible()
    expect(section).to_be_hidden()


def test_a_login_leads_back_to_the_place_it_interrupted(
    page: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = ("Failed to load resource",)
    hive.trouble.logged_out = True
    page.goto(f"{hive.url}/#/decisions")
    expect(page.locator("#secret")).to_be_focused()
    expect(page.locator("#login-send")).to_be_enabled()
    page.keyboard.type(SECRET)
    page.keyboard.press("Enter")

    expect(page.locator("#decisions")).to_be_visible()


@promise("G4")
def test_ten_tabs_share_one_stream(context: BrowserContext, hive: FakeHive) -> None:
    tabs = [context.new_page() for _ in range(10)]
    for tab in tabs:
        tab.goto(hive.url)
        tab.locator("#connection.is-live").wait_for()

    hive.model.send("alice", "bob", "to all tabs")

    for tab in tabs:
        expect(tab.locator("#flow-rows")).to_contain_text("to all tabs")
    assert hive.streams == 1


@promise("G4")
def test_the_stream_goes_on_when_the_tab_that_began_it_is_closed(
    context: BrowserContext, hive: FakeHive
) -> None:
    first, second = context.new_page(), context.new_page()
    for tab in (first, second):
        tab.goto(hive.url)
        tab.locator("#connection.is-live").wait_for()
    first.close()

    hive.model.send("alice", "bob", "to the other")

    expect(second.locator("#flow-rows")).to_contain_text("to the other")


def test_every_place_is_reached_and_a_decision_made_by_keyboard(live: Page, hive: FakeHive) -> None:
    ident = hive.model.ask("alice", "Which?", options=["a", "b"])
    expect(live.locator("#to-decide")).to_have_text("1")
    live.locator(".places a", has_text="Decisions").focus()
    live.keyboard.press("Enter")
    expect(live.locator("#waiting h2")).to_be_focused()
    expect(live.locator("#waiting [data-question]")).to_have_count(1)
    live.keyboard.press("Tab")
    live.keyboard.press("Tab")
    live.keyboard.press("Space")
    live.keyboard.press("Tab")
    live.keyboard.press("Tab")
    live.keyboard.press("Enter")

    expect(live.locator("#waiting [data-question]")).to_have_count(0)
    assert hive.model.questions[ident]["answer"] == "a"

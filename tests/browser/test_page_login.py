"""Logging in with the secret."""

import re

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Watch
from tests.browser.fake_hive import SECRET, FakeHive


def test_whoever_is_not_logged_in_is_led_to_the_login_and_back(
    page: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = ("Failed to load resource",)
    hive.trouble.logged_out = True
    page.goto(hive.url)
    expect(page).to_have_url(re.compile("/login$"))
    expect(page.locator("#secret")).to_be_focused()

    expect(page.locator("#login-send")).to_be_enabled()

    page.keyboard.type(SECRET)
    page.keyboard.press("Enter")

    expect(page.locator("#connection")).to_have_text("live")


def test_a_login_that_ends_loses_nothing_that_is_typed(
    context: BrowserContext, live: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = ("Failed to load resource",)
    live.goto(f"{hive.url}/#/messages")
    words = live.locator("#compose-body")
    words.fill("a long text")
    hive.trouble.logged_out = True
    live.get_by_role("button", name="Send").click()
    notice = live.locator("#login-notice")
    expect(notice).to_be_visible()

    with context.expect_page() as opened:
        notice.get_by_role("link").click()
    opened.value.locator("#secret").fill(SECRET)
    opened.value.locator("#login-send").click()
    opened.value.locator("#connection.is-live").wait_for()

    expect(words).to_have_value("a long text")
    live.get_by_role("button", name="Send").click()
    expect(live.locator("#flow-rows")).to_contain_text("a long text")
    expect(notice).to_be_hidden()


def test_a_secret_that_is_typed_before_the_page_is_ready_goes_into_no_address(
    page: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = ("Failed to load resource",)
    page.route("**/static/login.js", lambda route: route.abort())
    page.goto(f"{hive.url}/login")

    page.locator("#secret").fill(SECRET)
    page.locator("#secret").press("Enter")
    page.locator("#login-form").evaluate("form => form.submit()")
    page.wait_for_load_state()

    assert [seen.path for seen in hive.seen if "?" in seen.path] == []
    assert "?" not in page.url


def test_a_wrong_secret_is_refused_where_it_was_typed(
    page: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = ("Failed to load resource",)
    page.goto(f"{hive.url}/login")

    page.locator("#secret").fill("wrong")
    page.locator("#login-send").click()

    expect(page.locator("#login-refusal")).to_have_text(
        "That is not the secret. Look in the secret file."
    )
    expect(page).to_have_url(re.compile("/login$"))


def test_the_login_page_names_the_one_time_link(page: Page, hive: FakeHive) -> None:
    page.goto(f"{hive.url}/login")

    expect(page.locator("main")).to_contain_text("hyperhive up prints a one-time link")

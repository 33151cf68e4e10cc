"""Logging in with the secret."""

import re

from playwright.sync_api import Page, expect

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

    page.keyboard.type(SECRET)
    page.keyboard.press("Enter")

    expect(page.locator("#connection")).to_have_text("live")


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

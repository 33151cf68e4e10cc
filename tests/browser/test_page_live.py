"""The page follows the hive: what happens is shown, and a lost connection loses nothing."""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import FAILED_REQUEST, Watch
from tests.browser.fake_hive import FakeHive
from tests.promises import promise


def test_an_agent_is_a_card_with_its_state_and_inbox(live: Page, hive: FakeHive) -> None:
    hive.model.set_status("alice", "reading the store")
    hive.model.send("queen", "alice", "one")
    hive.model.lease(hive.model.send("queen", "alice", "two"))
    hive.model.start_turn("alice")
    hive.model.set_state("alice", "rate_limited", "until the hour is over")

    card = live.locator("[data-agent=alice]")
    expect(card.locator(".chip")).to_have_text("rate limited")
    expect(card.locator(".reason")).to_have_text("until the hour is over")
    expect(card.locator(".status")).to_contain_text("reading the store")
    expect(card.locator(".count:visible")).to_have_text(["1 queued", "1 leased"])
    expect(card.locator(".turn")).to_have_text("turn 1")


def test_the_manager_comes_first_and_an_agent_that_is_added_finds_its_place(
    live: Page, hive: FakeHive
) -> None:
    hive.model.add_agent("anna")

    names = live.locator("#agent-cards h3")
    expect(names).to_have_text(["queen", "alice", "anna", "bob"])


def test_an_agent_that_is_removed_leaves_the_page(live: Page, hive: FakeHive) -> None:
    hive.model.remove_agent("alice")

    expect(live.locator("#agent-cards h3")).to_have_text(["queen", "bob"])


def test_a_message_shows_its_way_and_follows_its_life(live: Page, hive: FakeHive) -> None:
    ident = hive.model.send("alice", "bob", "please look")
    row = live.locator(f"#flow-rows [data-id='{ident}'] .row")
    expect(row).to_contain_text("please look")
    expect(row.locator(".name")).to_have_text(["alice", "bob"])
    expect(row.locator(".chip")).to_have_text("queued")

    hive.model.lease(ident)
    expect(row.locator(".chip")).to_have_text("leased")

    hive.model.release(ident)
    expect(row.locator(".marks")).to_have_text("attempt 2")
    expect(row.locator(".chip")).to_have_text("queued")

    hive.model.lease(ident)
    hive.model.ack(ident)
    expect(row.locator(".chip")).to_have_text("acked")


def test_an_alert_is_announced_and_goes_when_it_is_over(live: Page, hive: FakeHive) -> None:
    expect(live.locator("#alerts")).to_have_attribute("aria-live", "polite")

    hive.model.raise_alert("disk", "the disk is full", "critical", agent="bob")
    expect(live.locator(".alert")).to_contain_text("the disk is full")

    hive.model.clear_alert("disk")
    expect(live.locator(".alert")).to_have_count(0)


def test_everything_is_learnt_from_one_snapshot_and_one_stream(live: Page, hive: FakeHive) -> None:
    for number in range(20):
        hive.model.send("alice", "bob", f"number {number}")
    expect(live.locator("#flow-rows")).to_contain_text("number 19")

    assert len(hive.requests("GET", "/api/state")) == 1
    assert len(hive.requests("GET", "/dashboard/stream")) == 1
    assert hive.requests("GET", "/api/messages") == []


@promise("E2")
def test_a_lost_stream_is_resumed_behind_the_last_event(live: Page, hive: FakeHive) -> None:
    hive.model.send("alice", "bob", "before")
    expect(live.locator("#flow-rows")).to_contain_text("before")

    hive.cut_streams()
    hive.model.send("alice", "bob", "meanwhile")

    expect(live.locator("#flow-rows")).to_contain_text("meanwhile")
    expect(live.locator("#flow-rows > li")).to_have_count(2)
    expect(live.locator("#connection")).to_have_text("live")
    assert len(hive.requests("GET", "/api/state")) == 1
    first, *_, last = hive.requests("GET", "/dashboard/stream")
    assert f"after={hive.model.seq - 1}&" in last.path != first.path


def test_a_stream_that_cannot_be_had_is_tried_again_until_it_can(
    live: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = (FAILED_REQUEST,)
    hive.trouble.streams_refused = True
    hive.cut_streams()
    expect(live.locator("#connection")).to_have_text("reconnecting")
    hive.model.send("alice", "bob", "meanwhile")

    hive.trouble.streams_refused = False

    expect(live.locator("#connection")).to_have_text("live")
    expect(live.locator("#flow-rows")).to_contain_text("meanwhile")


def test_a_page_without_a_connection_says_since_when_it_is_stale(
    page: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = (FAILED_REQUEST,)
    page.clock.install()
    page.goto(hive.url)
    page.locator("#connection.is-live").wait_for()
    hive.trouble.streams_refused = True
    hive.cut_streams()
    expect(page.locator("#connection")).to_have_text("reconnecting")

    page.clock.fast_forward(21_000)

    expect(page.locator("#connection")).to_have_text("stale")
    expect(page.locator("#stale-notice")).to_contain_text("This is what was true at")


def test_a_stream_that_falls_silent_is_replaced(page: Page, hive: FakeHive) -> None:
    page.add_init_script("delete globalThis.SharedWorker")
    page.clock.install()
    page.goto(hive.url)
    page.locator("#connection.is-live").wait_for()

    # It is gone for a moment only, so the second stream is what tells.
    with page.expect_request("**/dashboard/stream?*"):
        page.clock.fast_forward(46_000)

    page.clock.run_for(1_000)
    expect(page.locator("#connection")).to_have_text("live")
    assert len(hive.requests("GET", "/dashboard/stream")) == 2


def test_another_history_is_begun_with_a_new_snapshot(live: Page, hive: FakeHive) -> None:
    hive.model.send("alice", "bob", "of the first history")
    expect(live.locator("#flow-rows > li")).to_have_count(1)
    hive.model.messages.clear()
    hive.model.send("bob", "alice", "of the second history")

    hive.model.restore()
    hive.cut_streams()

    expect(live.locator("#flow-rows > li")).to_have_count(1)
    expect(live.locator("#flow-rows")).to_contain_text("of the second history")
    expect(live.locator("#connection")).to_have_text("live")


def test_a_page_that_is_too_far_behind_takes_a_new_snapshot(
    live: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = (FAILED_REQUEST,)
    hive.trouble.streams_refused = True
    hive.cut_streams()
    hive.model.send("alice", "bob", "long ago")
    hive.model.trimmed_to = hive.model.seq
    hive.trouble.streams_refused = False

    expect(live.locator("#flow-rows")).to_contain_text("long ago")
    expect(live.locator("#connection")).to_have_text("live")


def test_a_login_that_has_ended_leads_to_the_login_page(
    live: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = (FAILED_REQUEST,)
    hive.trouble.logged_out = True

    hive.cut_streams()

    expect(live).to_have_url(re.compile("/login$"))


def test_the_title_and_header_count_what_the_operator_has_not_read(
    live: Page, hive: FakeHive
) -> None:
    hive.model.send("alice", "operator", "a question")

    expect(live).to_have_title("(1) meadow · Hyperhive")
    expect(live.locator("#unread")).to_have_text("1 unread")


def test_a_hive_that_goes_down_says_so(live: Page, hive: FakeHive) -> None:
    hive.model.stop()

    expect(live.locator("#connection")).to_have_text("hive is stopping")

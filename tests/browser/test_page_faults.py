"""What goes wrong around an open page: clocks, proxies, versions, others who look at it too."""

import re

from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import FAILED_REQUEST, PATIENCE_MS, Watch
from tests.browser.fake_hive import FakeHive

HIDDEN = """
Object.defineProperty(document, "hidden", { get: () => window.away === true });
window.told = [];
window.Notification = class extends EventTarget {
  static permission = "default";
  static async requestPermission() { return (Notification.permission = "granted"); }
  constructor(text, options) { super(); window.told.push([text, options.tag]); }
};
"""

REFUSING = """() => {
  window.Notification = class {
    static permission = "granted";
    constructor() { throw new TypeError("Illegal constructor."); }
  };
}"""


def test_ages_are_right_where_the_browsers_clock_is_not(page: Page, hive: FakeHive) -> None:
    page.add_init_script("const now = Date.now; Date.now = () => now() - 7_200_000;")
    hive.model.set_state("alice", "busy")

    page.goto(hive.url)

    since = page.locator("[data-agent='alice'] .now .since")
    expect(since).to_have_text(re.compile(r"^(now|\d+s)$"))


def test_a_stream_that_a_proxy_holds_back_is_asked_for_piece_by_piece(
    page: Page, hive: FakeHive
) -> None:
    page.add_init_script("delete globalThis.SharedWorker")
    page.clock.install()
    hive.trouble.held_up = True
    page.goto(hive.url)
    hive.wait_for_streams(1)

    page.clock.fast_forward(9_000)
    page.clock.run_for(1_000)
    hive.model.send("alice", "bob", "through the proxy")

    expect(page.locator("#flow-rows")).to_contain_text("through the proxy")
    expect(page.locator("#connection")).to_have_text("live")
    hive.model.send("alice", "bob", "and again")
    expect(page.locator("#flow-rows")).to_contain_text("and again")
    assert len(hive.requests("GET", "/api/state")) == 1


def test_a_page_of_another_version_offers_to_be_loaded_anew(live: Page, hive: FakeHive) -> None:
    hive.model.start("0.2.0")

    notice = live.locator("#version-notice")
    expect(notice).to_be_visible()
    with live.expect_navigation():
        notice.get_by_role("link").click()
    expect(live.locator("#version-notice")).to_be_hidden()


def test_two_browsers_see_what_either_does(
    live: Page, browser: Browser, hive: FakeHive, watch: Watch
) -> None:
    other = browser.new_context(viewport={"width": 360, "height": 740})
    other.set_default_timeout(PATIENCE_MS)
    phone = other.new_page()
    watch.on_page(phone)
    phone.goto(f"{hive.url}/#/decisions")
    hive.model.ask("alice", "Which?", options=["a", "b"])

    phone.locator("#waiting .answers .button").first.click()

    expect(live.locator("#to-decide")).to_be_hidden()
    live.locator("[data-agent='bob']").get_by_role("button", name="Pause").click()
    phone.goto(f"{hive.url}/#/agent/bob")
    expect(phone.locator("#agent .standing")).to_contain_text("paused by the operator")
    other.close()


def test_who_looks_elsewhere_is_told_who_waits_and_never_what(
    context: BrowserContext, page: Page, hive: FakeHive
) -> None:
    context.add_init_script(HIDDEN)
    page.goto(hive.url)
    page.get_by_role("button", name="Notify me").click()
    expect(page.get_by_role("button", name="Notices on")).to_be_visible()
    hive.model.send("alice", "operator", "seen by who looks")
    expect(page.locator("#unread")).to_have_text("1 unread")

    page.evaluate("window.away = true")
    hive.model.send("alice", "operator", "the secret")
    hive.model.ask("bob", "which secret?", target="alice")
    hive.model.propose("queen", "the secret plan")
    hive.model.raise_alert("spend:alice", "the secret sum", agent="alice")
    hive.model.raise_alert("crashed:bob", "the secret crash", "error", agent="bob")

    expect(page).to_have_title("(4) meadow · Hyperhive")
    assert page.evaluate("window.told") == [
        ["You are told here · meadow", "on"],
        ["alice wrote to you · meadow", "message-2"],
        ["queen asks for an approval · meadow", "approval-1"],
        ["An alert about alice stands on the page · meadow", "alert-spend:alice"],
        ["An error about bob stands on the page · meadow", "alert-crashed:bob"],
    ]


def test_a_browser_that_refuses_notices_loses_the_button_and_nothing_else(
    context: BrowserContext, page: Page, hive: FakeHive
) -> None:
    context.add_init_script(HIDDEN)
    page.goto(f"{hive.url}/#/agent/alice")
    page.get_by_role("button", name="Notify me").click()
    expect(page.get_by_role("button", name="Notices on")).to_be_visible()
    page.evaluate(REFUSING)
    page.evaluate("window.away = true")

    hive.model.send("alice", "operator", "the secret")
    hive.model.ack(hive.model.send("bob", "alice", "heard all the same"))

    expect(page.locator("#unread")).to_have_text("1 unread")
    expect(page.get_by_role("button", name="Notices on")).to_have_count(0)
    page.evaluate("window.away = false")
    page.locator("[data-filter='all']").click()
    expect(page.locator(".inbox-rows .row")).to_have_count(2)


def test_a_listener_that_fails_is_reported_and_keeps_nothing_from_the_others(live: Page) -> None:
    told = live.evaluate(
        """async () => {
          const { Store } = await import("/static/state/store.js");
          const store = new Store({});
          const heard = [];
          const reported = [];
          addEventListener("error", (event) => {
            reported.push(event.message);
            event.preventDefault();
          });
          store.hear(() => { throw new Error("of the test"); });
          store.hear((event) => heard.push(event));
          for (const event of [1, 2]) store.announce(event);
          return [heard, reported];
        }"""
    )

    assert told == [[1, 2], ["Uncaught Error: of the test"] * 2]


def test_an_agents_page_that_missed_events_for_ever_begins_anew(
    live: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = (FAILED_REQUEST,)
    live.goto(f"{hive.url}/#/agent/alice")
    expect(live.locator("#agent .filter").first).to_be_visible()
    hive.trouble.streams_refused = True
    hive.cut_streams()
    hive.model.remind("alice", "hangs since yesterday")
    hive.model.send("bob", "alice", "sent yesterday")
    hive.model.trimmed_to = hive.model.seq
    hive.trouble.streams_refused = False

    expect(live.locator(".thread")).to_contain_text("hangs since yesterday")
    expect(live.locator(".inbox-rows .row")).to_contain_text("sent yesterday")

"""Writing from the page: with the keyboard alone, with refusals, and after a lost answer."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import FAILED_REQUEST, Watch
from tests.browser.fake_hive import FakeHive


def write(page: Page, body: str, to: str = "bob") -> None:
    """Fill the box in and send it."""
    page.locator("#compose-to").select_option(to)
    page.locator("#compose-body").fill(body)
    page.locator("#compose-send").click()


def test_a_message_is_sent_with_the_keyboard_alone(live: Page, hive: FakeHive) -> None:
    for _ in range(3):
        live.keyboard.press("Tab")
    expect(live.locator(".skip a", has_text="Write")).to_be_focused()
    live.keyboard.press("Enter")
    expect(live.locator("#compose-body")).to_be_focused()
    live.keyboard.press("Shift+Tab")
    live.keyboard.type("ali")
    live.keyboard.press("Tab")
    live.keyboard.type("hello from the keys")
    live.keyboard.press("Control+Enter")

    expect(live.locator("#flow-rows")).to_contain_text("hello from the keys")
    expect(live.locator("#compose-result")).to_have_text("Sent to alice, who is ready.")
    expect(live.locator("#compose-body")).to_have_value("")
    expect(live.locator("#compose-body")).to_be_focused()


def test_messages_are_walked_and_opened_with_the_keyboard(live: Page, hive: FakeHive) -> None:
    for number in range(4):
        hive.model.send("alice", "bob", f"message {number}")
    expect(live.locator("#flow-rows > li")).to_have_count(4)
    assert live.locator("#flow-rows .row[tabindex='0']").count() == 1

    live.locator("#flow-rows .row[tabindex='0']").focus()
    live.keyboard.press("Home")
    live.keyboard.press("ArrowDown")
    live.keyboard.press("Enter")

    expect(live.locator("[data-id='2'] .body")).to_have_text("message 1")


def test_everyone_can_be_written_to(live: Page, hive: FakeHive) -> None:
    write(live, "all hands", to="*")

    expect(live.locator("#flow-rows > li")).to_have_count(3)
    expect(live.locator("#compose-result")).to_have_text("Sent to queen, alice, bob.")


def test_a_refusal_is_shown_where_it_was_clicked_and_the_text_stays(
    live: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = (FAILED_REQUEST,)
    problem = {"detail": "The body has 20000 bytes; the limit is 16384.", "remedy": "Send a path."}
    hive.trouble.refusals["/api/messages"] = (413, problem)

    write(live, "long text")

    expect(live.locator("#compose-refusal")).to_have_text(
        "The body has 20000 bytes; the limit is 16384. Send a path."
    )
    expect(live.locator("#compose-body")).to_have_value("long text")


def test_a_text_that_is_sent_again_keeps_its_key_and_another_text_gets_another(
    live: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = (FAILED_REQUEST,)
    hive.trouble.refusals["/api/messages"] = (503, {"detail": "Not now."})
    write(live, "once")
    expect(live.locator("#compose-refusal")).to_be_visible()
    del hive.trouble.refusals["/api/messages"]

    live.locator("#compose-send").click()
    expect(live.locator("#flow-rows > li")).to_have_count(1)
    write(live, "twice")
    expect(live.locator("#flow-rows > li")).to_have_count(2)

    first, again, other = (seen.body["key"] for seen in hive.requests("POST", "/api/messages"))
    assert first == again != other


def test_a_reply_names_what_it_answers(live: Page, hive: FakeHive) -> None:
    ident = hive.model.send("alice", "operator", "may I?")
    live.locator(f"[data-id='{ident}'] .row").click()
    live.get_by_role("button", name="Reply to alice").click()
    expect(live.locator("#compose-reply-text")).to_have_text("In reply to message 1 from alice")
    live.keyboard.type("you may")
    live.keyboard.press("Control+Enter")

    expect(live.locator("#flow-rows > li")).to_have_count(2)
    [sent] = hive.requests("POST", "/api/messages")
    assert (sent.body["to"], sent.body["in_reply_to"]) == ("alice", ident)
    expect(live.locator("#compose-reply")).to_be_hidden()


def test_a_draft_and_its_recipient_survive_updates(live: Page, hive: FakeHive) -> None:
    live.locator("#compose-to").select_option("bob")
    live.locator("#compose-body").fill("not yet done")
    live.locator("#compose-body").evaluate("e => e.setSelectionRange(4, 7)")

    hive.model.add_agent("anna")
    hive.model.send("alice", "bob", "an interruption")
    expect(live.locator("#compose-to option")).to_have_count(5)

    expect(live.locator("#compose-to")).to_have_value("bob")
    expect(live.locator("#compose-body")).to_have_value("not yet done")
    expect(live.locator("#compose-body")).to_be_focused()
    caret = live.locator("#compose-body").evaluate("e => [e.selectionStart, e.selectionEnd]")
    assert caret == [4, 7]

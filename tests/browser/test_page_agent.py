"""The page of one agent: what it does, live; its inbox, filtered; its turns; in its stead."""

import re

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from tests.browser.fake_hive import FakeHive
from tests.promises import promise


@pytest.fixture
def alice(live: Page, hive: FakeHive) -> Page:
    """Go to the page of alice."""
    live.goto(f"{hive.url}/#/agent/alice")
    expect(live.locator("#agent")).to_be_visible()
    return live


@promise("G2")
def test_a_turn_is_followed_line_by_line(alice: Page, hive: FakeHive) -> None:
    turn = hive.model.start_turn("alice")
    block = alice.locator(f"[data-turn='{turn}']")
    expect(block.locator(".chip")).to_have_text("running")

    hive.model.write_line(turn, "text", text="I look.")
    hive.model.write_line(turn, "tool_call", name="bash", arguments={"command": "ls"})
    hive.model.write_line(turn, "tool_result", name="bash", result="no", is_error=True)

    lines = block.locator(".line")
    expect(lines).to_have_count(3)
    expect(lines.nth(0)).to_contain_text("I look.")
    expect(lines.nth(1)).to_contain_text('{"command":"ls"}')
    expect(lines.nth(2)).to_have_class("line line-tool_result is-failed")

    hive.model.end_turn("alice", cost=0.5)
    expect(block.locator(".chip")).to_have_text("ok")
    expect(block.locator(".facts")).to_contain_text("$0.50")
    expect(alice.locator("tbody tr", has_text="$0.50")).to_be_visible()


def test_the_terminal_stays_where_it_is_read_and_counts_what_is_new(
    alice: Page, hive: FakeHive
) -> None:
    turn = hive.model.start_turn("alice")
    for number in range(200):
        hive.model.write_line(turn, "text", text=f"line {number}")
    scroller = alice.locator(".terminal-scroll")
    expect(alice.locator(".line")).to_have_count(200)
    expect(alice.locator(".line").last).to_be_in_viewport()

    scroller.evaluate("e => { e.scrollTop = 0; }")
    expect(alice.locator(".terminal .newer")).to_be_visible()
    hive.model.write_line(turn, "text", text="and one more")
    expect(alice.locator(".terminal .newer")).to_have_text("1 new")
    assert scroller.evaluate("e => e.scrollTop") == 0

    alice.locator(".terminal .newer").click()
    expect(alice.locator(".line").last).to_be_in_viewport()


def test_an_earlier_turn_is_shown_above(alice: Page, hive: FakeHive) -> None:
    for text in ("first", "second"):
        turn = hive.model.start_turn("alice")
        hive.model.write_line(turn, "text", text=text)
        hive.model.end_turn("alice")
    alice.reload()
    expect(alice.locator(".line")).to_have_text(["saidsecond"])

    alice.get_by_role("button", name="Earlier turn").click()

    expect(alice.locator(".line")).to_have_text(["saidfirst", "saidsecond"])


def test_what_was_earlier_comes_when_the_top_is_reached(alice: Page, hive: FakeHive) -> None:
    first = hive.model.start_turn("alice")
    hive.model.write_line(first, "text", text="the very first")
    hive.model.end_turn("alice")
    turn = hive.model.start_turn("alice")
    for number in range(2600):
        hive.model.write_line(turn, "text", text=f"line {number}")
    alice.reload()
    block = alice.locator(f"[data-turn='{turn}']")
    expect(block.get_by_role("button")).to_have_text("600 lines before these")
    expect(block.locator(".line")).to_have_count(2000)
    scroller = alice.locator(".terminal-scroll")

    scroller.evaluate("e => { e.scrollTop = 0; }")
    expect(block.get_by_role("button")).to_have_text("100 lines before these")
    scroller.evaluate("e => { e.scrollTop = 0; }")
    expect(block.get_by_role("button")).to_be_hidden()
    expect(block.locator(".line")).to_have_count(2600)
    expect(block.locator(".line").nth(100)).to_be_in_viewport()
    scroller.evaluate("e => { e.scrollTop = 0; }")

    expect(alice.locator(".line").first).to_have_text("saidthe very first")


def test_looking_elsewhere_for_a_while_leaves_what_is_read_as_it_is(
    page: Page, hive: FakeHive
) -> None:
    page.add_init_script(
        'Object.defineProperty(document, "hidden", { get: () => window.away === true });'
    )
    turn = hive.model.start_turn("alice")
    for number in range(60):
        hive.model.write_line(turn, "tool_result", name="bash", result=f"{number} " * 400)
    page.goto(f"{hive.url}/#/agent/alice")
    lines = page.locator(".line")
    expect(lines).to_have_count(60)
    lines.nth(7).locator("summary").click()
    before = page.locator(".terminal-scroll").evaluate("e => e.scrollTop")
    away = "window.away = %s; document.dispatchEvent(new Event('visibilitychange'));"

    page.evaluate(away % "true")
    hive.model.write_line(turn, "text", text="meanwhile")
    hive.model.end_turn("alice")
    page.evaluate(away % "false")

    expect(lines).to_have_count(61)
    expect(lines.nth(7).locator("details")).to_have_attribute("open", "")
    assert page.locator(".terminal-scroll").evaluate("e => e.scrollTop") == before
    asked = [s.path for s in hive.seen if s.path.startswith(f"/api/turns/{turn}/stream")]
    assert asked == [f"/api/turns/{turn}/stream?after={n}" for n in (-1, 59)]


def test_the_stream_of_a_turn_ends_when_the_page_is_left(alice: Page, hive: FakeHive) -> None:
    turn = hive.model.start_turn("alice")
    hive.model.write_line(turn, "text", text="one")
    expect(alice.locator(".line")).to_have_count(1)

    alice.locator(".places a", has_text="Hive").click()
    expect(alice.locator("#agent-cards")).to_be_visible()
    hive.model.write_line(turn, "text", text="two")
    alice.go_back()

    expect(alice.locator(".line")).to_have_text(["saidone", "saidtwo"])


def test_the_inbox_says_at_a_glance_who_waits_for_what(alice: Page, hive: FakeHive) -> None:
    for number in range(3):
        hive.model.ask("bob", f"question {number}", target="alice")
    hive.model.send("bob", "alice", "please look")
    hive.model.ack(hive.model.send("queen", "alice", "done long ago"))
    hive.model.send("alice", "bob", "I am at it")

    filters = alice.locator(".filter")
    expect(filters).to_have_text(
        [
            "unread 1 3 questions",
            "all 3 3 questions",
            "from: bob 1 3 questions",
            "from: queen 1 ",
            "to: bob 1 ",
        ]
    )
    rows = alice.locator(".inbox-rows .row")
    expect(rows).to_have_count(1)
    alice.locator("[data-filter='to bob']").click()
    expect(rows).to_contain_text("I am at it")
    expect(alice.locator("[data-filter='to bob']")).to_have_attribute("aria-pressed", "true")


def test_what_waits_is_listed_however_old_and_older_ones_are_paged_without_holes(
    live: Page, hive: FakeHive
) -> None:
    first = hive.model.send("bob", "alice", "of long ago")
    for number in range(450):
        hive.model.ack(hive.model.send("bob", "alice", f"message {number}"))
    live.goto(f"{hive.url}/#/agent/alice")
    rows = live.locator(".inbox-rows .row")
    expect(rows).to_have_text([re.compile("of long ago")])
    expect(live.locator("[data-filter='unread']")).to_have_text("unread 1 ")

    live.locator("[data-filter='all']").click()
    expect(rows).to_have_count(201)
    hive.model.lease(first)
    for more in (401, 451):
        live.locator(".inbox-panel").get_by_role("button", name="Older messages").click()
        expect(rows).to_have_count(more)
    expect(live.locator("[data-filter='unread']")).to_have_text("unread 1 ")


def test_its_reminders_are_listed_however_many_others_come_first(
    live: Page, hive: FakeHive
) -> None:
    for number in range(220):
        hive.model.remind("bob", f"look at run {number}")
    at = hive.model.clock() + 9_000
    later = hive.model.remind("alice", "look later", due_at=at, next_at=at + 60)
    sooner = hive.model.remind("alice", "look again", due_at=at + 30, next_at=at + 30)
    live.goto(f"{hive.url}/#/agent/alice")
    panel = live.get_by_role("region", name="Reminders", exact=True)
    expect(panel.locator("[data-reminder] .text")).to_have_text(["look again", "look later"])

    hive.model.move_reminder(later, "failed", last_error="it is a link")
    expect(panel.locator("[data-reminder] .text")).to_have_text(["look later", "look again"])
    for ident in (later, sooner):
        hive.model.move_reminder(ident, "cancelled")

    expect(panel).to_be_hidden()


def test_a_question_is_answered_in_the_agents_stead(alice: Page, hive: FakeHive) -> None:
    ident = hive.model.ask("bob", "which?", target="alice")
    card = alice.locator(f".inbox-panel [data-question='{ident}']")
    card.locator("textarea").fill("this one")

    card.get_by_role("button", name="Answer in the stead of alice").click()

    expect(card).to_have_count(0)
    assert hive.model.questions[ident]["answer"] == "this one"


def test_the_page_of_an_agent_that_is_yet_to_come_fills_when_it_does(
    live: Page, hive: FakeHive
) -> None:
    live.goto(f"{hive.url}/#/agent/carol")
    expect(live.locator("#agent")).to_contain_text("There is no agent “carol”.")

    hive.model.add_agent("carol", declared=False)

    expect(live.locator("#agent .agent-name")).to_have_text("carol")
    expect(live.locator("#agent .filter").first).to_be_visible()


@promise("G5")
def test_what_hangs_on_an_agent_is_listed_once_and_follows_events(
    alice: Page, hive: FakeHive
) -> None:
    asked = hive.model.ask("alice", "Which?")
    sent = hive.model.send("alice", "bob", "look at this")
    hive.model.set_forge()
    hive.model.set_pull(1, title="one flush", author="bob", reviewers=["alice"])
    threads = alice.locator(".thread .text")
    expect(threads).to_have_text(
        [
            "waits for an answer: Which?",
            "not yet taken up: look at this",
            "org-shared/docs#1, to be reviewed by you: one flush",
        ]
    )

    hive.model.lease(sent)
    hive.model.close_question(asked, "answered", "this one")
    hive.model.set_pull(1, state="merged")

    expect(threads).to_have_count(0)
    expect(alice.get_by_text("Nothing hangs on it.")).to_be_visible()
    assert len(hive.requests("GET", "/api/threads")) == 1


def test_an_open_thread_is_cancelled(live: Page, hive: FakeHive) -> None:
    ident = hive.model.remind("alice", "look again")
    live.goto(f"{hive.url}/#/agent/alice")
    thread = live.locator(".thread")
    expect(thread).to_contain_text("look again")

    thread.get_by_role("button", name="Cancel").click()
    thread.get_by_role("button", name="Cancel it").click()

    expect(thread).to_have_count(0)
    assert len(hive.requests("POST", f"/api/threads/reminder/{ident}/cancel")) == 1


def test_a_message_to_it_is_begun_from_its_page(alice: Page, hive: FakeHive) -> None:
    alice.locator("#agent").get_by_role("button", name="Write to it").click()

    expect(alice.locator("#compose-to")).to_have_value("alice")
    expect(alice.locator("#compose-body")).to_be_focused()
    assert alice.url == f"{hive.url}/#/messages"


def test_what_happens_to_a_message_while_messages_are_being_listed_is_shown(
    live: Page, hive: FakeHive
) -> None:
    ident = hive.model.send("bob", "alice", "are you there?")
    held: list[tuple[Route, APIResponse]] = []
    listing = "**/api/messages?agent=alice&limit=200"
    live.route(listing, lambda route: held.append((route, route.fetch())))
    live.goto(f"{hive.url}/#/agent/alice")
    facts = live.locator(".agent-head .facts")
    expect(facts).to_contain_text("1 queued")
    while not held:
        live.wait_for_timeout(10)

    hive.model.lease(ident)
    hive.model.ack(ident)
    expect(facts).to_contain_text("0 queued, 0 leased")
    [(route, answer)] = held
    route.fulfill(response=answer)

    live.locator("[data-filter='from bob']").click()
    expect(live.locator(".inbox-rows .row .chip")).to_have_text("acked")

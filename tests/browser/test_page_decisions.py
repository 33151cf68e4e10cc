"""What waits for a word of the operator: approvals, questions, reminders that failed."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watch
from tests.browser.fake_hive import FakeHive
from tests.browser.hive_model import Json
from tests.browser.meadow import DIFF
from tests.promises import promise


@pytest.fixture
def decisions(live: Page, hive: FakeHive) -> Page:
    """Go to the page of decisions."""
    live.goto(f"{hive.url}/#/decisions")
    expect(live.locator("#decisions")).to_be_visible()
    return live


@promise("G1")
def test_what_is_approved_is_what_was_fetched_and_shown(decisions: Page, hive: FakeHive) -> None:
    shown = {"details": "It is too small.", "payload": {"diff": DIFF, "commit": "4be1f0a"}}
    ident = hive.model.propose("queen", "Give alice more", "config_change", shown)
    card = decisions.locator(f"[data-approval='{ident}']")
    expect(card).to_contain_text("It is too small.")
    expect(card.locator(".diff-added")).to_have_text(
        ['+  memoryMax = "2G";', '+  environment.RUST_LOG = "info";']
    )
    expect(card.locator("dd").first).to_be_visible()

    card.get_by_role("button", name="Approve").click()

    expect(decisions.locator("#under-way")).to_contain_text("Give alice more")
    [seen] = hive.requests("POST", f"/api/approvals/{ident}/approve")
    assert seen.body == {"digest": f"digest-{ident}"}


@promise("G1")
def test_what_has_changed_since_it_was_shown_is_refused_beside_the_button(
    decisions: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = ("Failed to load resource",)
    ident = hive.model.propose("queen", "Start carol", "spawn", {"details": "first"})
    card = decisions.locator(f"[data-approval='{ident}']")
    expect(card).to_contain_text("first")
    hive.model.approvals[ident]["digest"] = "another"
    hive.model.shown_of[ident]["details"] = "second"

    card.get_by_role("button", name="Approve").click()

    expect(card.locator(".decide .refusal:visible")).to_contain_text("not what you were shown")
    expect(card).to_contain_text("second")
    assert hive.model.approvals[ident]["state"] == "pending"


def test_a_denial_carries_its_note_and_is_listed_as_decided(
    decisions: Page, hive: FakeHive
) -> None:
    ident = hive.model.propose("bob", "Delete the backups")
    card = decisions.locator(f"#waiting [data-approval='{ident}']")
    card.get_by_label("Note to bob").fill("keep a month")
    card.get_by_role("button", name="Deny").click()

    decided = decisions.locator(f"#decided [data-approval='{ident}']")
    expect(decided).to_contain_text("denied")
    expect(decisions.locator("#waiting")).to_contain_text("Nothing waits for you")
    decided.locator("summary").first.click()
    expect(decided).to_contain_text("note: keep a month")
    expect(decided.locator(".shown")).to_be_attached()


def test_what_asks_is_taken_off_the_list_without_a_no_or_an_answer(
    decisions: Page, hive: FakeHive
) -> None:
    proposed = hive.model.propose("bob", "Delete the backups")
    asked = hive.model.ask("alice", "Which colour?")
    approval = decisions.locator(f"#waiting [data-approval='{proposed}']")
    question = decisions.locator(f"#waiting [data-question='{asked}']")

    approval.get_by_role("button", name="Withdraw").click()
    expect(approval).to_contain_text("bob is told that “Delete the backups” was withdrawn.")
    approval.get_by_role("button", name="Withdraw it").click()
    question.get_by_role("button", name="Cancel question").click()
    expect(question).to_contain_text("Question 1 of alice is closed without an answer.")
    question.get_by_role("button", name="Cancel it").click()

    expect(decisions.locator("#waiting")).to_contain_text("Nothing waits for you")
    states = decisions.locator("#decided .decided .chip")
    expect(states).to_have_text(["cancelled", "cancelled"])


def test_another_operator_who_decided_first_takes_it_off_the_page(
    decisions: Page, hive: FakeHive
) -> None:
    ident = hive.model.propose("bob", "May I?")
    expect(decisions.locator("#waiting [data-approval]")).to_have_count(1)
    expect(decisions.locator("#to-decide")).to_have_text("1")
    expect(decisions).to_have_title("(1) Decisions · meadow · Hyperhive")

    hive.model.decide(ident, "denied")

    expect(decisions.locator("#waiting [data-approval]")).to_have_count(0)
    expect(decisions.locator("#to-decide")).to_be_hidden()


@pytest.mark.parametrize(
    ("facts", "words", "ticked", "answer"),
    [
        ({"options": ["red", "blue"]}, "green", [], "green"),
        ({"options": ["red", "blue"], "multi": True}, "", ["red", "blue"], ["red", "blue"]),
        ({"options": ["red"], "multi": True}, "and green", ["red"], ["red", "and green"]),
        ({}, "as you like", [], "as you like"),
    ],
)
def test_a_question_is_answered_by_options_or_in_words(
    decisions: Page,
    hive: FakeHive,
    facts: Json,
    words: str,
    ticked: list[str],
    answer: object,
) -> None:
    ident = hive.model.ask("alice", "Which colour?", **facts)
    card = decisions.locator(f"#waiting [data-question='{ident}']")
    for option in ticked:
        card.get_by_label(option, exact=True).check()
    card.locator("textarea").fill(words)

    card.get_by_role("button", name="Answer", exact=True).click()

    expect(decisions.locator("#decided")).to_contain_text("Which colour?")
    assert hive.model.questions[ident]["answer"] == answer


def test_one_of_several_options_is_an_answer_with_two_clicks_or_with_keys(
    live: Page, hive: FakeHive
) -> None:
    by_click = hive.model.ask("alice", "Which colour?", options=["red", "blue"])
    by_keys = hive.model.ask("alice", "Which shape?", options=["round", "a square " * 20])
    live.locator(".places a", has_text="Decisions").click()

    live.locator(f"[data-question='{by_click}']").get_by_role("button", name="blue").click()
    expect(live.locator("#decided")).to_contain_text("Which colour?")
    live.get_by_role("button", name="round").focus()
    live.keyboard.press("Tab")
    live.keyboard.press("Enter")

    expect(live.locator("#decided")).to_contain_text("Which shape?")
    assert hive.model.questions[by_click]["answer"] == "blue"
    assert hive.model.questions[by_keys]["answer"] == "a square " * 20


@pytest.mark.parametrize("place", ["decisions", "agent/alice"])
def test_a_question_whose_time_is_up_is_answered_late(
    live: Page, hive: FakeHive, place: str
) -> None:
    ident = hive.model.ask("alice", "Which colour?", options=["red", "blue"])
    hive.model.close_question(ident, "expired")
    live.goto(f"{hive.url}/#/{place}")
    if place == "decisions":
        live.locator(f"#decided [data-question='{ident}'] summary").click()
    else:
        live.locator("[data-filter='all']").click()
    question = live.locator(f".page [data-question='{ident}']:visible")
    expect(question).to_contain_text("An answer now is told as late.")
    expect(question.get_by_role("button", name="Cancel question")).to_be_hidden()

    question.get_by_role("textbox").fill("green")
    question.get_by_role("button", name="Answer", exact=True).click()

    expect(live.locator(".answering:visible")).to_have_count(0)
    assert hive.model.questions[ident]["answer"] == "green"


def test_an_answer_that_is_none_is_refused_where_it_was_clicked(
    decisions: Page, hive: FakeHive
) -> None:
    ident = hive.model.ask("alice", "Which colour?")
    card = decisions.locator(f"[data-question='{ident}']")

    card.get_by_role("button", name="Answer", exact=True).click()

    expect(card.locator(".refusal:visible")).to_have_text("Write an answer first.")
    assert hive.requests("POST", f"/api/questions/{ident}/answer") == []


def test_a_question_between_agents_asks_nothing_of_the_operator(
    decisions: Page, hive: FakeHive
) -> None:
    ident = hive.model.ask("bob", "Which files?", target="alice")
    card = decisions.locator(f"#between [data-question='{ident}']")
    expect(card).to_be_visible()
    expect(decisions.locator("#to-decide")).to_be_hidden()

    card.locator("textarea").fill("all of them")
    card.get_by_role("button", name="Answer in the stead of alice").click()

    expect(decisions.locator("#between")).to_be_hidden()
    assert hive.model.questions[ident]["answer"] == "all of them"


def test_what_is_typed_and_focused_survives_what_happens_meanwhile(
    decisions: Page, hive: FakeHive
) -> None:
    ident = hive.model.ask("alice", "Which colour?")
    words = decisions.locator(f"[data-question='{ident}'] textarea")
    words.fill("gre")
    words.focus()

    for number in range(30):
        hive.model.ask("bob", f"question {number}")
        hive.model.propose("queen", f"approval {number}")
    expect(decisions.locator("#waiting [data-question]")).to_have_count(31)

    expect(words).to_be_focused()
    expect(words).to_have_value("gre")


def test_a_reminder_that_failed_says_why_and_is_tried_again(live: Page, hive: FakeHive) -> None:
    ident = hive.model.remind("alice", "look at the run")
    hive.model.move_reminder(ident, "failed", attempts=5, last_error="it is a link")
    hive.model.remind("bob", "something else")
    expect(live.locator("#reminders-failed")).to_have_text("1")
    live.goto(f"{hive.url}/#/reminders")
    live.get_by_label("State", exact=True).select_option("failed")
    row = live.locator(f"#reminders [data-reminder='{ident}']")
    expect(row.locator(":scope > .refusal")).to_have_text("it is a link (after 5 attempts)")

    row.get_by_role("button", name="Retry").click()

    expect(row).to_have_count(0)
    live.get_by_label("State", exact=True).select_option("pending")
    expect(row).to_contain_text("look at the run")
    expect(live.locator("#reminders-failed")).to_be_hidden()


def test_a_reminder_is_found_by_agent_and_text_and_cancelled(live: Page, hive: FakeHive) -> None:
    ident = hive.model.remind("alice", "look at the run")
    hive.model.remind("bob", "look at the run, too")
    hive.model.remind("alice", "something else")
    live.goto(f"{hive.url}/#/reminders/alice")
    rows = live.locator("#reminders [data-reminder]")
    expect(rows).to_have_count(2)
    live.get_by_role("searchbox", name="Text").fill("run")
    expect(rows).to_have_count(1)

    rows.get_by_role("button", name="Cancel").click()
    expect(rows.locator(".question")).to_contain_text("look at the run")
    rows.get_by_role("button", name="Cancel it").click()

    expect(rows).to_have_count(0)
    assert hive.model.reminders[ident]["state"] == "cancelled"


def test_more_reminders_follow_the_last_listing_whatever_events_brought(
    live: Page, hive: FakeHive
) -> None:
    late = hive.model.remind("alice", "fails at last")
    for number in range(150):
        ident = hive.model.remind("alice", f"look at run {number}")
        hive.model.move_reminder(ident, "failed", last_error="it is a link")
    live.goto(f"{hive.url}/#/reminders")
    live.get_by_label("State", exact=True).select_option("failed")
    rows = live.locator("#reminders [data-reminder]")
    expect(rows).to_have_count(100)
    hive.model.move_reminder(late, "failed", last_error="it is a link")
    expect(rows).to_have_count(101)

    live.get_by_role("button", name="More").click()

    expect(rows).to_have_count(151)

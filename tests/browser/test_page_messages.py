"""The flow of messages: it stays where its reader is, opens, and offers what can be done."""

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Watch
from tests.browser.fake_hive import FakeHive

ROWS = "#flow-rows > li"


def row(page: Page, ident: int, place: str = "flow") -> Locator:
    """Find the row of a message."""
    return page.locator(f"#{place}-rows [data-id='{ident}']")


def fill(hive: FakeHive, page: Page, number: int) -> None:
    """Let so many messages come, and wait until the last one is shown."""
    idents = [hive.model.send("alice", "bob", f"message {n}") for n in range(number)]
    expect(row(page, idents[-1])).to_be_visible()


def a_dead_message(hive: FakeHive) -> int:
    """Let a message die of its fifth attempt."""
    ident = hive.model.send("alice", "bob", "cursed")
    hive.model.lease(ident)
    hive.model.die(ident, "the harness died")
    return ident


def end_distance(page: Page) -> float:
    """Measure how far the flow is from its end, in pixels."""
    return float(
        page.evaluate(
            "(e => e.scrollHeight - e.scrollTop - e.clientHeight)(document.querySelector('#flow'))"
        )
    )


def test_the_flow_stays_at_its_end_while_it_is_there(live: Page, hive: FakeHive) -> None:
    fill(hive, live, 60)
    assert end_distance(live) < 2

    fill(hive, live, 20)

    assert end_distance(live) < 2
    expect(live.locator("#flow-newer")).to_be_hidden()


def test_what_is_being_read_stays_where_it_is_and_news_are_counted(
    live: Page, hive: FakeHive
) -> None:
    fill(hive, live, 80)
    read = row(live, 30)
    read.evaluate("e => e.scrollIntoView({block: 'center'})")
    expect(live.locator("#flow-newer")).to_be_visible()
    before = read.bounding_box()

    for number in range(25):
        hive.model.send("bob", "alice", f"later {number}")
    expect(live.locator("#flow-newer")).to_have_text("25 new")

    assert read.bounding_box() == before
    live.locator("#flow-newer").click()
    expect(row(live, 105)).to_be_in_viewport()
    expect(live.locator("#flow-newer")).to_be_hidden()


def test_a_long_flow_keeps_its_newest_rows_only(live: Page, hive: FakeHive) -> None:
    fill(hive, live, 640)

    expect(live.locator(ROWS)).to_have_count(500)
    expect(row(live, 140)).to_have_count(0)


def test_older_messages_come_a_page_at_a_time_and_move_nothing(page: Page, hive: FakeHive) -> None:
    for number in range(350):
        hive.model.send("alice", "bob", f"message {number}")
    page.goto(hive.url)
    expect(page.locator(ROWS)).to_have_count(200)
    page.locator("#flow").evaluate("e => { e.scrollTop = 0; }")
    first = row(page, 151)
    before = first.bounding_box()

    page.locator("#flow-older").click()

    expect(page.locator(ROWS)).to_have_count(300)
    after = first.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(after["y"] - before["y"]) < 1
    page.locator("#flow-older").evaluate("e => e.click()")
    expect(page.locator(ROWS)).to_have_count(350)
    expect(page.locator("#flow-older")).to_be_hidden()


def test_an_older_message_follows_events_like_the_others(page: Page, hive: FakeHive) -> None:
    for number in range(220):
        hive.model.send("alice", "bob", f"message {number}")
    page.goto(hive.url)
    expect(page.locator(ROWS)).to_have_count(200)
    page.locator("#flow-older").evaluate("e => e.click()")
    expect(page.locator(ROWS)).to_have_count(220)

    hive.model.lease(3)

    expect(row(page, 3).locator(".chip")).to_have_text("leased")


def test_an_opened_message_shows_its_whole_body_and_its_history(live: Page, hive: FakeHive) -> None:
    body = "first line\n" + "x" * 600 + "\nlast line"
    ident = hive.model.send("alice", "bob", body)
    row(live, ident).locator(".row").click()

    expect(row(live, ident).locator(".body")).to_have_text(body)
    expect(row(live, ident).locator(".history li")).to_have_count(1)

    hive.model.lease(ident, turn=7)
    expect(row(live, ident).locator(".history li")).to_have_count(2)
    expect(row(live, ident).locator(".history")).to_contain_text("leased by system · turn 7")
    assert len(hive.requests("GET", f"/api/messages/{ident}")) == 1


def test_a_body_that_cannot_be_had_says_why_in_its_place(
    live: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = ("Failed to load resource",)
    ident = hive.model.send("alice", "bob", "gone")
    hive.trouble.refusals[f"/api/messages/{ident}"] = (404, {"detail": "There is no message 1."})

    row(live, ident).locator(".row").click()

    expect(row(live, ident).locator(".refusal:visible")).to_have_text("There is no message 1.")


def test_open_panels_focus_and_selection_survive_whatever_happens(
    live: Page, hive: FakeHive
) -> None:
    fill(hive, live, 5)
    row(live, 2).locator(".row").click()
    row(live, 2).locator(".body").wait_for()
    row(live, 2).locator(".body").evaluate("e => getSelection().selectAllChildren(e)")
    row(live, 2).get_by_role("button", name="Reply to alice").focus()

    for ident in (1, 2, 3):
        hive.model.lease(ident)
        hive.model.release(ident)
    hive.model.add_agent("anna")
    hive.model.set_state("alice", "crashed", "for a reason")
    hive.model.raise_alert("disk", "full")
    fill(hive, live, 30)

    expect(row(live, 2).locator(".row")).to_have_attribute("aria-expanded", "true")
    expect(row(live, 2).get_by_role("button", name="Reply to alice")).to_be_focused()
    assert live.evaluate("getSelection().toString()") == "message 1"


def test_opening_a_message_to_the_operator_marks_it_read(live: Page, hive: FakeHive) -> None:
    ident = hive.model.send("alice", "operator", "a question")
    expect(row(live, ident).locator(".chip")).to_have_text("unread")

    row(live, ident).locator(".row").click()

    expect(row(live, ident).locator(".chip")).to_have_text("read")
    expect(live.locator("#unread")).to_have_text("nothing unread")


def test_opening_a_message_to_somebody_else_marks_nothing(live: Page, hive: FakeHive) -> None:
    ident = hive.model.send("alice", "bob", "between us")
    row(live, ident).locator(".row").click()
    row(live, ident).locator(".body").wait_for()

    assert hive.requests("POST", f"/api/messages/{ident}/read") == []


def test_the_header_leads_to_an_unread_message_however_old(page: Page, hive: FakeHive) -> None:
    ident = hive.model.send("alice", "operator", "a question of long ago")
    for number in range(2600):
        hive.model.send("alice", "bob", f"message {number}")
    page.goto(f"{hive.url}/#/decisions")

    page.locator("#unread").click()

    expect(row(page, ident).locator(".body")).to_be_in_viewport()
    expect(page.locator("#unread")).to_have_text("nothing unread")
    newest = hive.model.send("bob", "alice", "news")
    expect(page.locator("#flow-newer")).to_have_text("1 new")
    page.locator("#flow-newer").click()
    expect(row(page, newest)).to_be_in_viewport()
    expect(row(page, ident)).to_have_count(0)


def test_a_search_for_what_is_unread_that_fails_says_so(
    page: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = ("Failed to load resource",)
    hive.model.send("alice", "operator", "a question of long ago")
    for number in range(250):
        hive.model.send("alice", "bob", f"message {number}")
    page.goto(hive.url)
    expect(page.locator(ROWS)).to_have_count(200)
    hive.trouble.refusals["/api/messages"] = (503, {"detail": "The disk is full."})

    page.locator("#unread").click()

    expect(page.locator("#flow-trouble")).to_have_text("The disk is full.")
    expect(page.locator("#flow-trouble")).to_be_in_viewport()


def test_reading_upwards_never_ends_before_the_first_message(page: Page, hive: FakeHive) -> None:
    for number in range(2300):
        hive.model.send("alice", "bob", f"message {number}")
    page.goto(hive.url)
    expect(page.locator(ROWS)).to_have_count(200)

    for first in range(2001, 0, -100):
        page.locator("#flow-older").click()
        expect(row(page, first)).to_have_count(1)

    expect(page.locator("#flow-older")).to_be_hidden()
    expect(page.locator(ROWS)).to_have_count(1500)
    hive.model.lease(3)
    expect(row(page, 3).locator(".chip")).to_have_text("leased")
    page.locator("#flow-newer").click()
    expect(row(page, 2300)).to_be_in_viewport()


def test_a_dead_message_is_listed_with_its_reason_until_it_is_requeued(
    live: Page, hive: FakeHive
) -> None:
    ident = a_dead_message(hive)
    item = row(live, ident, "dead")
    expect(item.locator(".reason")).to_have_text("Dead after 1 attempt: the harness died")

    item.get_by_role("button", name="Requeue").click()

    expect(live.locator("#dead")).to_be_hidden()
    expect(row(live, ident).locator(".chip")).to_have_text("queued")
    expect(live.locator("[data-agent=bob] .count:visible")).to_have_text(["1 queued"])


def test_dropping_asks_first_and_names_what_is_lost(live: Page, hive: FakeHive) -> None:
    ident = a_dead_message(hive)
    item = row(live, ident, "dead")
    item.get_by_role("button", name="Drop").click()
    expect(item.locator(".question")).to_have_text("Message 1 from alice will never reach bob.")
    expect(item.get_by_role("button", name="Keep")).to_be_focused()
    assert hive.requests("POST", f"/api/messages/{ident}/drop") == []

    item.get_by_role("button", name="Drop it").click()

    expect(live.locator("#dead")).to_be_hidden()
    expect(row(live, ident).locator(".chip")).to_have_text("dropped")


def test_a_refused_action_says_why_where_it_was_clicked_and_can_be_tried_again(
    live: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = ("Failed to load resource",)
    ident = a_dead_message(hive)
    path = f"/api/messages/{ident}/requeue"
    problem = {"detail": "The disk is full.", "remedy": "Make room."}
    hive.trouble.refusals[path] = (503, problem)
    item = row(live, ident, "dead")
    item.get_by_role("button", name="Requeue").click()
    expect(item.locator(".refusal:visible")).to_have_text("The disk is full. Make room.")

    del hive.trouble.refusals[path]
    item.get_by_role("button", name="Requeue").click()

    expect(live.locator("#dead")).to_be_hidden()


def test_the_focus_goes_on_to_the_next_dead_message(live: Page, hive: FakeHive) -> None:
    first, second = a_dead_message(hive), a_dead_message(hive)
    row(live, first, "dead").get_by_role("button", name="Requeue").click()

    expect(row(live, first, "dead")).to_have_count(0)
    expect(row(live, second, "dead").locator(".row")).to_be_focused()


def test_a_message_that_died_unseen_can_still_be_opened(page: Page, hive: FakeHive) -> None:
    ident = hive.model.send("alice", "bob", "sent long ago")
    for number in range(210):
        hive.model.send("bob", "alice", f"message {number}")
    page.goto(hive.url)
    page.locator("#connection.is-live").wait_for()

    hive.model.lease(ident)
    hive.model.die(ident)

    item = row(page, ident, "dead")
    expect(item.locator(".preview")).to_have_text("sent long ago")
    item.locator(".row").click()
    expect(item.locator(".body")).to_have_text("sent long ago")

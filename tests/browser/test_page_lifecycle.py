"""What the operator does to agents from the page: acknowledged at once, then shown as it is."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Watch
from tests.browser.fake_hive import FakeHive

CUT = "Turn 1 is ended; its messages come again."
DRAINED = (
    "Turn 1 may end first; if it has not after a while, it is cut and its messages come again."
)


def card(page: Page, name: str = "alice") -> Locator:
    """Find an agent's card."""
    return page.locator(f"[data-agent={name}]")


def button(place: Locator, name: str) -> Locator:
    """Find a button by its whole name."""
    return place.get_by_role("button", name=name, exact=True)


def sent(hive: FakeHive, path: str) -> list[object]:
    """Give the bodies that a path was sent."""
    return [seen.body for seen in hive.requests("POST", path)]


def test_a_card_shows_what_holds_an_agent_back(live: Page, hive: FakeHive) -> None:
    hive.model.set_transient("alice")
    hive.model.hold("alice")
    hive.model.pause("alice")
    hive.model.pause(
        "alice", "rate_limit", "the model's service asked for it", hive.model.clock() + 3600
    )

    marks = card(live).locator(".standing .text")
    expect(marks).to_have_count(4)
    expect(marks.nth(0)).to_have_text("restarting")
    expect(marks.nth(1)).to_have_text("held by operator")
    expect(marks.nth(2)).to_have_text("paused by the operator")
    expect(marks.nth(3)).to_contain_text("paused: the model's service asked for it, until ")

    hive.model.clear_transient("alice")
    hive.model.unhold("alice")
    hive.model.resume("alice")
    hive.model.resume("alice", "rate_limit")
    expect(card(live).locator(".standing")).to_be_hidden()


def test_a_pause_whose_time_is_over_leaves_by_itself(page: Page, hive: FakeHive) -> None:
    page.clock.install()
    page.goto(hive.url)
    page.locator("#connection.is-live").wait_for()
    hive.model.pause("alice", "rate_limit", "for a while", hive.model.clock() + 60)
    expect(card(page).locator(".standing .text")).to_be_visible()

    page.clock.run_for(90_000)

    expect(card(page).locator(".standing .text")).to_be_hidden()


def test_a_card_shows_model_context_and_room(live: Page, hive: FakeHive) -> None:
    facts = {"driver": "claude", "model": "sonnet", "declared_model": "sonnet"}
    hive.model.add_agent("carol", **facts, bytes=5 * 2**20)
    hive.model.start_turn("carol")
    hive.model.end_turn("carol", context={"tokens": 86_000, "window": 200_000})

    expect(card(live, "carol").locator(".box")).to_have_text("claude · sonnet · process · 5.0 MiB")
    expect(card(live, "carol").locator(".context")).to_have_text("context 43%")


def test_a_model_that_is_not_the_declared_one_is_shown_beside_it(
    live: Page, hive: FakeHive
) -> None:
    hive.model.add_agent("carol", driver="claude", model="opus", declared_model="sonnet")
    box = card(live, "carol").locator(".box")
    expect(box).to_have_text("claude · opus (declared: sonnet) · process")

    hive.model.set_model("carol", "sonnet")
    expect(box).to_have_text("claude · sonnet · process")


def test_what_an_agents_files_take_follows_their_measure(live: Page, hive: FakeHive) -> None:
    hive.model.measure("alice", 3 * 2**20)

    expect(card(live).locator(".box")).to_contain_text("3.0 MiB")


def test_a_box_that_is_not_as_promised_says_so(live: Page, hive: FakeHive) -> None:
    hive.model.probe("alice", ["it sees /home"], ["nothing limits its memory"])
    button(card(live), "More").click()

    expect(card(live).locator(".mark-bad")).to_have_text("box: it sees /home")
    expect(card(live).locator(".remarks li")).to_have_text(
        ["nothing limits its memory", "It runs as user 1000."]
    )


def test_pause_and_resume_take_turns_and_keep_the_focus(live: Page, hive: FakeHive) -> None:
    button(card(live), "Pause").focus()
    live.keyboard.press("Enter")

    expect(button(card(live), "Resume")).to_be_visible()
    expect(button(card(live), "Pause")).to_be_hidden()
    expect(button(card(live), "Resume")).to_be_focused()

    live.keyboard.press("Enter")

    expect(button(card(live), "Pause")).to_be_focused()
    assert sent(hive, "/api/agents/alice/pause") == [{}]


def test_a_held_agent_can_be_started_and_nothing_else(live: Page, hive: FakeHive) -> None:
    button(card(live), "Stop").click()
    expect(card(live).locator(".controls button:visible")).to_have_text(["Start", "More"])

    button(card(live), "Start").click()

    expect(button(card(live), "Stop")).to_be_visible()
    expect(card(live).locator(".standing")).to_be_hidden()


@pytest.mark.parametrize(
    ("label", "confirm", "verb", "warning"),
    [
        ("Cancel turn", "Cancel it", "cancel-turn", CUT),
        ("Restart", "Restart it", "restart", DRAINED),
        ("Stop", "Stop it", "stop", CUT),
    ],
)
def test_what_ends_a_turn_asks_first(
    live: Page, hive: FakeHive, label: str, confirm: str, verb: str, warning: str
) -> None:
    hive.model.start_turn("alice")
    expect(card(live).locator(".turn")).to_have_text("turn 1")
    button(card(live), label).click()
    expect(card(live).locator(".question")).to_have_text(warning)
    expect(button(card(live), "Keep")).to_be_focused()
    assert sent(hive, f"/api/agents/alice/{verb}") == []

    with live.expect_response(f"**/api/agents/alice/{verb}"):
        button(card(live), confirm).click()

    expect(card(live).locator(".question")).to_have_count(0)
    assert sent(hive, f"/api/agents/alice/{verb}") == [{}]


def test_without_a_turn_nothing_is_asked(live: Page, hive: FakeHive) -> None:
    button(card(live), "Restart").click()

    expect(card(live).locator(".standing .text")).to_have_text("restarting")
    expect(button(card(live), "Restart")).to_be_hidden()
    expect(button(card(live), "Cancel turn")).to_be_hidden()


def test_a_box_is_rebuilt_from_the_declaration(live: Page, hive: FakeHive) -> None:
    hive.model.start_turn("alice")
    expect(card(live).locator(".turn")).to_have_text("turn 1")
    button(card(live), "More").click()
    button(card(live), "Rebuild").click()
    expect(card(live).locator(".question")).to_have_text(DRAINED)
    assert sent(hive, "/api/agents/alice/rebuild") == []

    button(card(live), "Rebuild it").click()

    expect(card(live).locator(".standing .text")).to_have_text("restarting")
    assert sent(hive, "/api/agents/alice/rebuild") == [{}]


def test_a_click_is_acknowledged_until_the_page_shows_what_came_of_it(
    live: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = ("Failed to load resource",)
    pause = card(live).locator(".button", has_text="Pause")
    hive.trouble.streams_refused = True
    hive.cut_streams()
    expect(live.locator("#connection")).to_have_text("reconnecting")

    pause.click()

    expect(pause).to_have_attribute("aria-disabled", "true")
    hive.trouble.streams_refused = False
    expect(button(card(live), "Resume")).to_be_visible()


def test_a_refused_action_says_why_on_its_card_and_can_be_tried_again(
    live: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = ("Failed to load resource",)
    path = "/api/agents/alice/pause"
    hive.trouble.refusals[path] = (503, {"detail": "Not now.", "remedy": "Wait."})
    button(card(live), "Pause").click()
    expect(card(live).locator(".refusal:visible")).to_have_text("Not now. Wait.")
    expect(card(live, "bob").locator(".refusal:visible")).to_have_count(0)

    del hive.trouble.refusals[path]
    button(card(live), "Pause").click()

    expect(button(card(live), "Resume")).to_be_visible()


def test_what_shows_nowhere_else_is_said_where_it_was_clicked(live: Page, hive: FakeHive) -> None:
    button(card(live), "More").click()
    button(card(live), "Compact").click()
    expect(card(live).locator(".done:visible")).to_have_text("It compacts before its next work.")

    button(card(live), "New session").click()
    expect(card(live).locator(".question")).to_contain_text("The conversation of alice")
    button(card(live), "Begin anew").click()

    expect(card(live).locator(".done:visible").last).to_contain_text("begins a new conversation")
    assert sent(hive, "/api/agents/alice/new-session") == [{}]


def test_a_model_is_chosen_and_given_back(live: Page, hive: FakeHive) -> None:
    button(card(live), "More").click()
    button(card(live), "Use").click()
    expect(card(live).locator(".refusal:visible")).to_have_text("Write the name of a model first.")

    card(live).get_by_label("Model").fill("opus")
    live.keyboard.press("Enter")
    expect(card(live).locator(".box")).to_have_text("scripted · opus (declared: none) · process")

    button(card(live), "As declared").click()
    expect(card(live).locator(".box")).to_have_text("scripted · process")
    assert sent(hive, "/api/agents/alice/model") == [{"model": "opus"}, {"model": None}]


def test_more_stays_open_and_keeps_what_is_written_whatever_happens(
    live: Page, hive: FakeHive
) -> None:
    button(card(live), "More").click()
    card(live).get_by_label("Model").fill("opu")

    hive.model.set_state("alice", "busy")
    hive.model.start_turn("alice")
    hive.model.pause(None)
    expect(button(card(live), "Cancel turn")).to_be_visible()

    expect(card(live).get_by_label("Model")).to_have_value("opu")
    expect(card(live).get_by_label("Model")).to_be_focused()


def test_only_a_spawned_agent_can_be_destroyed(live: Page, hive: FakeHive) -> None:
    hive.model.add_agent("carol", declared=False)
    button(card(live), "More").click()
    expect(button(card(live), "Destroy")).to_be_hidden()

    button(card(live, "carol"), "More").click()
    button(card(live, "carol"), "Destroy").click()
    button(card(live, "carol"), "Destroy it").click()

    expect(card(live, "carol")).to_have_count(0)
    expect(live.locator("[data-tombstone=carol]")).to_be_visible()


def test_a_tombstone_is_purged_after_asking(live: Page, hive: FakeHive) -> None:
    hive.model.remove_agent("bob")
    stone = live.locator("[data-tombstone=bob]")
    expect(stone).to_contain_text("11.8 MiB")
    button(stone, "Purge").click()
    expect(stone.locator(".question")).to_have_text(
        "Everything that bob left (11.8 MiB) is deleted for good."
    )

    button(stone, "Purge it").click()

    expect(live.locator("#tombstones")).to_be_hidden()


def test_an_agent_that_comes_back_is_no_tombstone(live: Page, hive: FakeHive) -> None:
    hive.model.remove_agent("bob")
    expect(live.locator("#tombstones")).to_be_visible()

    hive.model.add_agent("bob")

    expect(live.locator("#tombstones")).to_be_hidden()
    expect(card(live, "bob")).to_be_visible()


def test_the_whole_hive_is_paused_and_resumed(live: Page, hive: FakeHive) -> None:
    button(live.locator("#hive-pause"), "Pause all").click()
    expect(live.locator("#hive-paused")).to_contain_text("paused by the operator")
    expect(button(live.locator("#hive-paused"), "Resume all")).to_be_focused()

    live.keyboard.press("Enter")

    expect(live.locator("#hive-paused")).to_be_hidden()
    expect(button(live.locator("#hive-pause"), "Pause all")).to_be_focused()


def test_a_pause_that_ends_by_itself_offers_no_resume(live: Page, hive: FakeHive) -> None:
    hive.model.pause(None, "disk", "the disk is full")

    expect(live.locator("#hive-paused")).to_contain_text("paused: the disk is full")
    expect(button(live.locator("#hive-paused"), "Resume all")).to_be_hidden()


def test_a_restart_of_all_asks_first_and_is_followed(live: Page, hive: FakeHive) -> None:
    hive.model.start_turn("alice")
    expect(card(live).locator(".turn")).to_have_text("turn 1")
    controls = live.locator("#hive-controls")
    button(controls, "Restart all").click()
    expect(controls.locator(".question")).to_contain_text("1 turn may end first")
    controls.locator(".danger").click()

    text = live.locator("#rollout-text")
    expect(text).to_contain_text("turns of alice may end until ")
    expect(button(controls, "Restart all")).to_be_hidden()

    hive.model.end_turn("alice")
    expect(text).to_have_text("no turn runs any more")

    hive.model.set_rollout(
        phase="others",
        restarted=["queen"],
        going={"alice": {"incarnation": "x", "deadline": 1.0}},
        waiting=[],
        failed={"bob": "it was not ready in time"},
    )
    expect(text).to_have_text("1 of 3 back · on the way: alice")
    expect(live.locator("#rollout-failed")).to_have_text("Not back: bob: it was not ready in time")
    expect(live.locator("#rollout-bar")).to_have_js_property("value", 2)

    hive.model.end_rollout()
    expect(live.locator("#rollout")).to_be_hidden()
    expect(button(controls, "Restart all")).to_be_visible()


def test_what_the_hive_is_doing_is_there_as_long_as_it_does_it(live: Page, hive: FakeHive) -> None:
    hive.model.set_plan(("start", "alice"), ("stop", "bob"))
    expect(live.locator("#plan-rows li")).to_have_text(
        ["start alice · so it is declared", "stop bob · so it is declared"]
    )

    hive.model.set_plan()

    expect(live.locator("#plan")).to_be_hidden()


def test_what_turns_cost_today_is_added_up(live: Page, hive: FakeHive) -> None:
    for cost in (1.25, 0.5):
        hive.model.start_turn("alice")
        hive.model.end_turn("alice", cost=cost)

    expect(live.locator("#spent")).to_have_text("$1.75 today")


def test_the_spending_of_yesterday_is_gone_after_midnight(live: Page, hive: FakeHive) -> None:
    hive.model.start_turn("alice")
    hive.model.end_turn("alice", cost=1.75)
    expect(live.locator("#spent")).to_have_text("$1.75 today")

    hive.model.begin_day()

    expect(live.locator("#spent")).not_to_contain_text("1.75")

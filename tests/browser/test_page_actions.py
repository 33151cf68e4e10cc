"""What the operator can have done to the hive as a whole: each act once, where it is clicked."""

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import FAILED_REQUEST, Watch
from tests.browser.fake_hive import FakeHive


def test_a_new_agent_is_asked_for_and_waits_for_a_yes(live: Page, hive: FakeHive) -> None:
    live.get_by_role("button", name="New agent").click()
    form = live.locator("#spawn")
    expect(form.get_by_label("Name")).to_be_focused()
    form.get_by_role("button", name="Ask for it").click()
    expect(form.get_by_role("alert")).to_contain_text("Give it a name first.")

    form.get_by_label("Name").fill("carol")
    form.get_by_label("Description").fill("runs the tests")
    form.get_by_role("button", name="Ask for it").click()

    expect(form.get_by_role("status")).to_contain_text("under Decisions")
    expect(form.get_by_label("Name")).to_have_value("")
    expect(live.locator("#to-decide")).to_have_text("1")
    [asked] = hive.requests("POST", "/api/spawn")
    assert asked.body == {
        "name": "carol",
        "description": "runs the tests",
        "system_prompt": "",
        "model": None,
    }


def test_a_refused_request_stays_with_what_was_written(
    live: Page, hive: FakeHive, watch: Watch
) -> None:
    watch.expected = (FAILED_REQUEST,)
    told = {"detail": "alice is there already.", "remedy": "Choose another name."}
    hive.trouble.refusals["/api/spawn"] = (409, told)
    live.get_by_role("button", name="New agent").click()
    form = live.locator("#spawn")
    form.get_by_label("Name").fill("alice")

    form.get_by_role("button", name="Ask for it").click()

    expect(form.get_by_role("alert")).to_contain_text("Choose another name.")
    expect(form.get_by_label("Name")).to_have_value("alice")


def test_a_spawned_agent_that_was_destroyed_is_revived(live: Page, hive: FakeHive) -> None:
    hive.model.add_agent("carol", declared=False)
    hive.model.remove_agent("carol")
    hive.model.remove_agent("bob")
    gone = live.locator(".tombstone")
    expect(gone).to_have_count(2)
    expect(live.locator("[data-tombstone='bob']").get_by_role("button")).to_have_text(["Purge"])

    live.locator("[data-tombstone='carol']").get_by_role("button", name="Revive").click()

    expect(live.locator("[data-agent='carol']")).to_be_visible()
    expect(gone).to_have_count(1)


def test_an_earlier_state_is_deployed_again_after_asking(live: Page, hive: FakeHive) -> None:
    hive.model.add_agent("carol", declared=False)
    hive.model.deployed("carol", "a" * 40, "Give carol a model")
    hive.model.deployed("carol", "b" * 40, "Give carol more room")
    live.goto(f"{hive.url}/#/agent/carol")
    live.locator(".deployments summary").click()
    rows = live.locator(".deployments .thread")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("runs now")

    rows.last.get_by_role("button", name="Deploy again").click()
    expect(rows.last).to_contain_text("What carol runs now is replaced by aaaaaaaaaaaa")
    rows.last.get_by_role("button", name="Deploy it").click()

    expect(rows.last).to_contain_text("deployed once carol is ready with it")
    [asked] = hive.requests("POST", "/api/agents/carol/redeploy")
    assert asked.body == {"revision": "a" * 40}
    hive.model.redeployed("carol", "a" * 40)
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("Deploy aaaaaaaaaaaa again")
    expect(rows.first).to_contain_text("runs now")


def test_an_earlier_state_that_fails_says_so_where_it_was_asked_for(
    live: Page, hive: FakeHive
) -> None:
    hive.model.add_agent("carol", declared=False)
    hive.model.deployed("carol", "a" * 40, "Give carol a model")
    live.goto(f"{hive.url}/#/agent/carol")
    live.locator(".deployments summary").click()
    expect(live.locator(".deployments .thread")).to_have_count(1)

    said = live.locator(".deployments .failed")
    hive.model.raise_alert("deploy:carol", "It is not deployed to carol again.", agent="carol")
    expect(said).to_have_text("It is not deployed to carol again.")
    with live.expect_response("**/deployments"):
        # What ran before is put back, and the list asked for anew.
        hive.model.change_agent("carol")
    expect(said).to_have_text("It is not deployed to carol again.")

    hive.model.clear_alert("deploy:carol")
    expect(said).to_be_hidden()


def test_upkeep_says_where_it_was_clicked_what_came_of_it(live: Page, hive: FakeHive) -> None:
    live.goto(f"{hive.url}/#/system")

    for label, path, told in (
        ("Read the declaration anew", "/api/apply", "What differs is being carried out."),
        ("Back up now", "/api/backup", "state/backups/1.db (4.0 KiB)"),
        ("Update inputs", "/api/hive/update-inputs", "Read what would change under Decisions"),
    ):
        live.get_by_role("button", name=label).click()
        expect(live.locator("#system .done", has_text=told)).to_be_visible()
        assert len(hive.requests("POST", path)) == 1


def test_what_is_seen_of_the_system_follows_what_happens(live: Page, hive: FakeHive) -> None:
    kinds = ("turns", "cost_usd", "tokens", "messages")
    hive.figures["agents"] = {name: {k: [0, 1, 2] for k in kinds} for name in ("alice", "bob")}
    live.goto(f"{hive.url}/#/system")
    turns = live.locator("#system figure", has_text="Turns")
    expect(turns).to_contain_text("6 in all")
    expect(live.get_by_role("button", name="Look again").first).to_be_visible()
    turns.locator("summary").click()
    expect(turns.locator("tbody tr")).to_have_count(3)
    expect(turns.locator("tbody tr").nth(1).locator("td")).to_have_text(["2", "2"])

    hive.figures["agents"]["bob"]["turns"] = [0, 1, 3]
    hive.model.start_turn("bob")
    hive.model.end_turn("bob", cost=1.25)

    expect(live.locator("#system .tiles")).to_contain_text("$1.25")
    expect(turns).to_contain_text("7 in all")
    expect(turns.locator("tbody tr").nth(1).locator("td")).to_have_text(["2", "3"])


def test_who_logs_out_is_led_to_the_login(live: Page, hive: FakeHive) -> None:
    live.goto(f"{hive.url}/#/system")
    expect(live.locator("#system .tiles b")).to_have_count(5)

    live.get_by_role("button", name="Log out").click()

    expect(live.locator("#secret")).to_be_visible()


def test_the_forge_shows_its_repositories_and_makes_a_token_anew(
    live: Page, hive: FakeHive
) -> None:
    live.goto(f"{hive.url}/#/forge")
    expect(live.locator("#forge")).to_contain_text("This hive has no forge.")
    hive.model.set_forge()
    hive.model.set_repositories("org-shared/docs", "org-shared/store")
    expect(live.locator(".repositories li")).to_have_count(2)
    expect(live.locator(".repositories")).to_contain_text("git clone http://forge/org-shared/docs")

    account = live.locator("[data-account='alice']")
    account.get_by_role("button", name="New token").click()
    expect(account).to_contain_text("is void at once")
    account.get_by_role("button", name="Make it anew").click()

    expect(account.get_by_role("status")).to_have_text("It has a new token.")
    assert len(hive.requests("POST", "/api/forge/accounts/alice/rotate")) == 1
    live.get_by_role("button", name="New password for you").click()
    live.get_by_role("button", name="Make it anew").click()
    expect(live.locator("#forge .done code")).to_have_text("fresh one")


def test_a_late_answer_about_the_forge_does_not_replace_a_newer_one(
    live: Page, hive: FakeHive
) -> None:
    held: list[Route] = []
    address = "**/api/forge/repositories"
    live.route(address, lambda route: held.append(route), times=1)
    hive.model.set_forge()
    with live.expect_request(address):
        live.goto(f"{hive.url}/#/forge")
    hive.model.set_repositories("org-shared/docs")
    expect(live.locator(".repositories li")).to_have_count(1)

    with live.expect_response(address) as late:
        held[0].fulfill(json={"repositories": []})
    late.value.finished()
    live.evaluate("new Promise((done) => setTimeout(done))")

    expect(live.locator(".repositories li")).to_have_count(1)

"""What an agent wrote is text, whatever it looks like; and the page is readable for everyone."""

import re
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from hyperhive.surfaces.dashboard import INDEX, LOGIN, STATIC
from tests.browser.conftest import Watch
from tests.browser.fake_hive import FakeHive
from tests.promises import promise

HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\">",
    "<script>document.title='owned'</script>",
    "\"'><svg/onload=document.title='owned'>",
    "javascript:document.title='owned'",
    "&lt;b&gt;${document.title='owned'}{{7*7}}",
    "\u202egnp.exe\u0007\u0000\ud7ff " + "W" * 4000,
)

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb(colour).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (rgb(colour)[3] === 255) return colour;
    }
    return "white";
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("option, noscript, .skip, :disabled")) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([ratio, `${node.data.trim().slice(0, 30)} (${element.className})`]);
  }
  return found;
}"""


def a_busy_page(hive: FakeHive, page: Page) -> None:
    """Show every kind of thing that the page has."""
    model = hive.model
    for number, state in enumerate(
        (
            "stopped",
            "starting",
            "ready",
            "busy",
            "draining",
            "backing_off",
            "crashed",
            "needs_login",
        )
    ):
        model.add_agent(f"agent-{number}", declared=False, description="does what it can")
        model.set_state(f"agent-{number}", state, "for a reason that takes some words to tell")
        model.set_status(f"agent-{number}", "on it, with a status line that is rather long")
    for severity in ("info", "warning", "error", "critical"):
        model.raise_alert(severity, "something that one has to know", severity, "alice")
    for name in model.agents:
        model.send("queen", name, "the same for everyone " * 12, broadcast=True)
    dead = model.send("alice", "bob", "cursed")
    model.lease(dead)
    model.die(dead)
    model.start_turn("alice", [1])
    released = model.send("bob", "alice", "again")
    model.lease(released)
    model.release(released)
    model.send("alice", "operator", "a question")
    show_lifecycle(hive)
    page.goto(hive.url)
    page.locator("#connection.is-live").wait_for()
    page.locator("#flow-rows [data-id='3'] .row").click()
    page.locator("#flow-rows [data-id='3'] .history li").first.wait_for()
    page.locator("#dead-rows").get_by_role("button", name="Drop").click()
    alice = page.locator("[data-agent=alice]")
    alice.get_by_role("button", name="More").click()
    alice.get_by_role("button", name="Compact").click()
    alice.locator(".done:visible").wait_for()
    alice.get_by_role("button", name="Stop").click()
    page.locator("#tombstones").get_by_role("button", name="Purge").click()


def show_lifecycle(hive: FakeHive) -> None:
    """Show every way in which agents and the hive can stand."""
    model = hive.model
    box = {"differences": ["it sees the host's /home"], "remarks": ["no limit on memory"]}
    model.add_agent("gone", description="read what others left behind")
    model.remove_agent("gone")
    model.probe("alice", **box)
    model.change_agent("alice", model="a-model-with-a-rather-long-name", bytes=2**31)
    model.set_transient("agent-1")
    model.hold("agent-2")
    for cause in ("operator", "spend", "rate_limit"):
        model.pause(
            "alice", cause, f"for {cause}, which takes some words to tell", model.clock() + 900
        )
        model.pause(None, cause, f"for {cause}, which takes some words to tell")
    model.start_turn("bob")
    model.end_turn("bob", cost=1.25, context={"tokens": 190_000, "window": 200_000})
    model.set_rollout(
        phase="others",
        restarted=["queen"],
        going={"alice": {"incarnation": "x", "deadline": 1.0}},
        failed={"agent-6": "it was not ready in time; it is crashed"},
    )


@promise("E4")
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_string_is_shown_as_it_is_in_every_field(
    live: Page, hive: FakeHive, hostile: str
) -> None:
    model = hive.model
    model.add_agent("evil", description=hostile, driver=hostile, runtime=hostile)
    model.set_state("evil", hostile, hostile)
    model.set_status("evil", hostile)
    model.hold("evil")
    model.pause("evil", hostile, hostile)
    model.pause(None, hostile, hostile)
    model.set_model("evil", hostile)
    model.set_transient("evil", hostile)
    model.set_rollout(reason=hostile, order=[hostile], failed={hostile: hostile}, phase=hostile)
    model.add_agent("ghost", description=hostile)
    model.remove_agent("ghost")
    model.raise_alert("evil", hostile, severity=hostile, agent=hostile)
    ident = model.send(hostile, hostile, hostile)
    model.lease(ident)
    model.die(ident, hostile)
    flow = live.locator(f"#flow-rows [data-id='{ident}']")
    flow.locator(".row").click()

    expect(flow.locator(".body")).to_have_js_property("textContent", hostile)
    expect(live.locator("[data-agent=evil] .description")).to_have_js_property(
        "textContent", hostile
    )
    expect(live.locator(".alert .text")).to_have_js_property("textContent", hostile)
    assert live.title() == "meadow · Hyperhive"
    foreign = "main :is(img, script, svg, b.x, a:not(.agent-link, p.notice a))"
    assert live.locator(foreign).count() == 0


def test_a_hostile_name_does_not_widen_the_page(live: Page, hive: FakeHive) -> None:
    hive.model.send("W" * 300, "M" * 300, "x" * 5000)
    hive.model.set_status("alice", "y" * 500)
    hive.model.raise_alert("z", "z" * 500, severity="q" * 200, agent="r" * 200)
    hive.model.pause("alice", "p" * 300, "p" * 500)
    hive.model.pause(None, "p" * 300, "p" * 500)
    hive.model.set_model("alice", "m" * 200)
    hive.model.set_rollout(reason="w" * 500, order=["o" * 300], failed={"f" * 300: "f" * 300})
    live.locator("#flow-rows .row").click()
    live.locator(".body").wait_for()

    for width in (360, 1280):
        live.set_viewport_size({"width": width, "height": 740})
        assert live.evaluate("document.documentElement.scrollWidth") <= width


def test_an_inline_script_would_not_run(live: Page, watch: Watch) -> None:
    watch.expected = ("Executing inline script violates", "Refused to execute inline script")

    live.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "document.title = 'owned'";
          document.body.append(script);
        }"""
    )

    assert live.title() == "meadow · Hyperhive"


def test_no_file_of_the_page_reads_text_as_markup_or_code() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|setHTML|DOMParser"
        r"|document\.write|\beval\(|new Function"
    )
    scripts = sorted(STATIC.rglob("*.js"))

    assert scripts
    assert [path.name for path in scripts if forbidden.search(path.read_text())] == []


@pytest.mark.parametrize("path", [INDEX, LOGIN], ids=["index", "login"])
def test_the_shell_has_no_inline_script_no_style_and_no_other_host(path: Path) -> None:
    inline = r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|https?://"

    assert re.findall(inline, path.read_text()) == []


def test_no_width_needs_scrolling_sideways(page: Page, hive: FakeHive) -> None:
    a_busy_page(hive, page)

    for width in (320, 360, 600, 959, 960, 1280, 2560):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("#compose-send").scroll_into_view_if_needed()
        expect(page.locator("#compose-send")).to_be_in_viewport()


def test_every_text_stands_out_from_its_ground(page: Page, hive: FakeHive) -> None:
    page.emulate_media(reduced_motion="reduce")
    a_busy_page(hive, page)

    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 100
        assert [text for ratio, text in contrasts if ratio < 4.5] == [], scheme


def test_every_control_has_a_name_and_room_for_a_finger(page: Page, hive: FakeHive) -> None:
    a_busy_page(hive, page)

    controls = page.locator("main :is(button, select, textarea, input):visible")
    found = controls.evaluate_all(
        """all => all.map((e) => [
          (e.textContent + (e.labels?.[0]?.textContent ?? "")).trim(),
          Math.min(e.getBoundingClientRect().width, e.getBoundingClientRect().height),
        ])"""
    )
    assert len(found) > 20
    assert [name for name, size in found if not name or size < 24] == []


def test_relative_times_go_on_without_moving_anything(page: Page, hive: FakeHive) -> None:
    page.clock.install()
    page.goto(hive.url)
    page.locator("#connection.is-live").wait_for()
    since = page.locator("[data-agent=alice] .now .since")
    expect(since).to_be_visible()
    chip = page.locator("[data-agent=alice] .chip")
    before = chip.bounding_box()
    early = since.inner_text()

    page.clock.run_for(150_000)

    expect(since).to_have_text("2m")
    assert early != "2m"
    assert chip.bounding_box() == before

"""The demo: played for real, and seen to fail where its agents do something else."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperhive import config
from hyperhive.bootstrap import running
from hyperhive.config import RuntimeKind
from hyperhive.demo.boxes import Wanted, choose
from hyperhive.demo.casts import write_hive
from hyperhive.demo.deciding import DecidingStory
from hyperhive.demo.story import Story, StoryError
from hyperhive.domain.actors import agent
from hyperhive.domain.errors import UnavailableError
from hyperhive.runtimes.bubblewrap import BubblewrapRuntime
from tests.demos import Player, boxed_player, left_over
from tests.promises import promise
from tests.surfaces.hives import until
from tests.surfaces.terminals import HYPERHIVE, Terminal
from tests.walls import open_directory

COMMAND = (sys.executable, "-m", "hyperhive.cli.main", "demo", "--runtime", "process")

DECIDED = (
    "alice pushes the notes to a repository of hers",
    "bob approves her pull request and merges it",
    "bob reads them there",
    "bob's reminder into /etc is refused",
    "alice's reminder comes, its text in a file of her own",
    "the operator answers",
    "the operator decides: Spawn the agent carol",
    "carol runs and has said hello",
    "the operator decides: Change the configuration of carol to [0-9a-f]{12}",
    "carol, changed, does her work",
)
"""Steps of the further parts: on the forge, and where the operator decides."""


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a directory whose path leaves room for a socket's."""
    made = Path(tempfile.mkdtemp(prefix="hh-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@promise("C3")
def test_the_demo_plays_through_and_leaves_nothing_behind(place: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(place)}

    ran = subprocess.run(
        [*COMMAND, "--headless"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"\d\.\d\d  bob is killed in mid-turn \(SIGKILL", ran.stdout)
    for step in DECIDED:
        assert re.search(rf"\d\.\d\d  {step}", ran.stdout), step
    assert "every inbox is empty, and no message is dead" in ran.stdout
    assert list(place.iterdir()) == []
    assert left_over(place) == []


@promise("C3")
def test_the_demo_plays_through_in_boxes_where_they_can_be_made(place: Path) -> None:
    with open_directory() as directory:
        ran = boxed_player(directory).play(place=place)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "They run in bubblewrap" in ran.stdout
    assert "3 agents run in boxes of their own" in ran.stdout
    for step in ("bob is killed in mid-turn", *DECIDED):
        assert re.search(rf"\d\.\d\d  {step}", ran.stdout), step
    assert list(place.iterdir()) == []
    assert left_over(place) == []


@promise("C3")
def test_ctrl_c_ends_the_demo_with_all_it_started(place: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(place), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "have said hello" in line:
                break
        demo.send_signal(signal.SIGINT)
        rest = demo.communicate(timeout=60)[0]

    assert demo.returncode == 0, rest
    assert list(place.iterdir()) == []
    assert left_over(place) == []


@promise("C3")
@pytest.mark.anyio
async def test_a_step_that_does_not_happen_fails_the_story_by_name(place: Path) -> None:
    write_hive(place)
    script = place / "scripts" / "alice.toml"
    text = script.read_text(encoding="utf-8")
    script.write_text(text.replace("Which fixes", "How is it"), encoding="utf-8")
    hive = config.load(place / "hive.toml")

    async with running(hive, with_agents=True) as run:
        story = Story(run, lambda _line: None, step_seconds=10)
        with pytest.raises(StoryError, match="alice asks bob and waits"):
            await story.play()


@promise("C3")
@pytest.mark.anyio
async def test_on_a_terminal_the_decisions_are_the_users_and_a_no_with_a_note_is_one(
    place: Path,
) -> None:
    write_hive(place)
    lines: list[str] = []

    def answer(socket: str) -> None:
        with Terminal((*HYPERHIVE, "--socket", socket, "answer", "1", "tone")) as person:
            assert person.status() == 0

    def deny(socket: str) -> str:
        with Terminal((*HYPERHIVE, "--socket", socket, "approve", "1")) as person:
            person.sees("decide later: ")
            person.types("n")
            person.sees("whoever asked: ")
            person.types("three are enough")
            assert person.status() == 0
            return person.shown

    async def user(socket: str) -> str:
        await until(lambda: any("hyperhive answer 1" in line for line in lines))
        await asyncio.to_thread(answer, socket)
        await until(lambda: any("hyperhive approve 1" in line for line in lines))
        return await asyncio.to_thread(deny, socket)

    async with running(config.load(place / "hive.toml"), with_agents=True) as run:
        story = DecidingStory(run, lines.append, step_seconds=30, return_seconds=30, clicks=False)
        await run.messages.send(agent("bob"), "manager", "Checked: all of it is true.")
        socket = str(run.listeners.admin_socket)
        _, shown = await asyncio.gather(story.decide(), user(socket))
        denied = await run.approvals.show(1)

    assert "Approval 1 is denied." in shown
    assert (denied["state"], denied["note"]) == ("denied", "three are enough")
    assert [line for line in lines if line.startswith("»")] == [
        "» I want a proofreader for the notes. What should it look for? (spelling / tone)",
        "» Answer on the page, or: hyperhive answer 1 'spelling'",
        "» Spawn the agent carol: decide on the page, or: hyperhive approve 1",
    ]
    assert lines[-1] == "the operator decides: Spawn the agent carol"


def test_where_no_box_can_be_made_the_demo_uses_processes_and_says_why(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BubblewrapRuntime, "fault", lambda: "There are no walls.")

    chosen = choose(Wanted.AUTO, place)

    assert chosen.kind is RuntimeKind.PROCESS
    assert "There are no walls" in chosen.reason


def test_boxes_that_are_asked_for_and_cannot_be_made_are_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BubblewrapRuntime, "fault", lambda: "There are no walls.")

    with pytest.raises(UnavailableError, match="There are no walls"):
        choose(Wanted.BUBBLEWRAP, place)


def test_without_claude_code_the_demo_says_how_to_install_it(place: Path) -> None:
    nowhere = {"PATH": str(place / "nowhere")}

    ran = Player().play("--driver", "claude", "--scripted-model", place=place, variables=nowhere)

    assert ran.returncode == 1
    assert "npm install --global @anthropic-ai/claude-code" in ran.stderr
    assert list(place.iterdir()) == []


def test_claude_code_is_never_played_with_a_model_that_costs(place: Path) -> None:
    ran = Player().play("--driver", "claude", place=place)

    assert ran.returncode == 2
    assert "--scripted-model" in ran.stderr

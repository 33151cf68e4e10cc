"""The demo: played for real, and seen to fail where its agents do something else."""

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
from hyperhive.demo.play import write_hive
from hyperhive.demo.story import Story, StoryError
from tests.promises import promise

COMMAND = (sys.executable, "-m", "hyperhive.cli.main", "demo")


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a directory whose path leaves room for a socket's."""
    made = Path(tempfile.mkdtemp(prefix="hh-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def left_over(place: Path) -> list[int]:
    """Find processes that still belong to a hive in ``place``."""
    mark = str(place).encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                is_ours = mark in (entry / "environ").read_bytes()
            except OSError:
                continue
            if is_ours:
                found.append(int(entry.name))
    return found


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
    assert "every inbox is empty, and no message is dead" in ran.stdout
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
        story = Story(run, lambda _line: None, step_seconds=3)
        with pytest.raises(StoryError, match="alice asks bob and waits"):
            await story.play()

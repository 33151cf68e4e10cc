"""The demo with the real Claude Code as every agent, and a script as its model."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demos import Player, boxed_player, left_over
from tests.promises import promise
from tests.walls import open_directory

pytestmark = pytest.mark.xdist_group("clients")

OPTIONS = ("--driver", "claude", "--scripted-model")


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a directory whose path leaves room for a socket's."""
    made = Path(tempfile.mkdtemp(prefix="hh-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def path_with(program: Path) -> dict[str, str]:
    return {"PATH": os.pathsep.join((str(program.parent), os.environ["PATH"]))}


@promise("C3")
def test_claude_code_plays_the_whole_story(claude_program: Path, place: Path) -> None:
    ran = Player().play(
        *OPTIONS, "--runtime", "process", place=place, variables=path_with(claude_program)
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "carol, changed, does her work" in ran.stdout
    assert "every inbox is empty, and no message is dead" in ran.stdout
    assert int(re.findall(r"model was asked (\d+) times", ran.stdout)[0]) >= 10
    assert list(place.iterdir()) == []
    assert left_over(place) == []


@promise("C3")
def test_claude_code_plays_it_in_boxes_where_they_can_be_made(
    claude_program: Path, place: Path
) -> None:
    with open_directory() as directory:
        player = boxed_player(directory)
        if player.run("test", "-x", str(claude_program), place=place).returncode != 0:
            pytest.skip(f"{player.user} cannot run {claude_program}")
        ran = player.play(*OPTIONS, place=place, variables=path_with(claude_program))

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "They run in bubblewrap" in ran.stdout
    assert "carol, changed, does her work" in ran.stdout
    assert "every inbox is empty, and no message is dead" in ran.stdout
    assert list(place.iterdir()) == []
    assert left_over(place) == []

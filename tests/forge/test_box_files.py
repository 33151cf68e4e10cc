"""What git does in a box with the settings that the hive writes: real git, no network."""

import os
import subprocess
from pathlib import Path

import pytest

from hyperhive.domain.paths import HivePaths
from hyperhive.forge.box_files import BoxFiles

URL = "http://127.0.0.1:3000"


@pytest.fixture
def files(tmp_path: Path) -> BoxFiles:
    """The files of a hive whose directory has a blank and a quote in its name."""
    made = BoxFiles(HivePaths(tmp_path, tmp_path / "it's run"))
    made.give("alice", "s3cret")
    made.settle("alice", URL)
    return made


def git(tmp_path: Path, *arguments: str, stdin: str = "") -> str:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    place = tmp_path / "it's run" / "agents" / "alice"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GIT_CONFIG_SYSTEM": str(place / "gitconfig"),
        "GIT_TERMINAL_PROMPT": "0",
    }
    done = subprocess.run(
        ["git", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
        timeout=30,
    )
    return done.stdout


def test_git_knows_who_the_agent_is_and_finds_its_token(files: BoxFiles, tmp_path: Path) -> None:
    assert git(tmp_path, "config", "user.name").strip() == "alice"
    assert git(tmp_path, "config", "user.email").strip() == "alice@hyperhive.invalid"
    asked = "protocol=http\nhost=127.0.0.1:3000\n\n"
    told = git(tmp_path, "credential", "fill", stdin=asked).splitlines()
    assert {"username=alice", "password=s3cret"} <= set(told)


def test_a_rotated_token_holds_at_once(files: BoxFiles, tmp_path: Path) -> None:
    files.give("alice", "other")
    asked = "protocol=http\nhost=127.0.0.1:3000\n\n"
    assert "password=other" in git(tmp_path, "credential", "fill", stdin=asked)


def test_the_token_is_for_the_forge_alone(files: BoxFiles, tmp_path: Path) -> None:
    for host in ("127.0.0.1:3001", "example.org"):
        asked = f"protocol=http\nhost={host}\n\n"
        assert "s3cret" not in git(tmp_path, "credential", "fill", stdin=asked)


def test_an_agents_own_settings_win_and_are_never_written(files: BoxFiles, tmp_path: Path) -> None:
    git(tmp_path, "config", "--global", "user.name", "Alice Liddell")
    files.settle("alice", URL)
    assert git(tmp_path, "config", "user.name").strip() == "Alice Liddell"


def test_no_setting_holds_the_token(files: BoxFiles, tmp_path: Path) -> None:
    assert "s3cret" not in git(tmp_path, "config", "--list")


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(
    files: BoxFiles, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    place = tmp_path / "it's run" / "agents" / "alice"
    for name in ("forge-token", ".forge-token.new", "gitconfig"):
        (place / name).unlink(missing_ok=True)
        (place / name).symlink_to(victim)
    files.give("alice", "fresh")
    files.settle("alice", URL)
    assert victim.read_text() == "untouched"
    assert not (place / "forge-token").is_symlink()
    assert files.token("alice") == "fresh"


def test_a_link_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    made = BoxFiles(HivePaths(tmp_path, tmp_path / "run"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "run" / "agents").mkdir(parents=True)
    (tmp_path / "run" / "agents" / "alice").symlink_to(elsewhere)
    with pytest.raises(NotADirectoryError):
        made.give("alice", "s3cret")
    assert list(elsewhere.iterdir()) == []

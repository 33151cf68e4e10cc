"""The forge's command line in a box: logged in by the harness, its own logins left alone."""

import json
import stat
from pathlib import Path

import pytest

from hyperhive.harness.tea import log_in


@pytest.fixture
def box(tmp_path: Path) -> dict[str, str]:
    """A box in which `tea` exists and the forge is known."""
    for name in ("bin", "run", "home"):
        (tmp_path / name).mkdir()
    program = tmp_path / "bin" / "tea"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    run = tmp_path / "run"
    (run / "forge-token").write_text("first\n")
    told = {"url": "http://forge.test", "user": "alice", "token_file": str(run / "forge-token")}
    (run / "forge.json").write_text(json.dumps(told))
    return {
        "PATH": str(tmp_path / "bin"),
        "HYPERHIVE_SOCKET": str(run / "agent.sock"),
        "HOME": str(tmp_path / "home"),
    }


def config(box: dict[str, str]) -> Path:
    return Path(box["HOME"]) / ".config" / "tea" / "config.yml"


def test_tea_is_logged_in_with_the_agents_token(box: dict[str, str]) -> None:
    log_in(box)
    text = config(box).read_text()
    assert "token: first" in text
    assert "user: alice" in text
    assert stat.S_IMODE(config(box).stat().st_mode) == 0o600


def test_a_rotated_token_replaces_the_old_one_and_nothing_else(box: dict[str, str]) -> None:
    log_in(box)
    own = "- name: own\n  url: http://elsewhere\n  token: mine\n"
    config(box).write_text(config(box).read_text() + own)
    (Path(box["HYPERHIVE_SOCKET"]).with_name("forge-token")).write_text("second\n")
    log_in(box)
    text = config(box).read_text()
    assert "first" not in text
    assert "token: second" in text
    assert text.endswith(own)


def test_logins_of_the_agents_own_stay_as_they_are(box: dict[str, str]) -> None:
    config(box).parent.mkdir(parents=True)
    config(box).write_text("logins:\n- name: own\n  token: mine\n")
    log_in(box)
    assert config(box).read_text() == "logins:\n- name: own\n  token: mine\n"


def test_without_tea_or_forge_nothing_is_written(box: dict[str, str], tmp_path: Path) -> None:
    log_in({**box, "PATH": str(tmp_path)})
    (Path(box["HYPERHIVE_SOCKET"]).with_name("forge.json")).unlink()
    log_in(box)
    assert not config(box).exists()

"""``hyperhive login --interactive``: a program logs in by itself, in the box of its agent."""

import pwd
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.demos import boxed_player
from tests.faults.hives import HiveOfProcesses, until
from tests.surfaces.terminals import Terminal
from tests.walls import open_directory

PROGRAM: Final = """#!/bin/sh
if [ "$1" = /login ]; then
    [ -t 0 ] && [ -t 1 ] && (: > /dev/tty) || exit 9
    printf 'Paste your token: '
    read -r token
    [ "$token" = wrong ] && exit 3
    printf '%s\\n' "$token" > "$HOME/.token"
    echo "I am $HYPERHIVE_AGENT, at home in $HOME, on $(tty), in $(stty size)."
    exit 0
fi
cat > /dev/null
while [ -e "$HYPERHIVE_STATE/busy" ]; do sleep 0.05; done
if [ -s "$HOME/.token" ]; then
    echo '{"type": "result", "is_error": false, "result": "done"}'
else
    echo '{"type": "result", "is_error": true, "api_error_status": 401, "result": "who?"}'
    exit 1
fi
"""
"""An agent program that works once somebody has logged it in."""


@pytest.fixture(params=["process", "bubblewrap"])
def hive(request: pytest.FixtureRequest) -> Iterator[HiveOfProcesses]:
    """Run a hive whose worker's program is not logged in."""
    with ExitStack() as stack:
        player = None
        if request.param == "bubblewrap":
            player = boxed_player(stack.enter_context(open_directory()))
        program = stack.enter_context(open_directory()) / "agent-program"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        drivers = {
            "queen": '{ kind = "command", command = ["true"] }',
            "alice": f'{{ kind = "claude", command = ["{program}"] }}',
        }
        made = stack.enter_context(HiveOfProcesses(drivers, player=player))
        made.started(made.up())
        yield made


def a_person(hive: HiveOfProcesses, *arguments: str) -> Terminal:
    """Run ``hyperhive`` at a terminal, as whoever runs the hive."""
    who = hive.identity()
    if "user" in who:
        who["group"] = pwd.getpwnam(who["user"]).pw_gid
        who["extra_groups"] = []
    program = (hive.player.python, "-P", "-m", "hyperhive.cli.main")
    return Terminal((*program, "--config", str(hive.config), *arguments), hive.directory, **who)


def causes(hive: HiveOfProcesses) -> set[str]:
    """Say what pauses alice."""
    with hive.operator() as operator:
        (alice,) = [each for each in operator.state()["agents"] if each["name"] == "alice"]
        now = time.time()
        return {p["cause"] for p in alice["pauses"] if p["until"] is None or p["until"] > now}


def test_a_program_that_logs_in_within_its_agents_box_lets_the_agents_messages_flow(
    hive: HiveOfProcesses,
) -> None:
    number = hive.send("alice", "hello")
    until(lambda: hive.state_of("alice") == "needs_login", "alice needs a login")

    with a_person(hive, "login", "alice", "--interactive") as person:
        person.sees("Paste your token:")
        assert causes(hive) == {"login", "visit"}
        person.types("a-token")
        person.sees("from its next turn on")
        assert person.status() == 0, person.shown

    until(lambda: hive.message(number)["state"] == "acked", "the message is handled")
    home: Path = hive.paths.home("alice")
    assert (home / ".token").read_text() == "a-token\n"
    assert (home / ".token").stat().st_uid == home.stat().st_uid
    assert causes(hive) == set()
    seen = "/home/agent" if hive.player.user else str(home)
    assert f"I am alice, at home in {seen}," in person.shown
    assert person.name not in person.shown


def test_a_turn_that_runs_ends_before_the_login_and_a_login_that_fails_changes_nothing(
    hive: HiveOfProcesses,
) -> None:
    until(lambda: hive.state_of("alice") == "ready", "alice is ready")
    busy = hive.file("alice", "busy")
    busy.touch()
    hive.send("alice", "hello")
    until(lambda: hive.state_of("alice") == "busy", "alice is at work")

    with a_person(hive, "login", "alice", "--interactive") as person:
        person.sees("Waiting for its end")
        busy.unlink()
        person.sees("Paste your token:")
        with a_person(hive, "login", "alice", "--interactive") as other:
            assert other.status() == 1
            assert "Somebody else is working" in other.shown
        assert causes(hive) == {"login", "visit"}
        person.types("wrong")
        assert person.status() == 1, person.shown

    assert "ended with status 3" in person.shown
    assert causes(hive) == {"login"}
    assert hive.state_of("alice") == "needs_login"


def test_another_program_can_be_named_and_one_that_is_not_there_is_said(
    hive: HiveOfProcesses,
) -> None:
    with a_person(hive, "login", "alice", "-i", "--", "sh", "-c", "echo here; exit 7") as person:
        assert person.status() == 1
    assert "here" in person.shown
    assert "sh ended with status 7" in person.shown

    with a_person(hive, "login", "alice", "-i", "--", "no-such-program") as person:
        assert person.status() == 1
    assert "no-such-program" in person.shown
    assert "visit" not in causes(hive)

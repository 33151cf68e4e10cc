"""``hyperhive login --interactive``: a program logs in by itself, in the box of its agent."""

import contextlib
import os
import pwd
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.demos import boxed_player
from tests.faults.hives import WAIT_SECONDS, HiveOfProcesses, until
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


class Terminal:
    """A person at a terminal who runs ``hyperhive``."""

    def __init__(self, hive: HiveOfProcesses, *arguments: str) -> None:
        self._master, slave = os.openpty()
        self.name = os.ttyname(slave)
        self.shown = ""
        who = hive.identity()
        if "user" in who:
            who["group"] = pwd.getpwnam(who["user"]).pw_gid
            who["extra_groups"] = []
        program = [hive.player.python, "-P", "-m", "hyperhive.cli.main"]
        self._process = subprocess.Popen(
            [*program, "--config", str(hive.config), *arguments],
            cwd=hive.directory,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            **who,
        )
        os.close(slave)

    def sees(self, text: str) -> None:
        """Wait until a text is shown."""
        deadline = time.monotonic() + WAIT_SECONDS
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self._master, 65536).decode(errors="replace")
                except OSError:
                    assert text in self.shown, self.shown

    def types(self, text: str) -> None:
        """Write a line."""
        os.write(self._master, f"{text}\r".encode())

    def status(self) -> int:
        """Wait for the end."""
        with contextlib.suppress(OSError):
            while select.select([self._master], [], [], WAIT_SECONDS)[0]:
                self.shown += os.read(self._master, 65536).decode(errors="replace")
        return self._process.wait(WAIT_SECONDS)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)


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

    with Terminal(hive, "login", "alice", "--interactive") as person:
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

    with Terminal(hive, "login", "alice", "--interactive") as person:
        person.sees("Waiting for its end")
        busy.unlink()
        person.sees("Paste your token:")
        with Terminal(hive, "login", "alice", "--interactive") as other:
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
    with Terminal(hive, "login", "alice", "-i", "--", "sh", "-c", "echo here; exit 7") as person:
        assert person.status() == 1
    assert "here" in person.shown
    assert "sh ended with status 7" in person.shown

    with Terminal(hive, "login", "alice", "-i", "--", "no-such-program") as person:
        assert person.status() == 1
    assert "no-such-program" in person.shown
    assert "visit" not in causes(hive)

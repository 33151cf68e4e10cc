"""Turns that are not just messages: checkpoints, compactions, new conversations, other models."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness import fake_cli
from tests.harness.cli_fixtures import lines_of
from tests.harness.conftest import StartHarness
from tests.harness.fake_server import FakeServer, a_message


class Program:
    """An agent whose Claude Code is a stand-in."""

    def __init__(self, hive: FakeServer, plan: Path) -> None:
        self._hive = hive
        self._plan = plan
        hive.driver |= {"kind": "claude", "command": [sys.executable, fake_cli.__file__]}

    def plan(self, number: int, fixture: str, status: int = 0) -> None:
        """Let the n-th run of the program print what is in a fixture."""
        (self._plan / f"{number}.jsonl").write_text("\n".join(lines_of("claude", fixture)) + "\n")
        (self._plan / f"{number}.status").write_text(str(status))

    def call(self, number: int) -> dict[str, Any]:
        """How the n-th run was called."""
        call: dict[str, Any] = json.loads((self._plan / f"{number}.call").read_text())
        return call

    def turn(self, *messages: dict[str, Any], **further: Any) -> dict[str, Any]:
        """Run a turn and return how it ended."""
        turn = self._hive.give(*messages, **further)
        self._hive.wait_until(lambda: turn in self._hive.ends)
        return self._hive.ends[turn]


@pytest.fixture
def program(
    hive: FakeServer, box: Path, environment: dict[str, str], start_harness: StartHarness
) -> Program:
    plan = box / "plan"
    plan.mkdir()
    environment["FAKE_CLI_PLAN"] = str(plan)
    program = Program(hive, plan)
    start_harness()
    return program


def test_a_checkpoint_runs_the_program_with_a_prompt_of_its_own(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    hive.driver |= {"command": ["sh", "-c", 'echo "$HYPERHIVE_TURN_KIND"; cat']}
    turn = hive.give(kind="checkpoint")
    start_harness()
    hive.wait_until(lambda: turn in hive.ends)
    kind, *prompt = hive.texts(turn)
    assert (kind, hive.ends[turn]["outcome"]) == ("checkpoint", "ok")
    assert "Write down in your state directory" in prompt[0]


def test_a_turn_with_a_message_is_work_to_the_program(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    hive.driver |= {"command": ["sh", "-c", 'echo "$HYPERHIVE_TURN_KIND"; cat']}
    turn = hive.give(a_message(), note="You were restarted.")
    start_harness()
    hive.wait_until(lambda: turn in hive.ends)
    assert hive.texts(turn)[:2] == ["work", "A note of the hive: You were restarted."]


@pytest.mark.parametrize("driver", ["command", "scripted"])
def test_a_driver_without_a_conversation_has_nothing_to_compact_and_says_so(
    hive: FakeServer, start_harness: StartHarness, driver: str
) -> None:
    hive.driver |= {"kind": driver, "command": ["sh", "-c", "echo ran"]}
    turn = hive.give(kind="compact")
    start_harness()
    hive.wait_until(lambda: turn in hive.ends)
    assert hive.ends[turn]["outcome"] == "ok"
    assert hive.texts(turn) == []
    assert hive.texts(turn, "note") == [f"The driver {driver} keeps no conversation to compact."]


def test_a_compaction_is_the_programs_own(program: Program) -> None:
    program.plan(1, "recv-send")
    program.plan(2, "compacted")
    program.turn(a_message())
    end = program.turn(kind="compact")
    assert program.call(2)["stdin"] == "/compact"
    assert end["outcome"] == "ok"
    assert end["context"] == {"tokens": 655, "window": 200_000}


def test_a_turn_with_a_model_of_its_own_runs_with_that(program: Program, hive: FakeServer) -> None:
    hive.driver["model"] = "big"
    program.plan(1, "recv-send")
    program.turn(a_message(), model="small", spend_usd=0.25)
    argv = program.call(1)["argv"]
    assert {"--model=small", "--max-budget-usd=0.25"} <= set(argv)
    assert "--model=big" not in argv


def test_a_fresh_turn_begins_a_new_conversation(program: Program) -> None:
    for number in (1, 2, 3):
        program.plan(number, "recv-send")
    program.turn(a_message())
    program.turn(a_message(), fresh=True)
    program.turn(a_message())
    resumes = ["--resume" in program.call(number)["argv"] for number in (1, 2, 3)]
    assert resumes == [False, False, True]


def test_the_end_says_how_full_the_context_is(program: Program) -> None:
    program.plan(1, "recv-send")
    assert program.turn(a_message())["context"] == {"tokens": 50_008, "window": 1_000_000}


def test_the_end_says_when_a_rate_limit_ends(program: Program) -> None:
    program.plan(1, "rate-limited-until", status=1)
    end = program.turn(a_message())
    assert (end["outcome"], end["resets_at"]) == ("rate_limited", 1795340990)


def test_the_end_says_which_servers_did_not_come_up(program: Program) -> None:
    program.plan(1, "broken-servers")
    alerts = program.turn(a_message())["alerts"]
    assert [text.split()[3] for text in alerts] == ["broken", "exits", "web"]


def test_an_end_without_news_says_no_more_than_an_older_one(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    hive.driver |= {"command": ["true"]}
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: turn in hive.ends)
    assert set(hive.ends[turn]) == {"session", "outcome", "error", "usage", "tools"}


def test_a_turn_of_an_unknown_kind_is_given_back_with_a_new_session(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    hive.driver |= {"command": ["true"]}
    hive.give(kind="dance")
    start_harness()
    hive.wait_until(lambda: len(hive.hellos) == 2)
    assert hive.hellos[0]["session"] != hive.hellos[1]["session"]

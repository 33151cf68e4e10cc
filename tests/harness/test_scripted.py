from pathlib import Path
from typing import Any

import pytest

from tests.harness.conftest import StartHarness
from tests.harness.fake_server import FakeServer, Refused, a_message


class Stage:
    """A hive whose agent plays a script."""

    def __init__(self, hive: FakeServer, box: Path) -> None:
        self.hive = hive
        self._script = box / "script.toml"
        hive.driver |= {"kind": "scripted", "script": str(self._script)}

    def play(self, script: str, *messages: dict[str, object], **further: Any) -> dict[str, object]:
        """Run one turn, with one message unless said otherwise, and return how it ended."""
        self._script.write_text(script)
        turn = self.hive.give(*messages or (() if further else (a_message(),)), **further)
        self.hive.wait_until(lambda: turn in self.hive.ends)
        return self.hive.ends[turn]

    def events(self, kind: str) -> list[dict[str, object]]:
        events = sorted(self.hive.events.items())
        return [event["data"] for _, event in events if event["kind"] == kind]

    def said(self) -> list[object]:
        return [data["text"] for data in self.events("text")]


@pytest.fixture
def stage(hive: FakeServer, box: Path, start_harness: StartHarness) -> Stage:
    stage = Stage(hive, box)
    start_harness()
    return stage


def test_a_script_uses_tools_with_what_the_message_says(stage: Stage) -> None:
    end = stage.play(
        """
        [[rule]]
        on = { from = "queen", body_matches = "do (?P<task>\\\\w+)" }
        [[rule.step]]
        call = "echo"
        args = { to = "{from}", body = "{match.task} done by {agent}", in_reply_to = "{id}" }
        save = "answer"
        [[rule.step]]
        say = "sent to {saved.answer.to}"
        """,
        a_message(body="do sweeping"),
    )
    assert end["outcome"] == "ok"
    assert end["tools"] == {"echo": 1}
    (call,) = stage.events("tool_call")
    assert call["arguments"] == {"to": "queen", "body": "sweeping done by alice", "in_reply_to": 7}
    assert stage.said() == ["sent to queen"]


def test_the_tools_are_reached_through_mcp_with_the_turn(stage: Stage) -> None:
    stage.play('[[rule]]\n[[rule.step]]\ncall = "echo"')
    methods = [message["method"] for _, message in stage.hive.requests]
    # Nobody waits for the answer to what is only told.
    assert {"initialize", "tools/call"} <= set(methods)
    assert {headers["hyperhive-turn"] for headers, _ in stage.hive.requests} == {"1"}


def test_the_first_rule_that_matches_is_played(stage: Stage) -> None:
    script = """
        [[rule]]
        on = { from = "bob" }
        step = [{ say = "from bob" }]
        [[rule]]
        on = { body_contains = "hello", redelivered = false }
        step = [{ say = "hello" }]
        [[rule]]
        on = { redelivered = true }
        step = [{ say = "again" }]
        [[rule]]
        on = { broadcast = true }
        step = [{ say = "to all" }]
        """
    stage.play(
        script,
        a_message(id=1),
        a_message(id=2, redelivered=True),
        a_message(id=3, from_="bob"),
        a_message(id=4, body="x", broadcast=True),
    )
    assert stage.said() == ["hello", "again", "from bob", "to all"]


def test_a_message_that_no_rule_matches_is_noted(stage: Stage) -> None:
    end = stage.play('[[rule]]\non = { from = "bob" }')
    assert end["outcome"] == "ok"
    assert stage.events("note") == [{"text": "No rule matches message 7 from queen."}]


def test_a_once_rule_is_played_once_over_all_turns(stage: Stage) -> None:
    script = (
        '[[rule]]\nonce = true\nstep = [{ say = "first" }]\n[[rule]]\nstep = [{ say = "later" }]'
    )
    stage.play(script)
    stage.play(script)
    assert stage.said() == ["first", "later"]


def test_what_is_saved_is_there_in_the_next_turn(stage: Stage) -> None:
    stage.play('[[rule]]\nstep = [{ call = "echo", args = { n = "{id}" }, save = "it" }]')
    stage.play('[[rule]]\nstep = [{ say = "{saved.it.n}" }]', a_message(id=9))
    assert stage.said() == [7]


def test_a_checkpoint_that_no_rule_is_for_is_noted(stage: Stage) -> None:
    end = stage.play('[[rule]]\nstep = [{ say = "for messages" }]', kind="checkpoint")
    assert end["outcome"] == "ok"
    assert stage.said() == []
    assert stage.events("note") == [{"text": "No rule matches this checkpoint."}]


def test_a_rule_for_checkpoints_is_for_no_message(stage: Stage) -> None:
    script = """
        [[rule]]
        on = { kind = "checkpoint" }
        step = [{ say = "{agent} writes it down" }]
        [[rule]]
        step = [{ say = "a message" }]
        """
    stage.play(script, kind="checkpoint")
    stage.play(script)
    assert stage.said() == ["alice writes it down", "a message"]


def test_a_checkpoint_has_no_message_to_speak_of(stage: Stage) -> None:
    script = '[[rule]]\non = { kind = "checkpoint" }\nstep = [{ say = "{from}" }]'
    end = stage.play(script, kind="checkpoint")
    assert (end["outcome"], "there is no 'from'" in str(end["error"])) == ("failed", True)


def test_a_new_conversation_forgets_what_was_saved_and_not_what_is_done(stage: Stage) -> None:
    script = """
        [[rule]]
        once = true
        step = [{ call = "echo", args = { n = 1 }, save = "it" }, { say = "once" }]
        [[rule]]
        [[rule.step]]
        if = { equals = { "saved.it.n" = 1 } }
        then = [{ say = "known" }]
        else = [{ say = "forgotten" }]
        """
    stage.play(script)
    stage.play(script)
    stage.play(script, a_message(), fresh=True)
    assert stage.said() == ["once", "known", "forgotten"]


def test_a_wait_takes_the_message_it_waits_for_and_leaves_the_others_to_the_rules(
    stage: Stage,
) -> None:
    stage.hive.inbox += [a_message(id=8, from_="bob"), a_message(id=9, body="yes")]
    end = stage.play(
        """
        [[rule]]
        on = { from = "bob" }
        step = [{ say = "bob came with {id}" }]
        [[rule]]
        [[rule.step]]
        wait_for = { body_contains = "yes" }
        expect = { equals = { from = "{from}" } }
        save = "reply"
        [[rule.step]]
        say = "got {saved.reply.id}"
        """
    )
    assert end["outcome"] == "ok"
    assert stage.said() == ["got 9", "bob came with 8"]
    assert len(stage.hive.confirmed) == 2


def test_a_wait_that_is_in_vain_fails_the_turn(stage: Stage) -> None:
    end = stage.play('[[rule]]\nstep = [{ wait_for = { from = "bob" }, seconds = 0.3 }]')
    assert end["outcome"] == "failed"
    assert end["error"] == "rule 1, step 1: no such message came in 0.3 s."


@pytest.mark.parametrize(
    ("expect", "error"),
    [
        ("equals = { n = 2 }", "rule 1, step 1: n is 1, not 2."),
        ('equals = { "a.b" = 2 }', "rule 1, step 1: there is no 'a'; it has n, word."),
        ('contains = { word = "x" }', "rule 1, step 1: word is 'abc', which does not contain 'x'."),
        ("is_error = true", "rule 1, step 1: echo was not refused"),
    ],
)
def test_an_expectation_that_does_not_hold_fails_the_turn(
    stage: Stage, expect: str, error: str
) -> None:
    end = stage.play(
        '[[rule]]\n[[rule.step]]\ncall = "echo"\nargs = { n = 1, word = "abc" }\n'
        f"[rule.step.expect]\n{expect}"
    )
    assert (end["outcome"], end["error"]) == ("failed", error)
    assert stage.events("error") == [{"text": error}]


def refuse(arguments: object) -> dict[str, object]:
    raise Refused("There is no agent 'zoe'.")


def test_a_refusal_nobody_expects_fails_the_turn(stage: Stage) -> None:
    stage.hive.tools["send"] = refuse
    end = stage.play('[[rule]]\nstep = [{ call = "send" }]')
    assert end["error"] == "rule 1, step 1: send was refused: There is no agent 'zoe'."


def test_a_refusal_that_is_expected_can_be_looked_into(stage: Stage) -> None:
    stage.hive.tools["send"] = refuse
    expect = '{ is_error = true, contains = { text = "zoe" } }'
    end = stage.play(f'[[rule]]\nstep = [{{ call = "send", expect = {expect} }}]')
    assert end["outcome"] == "ok"


def test_a_condition_chooses_between_steps(stage: Stage) -> None:
    script = """
        [[rule]]
        [[rule.step]]
        if = { body_contains = "hello", equals = { from = "queen" } }
        then = [{ say = "yes" }]
        else = [{ say = "no" }]
        """
    stage.play(script, a_message(), a_message(from_="bob"), a_message(body="x"))
    assert stage.said() == ["yes", "no", "no"]


def test_a_program_is_run_without_a_shell_and_its_output_is_there(stage: Stage) -> None:
    end = stage.play(
        """
        [[rule]]
        [[rule.step]]
        run = ["printf", "%s", "{body}; $HOME"]
        expect = { contains = { output = "$HOME" } }
        save = "made"
        [[rule.step]]
        say = "{saved.made.output}"
        """,
        a_message(body="hello"),
    )

    assert end["outcome"] == "ok", end
    assert stage.said() == ["hello; $HOME"]


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ('run = ["sh", "-c", "echo broken >&2; exit 3"]', "sh ended with status 3: broken"),
        ('run = ["/nowhere/at-all"]', "/nowhere/at-all cannot be run"),
        ('run = ["sleep", "60"]\nseconds = 0.1', "sleep did not end in 0.1 s"),
    ],
)
def test_a_program_that_does_not_end_well_fails_the_turn(
    stage: Stage, step: str, fault: str
) -> None:
    end = stage.play(f"[[rule]]\n[[rule.step]]\n{step}")

    assert end["outcome"] == "failed"
    assert fault in str(end["error"])


def test_a_script_can_fail_on_purpose(stage: Stage) -> None:
    end = stage.play('[[rule]]\nstep = [{ pause = 0 }, { fail = "{from} asked for it" }]')
    assert (end["outcome"], end["error"]) == ("failed", "queen asked for it")


def test_a_faulty_script_fails_the_turn_with_the_place(stage: Stage) -> None:
    end = stage.play('[[rule]]\nstep = [{ cal = "send" }]')
    assert "script.toml: rule 1, step 1: a step does one of" in str(end["error"])


def test_a_damaged_memory_fails_the_turn_with_a_way_on(stage: Stage, box: Path) -> None:
    (box / ".hyperhive").mkdir()
    (box / ".hyperhive" / "script.json").write_text("{")
    end = stage.play('[[rule]]\nstep = [{ say = "x" }]')
    assert "Remove it to begin anew." in str(end["error"])


def test_an_agent_without_a_script_fails_the_turn(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    hive.driver |= {"kind": "scripted", "script": None}
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: turn in hive.ends)
    assert "driver.script" in hive.ends[turn]["error"]

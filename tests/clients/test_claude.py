"""The real Claude Code in a hive, against a scripted model."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from hyperhive.bootstrap.hive import Patience
from hyperhive.harness.drivers.claude import COMPETING_TOOLS
from tests.clients.scripts import ANSWER, HANG, WORK, refusal
from tests.clients.stages import WAIT_SECONDS, Stage, command_lines, stage

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("clients")]

KEY = "sk-scripted-0123456789"
Play = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture
def play(claude_program: Path) -> Play:
    """A stage whose model plays a script, and then answers well."""

    def set_up(
        script: str,
        *,
        retries: int = 1,
        key: str | None = KEY,
        servers: str = "",
        agent: str = "",
        patience: float | None = None,
        **driver: Any,
    ) -> Any:
        return stage(
            script + ANSWER,
            {"kind": "claude", "command": [str(claude_program)], **driver},
            {"ANTHROPIC_BASE_URL": "{url}", "CLAUDE_CODE_MAX_RETRIES": str(retries)},
            servers=servers,
            agent=agent,
            patience=None if patience is None else Patience(permission=patience),
            credentials={} if key is None else {"ANTHROPIC_API_KEY": key},
        )

    return set_up


async def test_it_receives_and_sends_through_the_bridge_and_ends_its_turn(play: Play) -> None:
    async with play(WORK) as hive:
        await hive.stop()
        first, second = await hive.send("the first"), await hive.send("the second")
        await hive.start()
        turn = await hive.turn()
        assert (turn["outcome"], turn["error"]) == ("ok", None)
        assert await hive.to_operator() == ["got the second"]
        states = [(await hive.message(number))["state"] for number in (first, second)]
        assert states == ["acked", "acked"]
        assert turn["tools"] == {"mcp__hyperhive__recv": 1, "mcp__hyperhive__send": 1}


async def test_its_transcript_and_usage_are_kept(play: Play) -> None:
    async with play(WORK) as hive:
        await hive.stop()
        await hive.send("the first")
        await hive.send("the second")
        await hive.start()
        turn = await hive.turn()
        texts = [data["text"] for data in await hive.transcript(turn, "text")]
        assert texts == ["I look.", "Done."]
        assert [data["text"] for data in await hive.transcript(turn, "thinking")] == [
            "There may be more."
        ]
        assert turn["usage"]["output_tokens"] == 60
        assert turn["usage"]["cost_usd"] > 0


async def test_it_knows_who_it_is_and_has_no_tool_that_competes(play: Play) -> None:
    async with play("") as hive:
        await hive.send("who are you?")
        await hive.turn()
        asked = hive.model.requests[0].conversation
        assert "You are alice, an agent of the hive clients." in asked.system
        assert "You are the one who is tested." in asked.system
        assert "who are you?" in asked.prompt
        assert "mcp__hyperhive__send" in asked.tools
        assert not set(asked.tools) & {*COMPETING_TOOLS, "Agent"}


async def test_its_credential_reaches_the_model_and_no_command_line(play: Play) -> None:
    async with play(HANG) as hive:
        await hive.send("hello")
        await hive.asked()
        assert hive.model.requests[0].headers["x-api-key"] == f"{len(KEY)} characters"
        assert not any(KEY in line for line in command_lines())


async def test_a_conversation_goes_on_in_the_next_turn_and_after_a_restart(play: Play) -> None:
    async with play("") as hive:
        await hive.send("the first")
        await hive.turn()
        await hive.stop()
        await hive.start()
        await hive.send("the second")
        await hive.turns(2)
        said = str(hive.model.requests[-1].body["messages"])
        assert "the first" in said
        assert "the second" in said


async def test_a_conversation_that_is_gone_begins_anew(play: Play) -> None:
    async with play("") as hive:
        await hive.send("the first")
        await hive.turn()
        for path in hive.home.glob(".claude/projects/*/*.jsonl"):
            path.unlink()
        await hive.send("the second")
        turn = (await hive.turns(2))[1]
        notes = [data["text"] for data in await hive.transcript(turn, "note")]
        assert turn["outcome"] == "ok"
        assert "The conversation is gone; a new one begins." in notes


async def test_it_inherits_the_skills_of_the_hive(play: Play) -> None:
    async with play("") as hive:
        skill = Path(hive.environment["HYPERHIVE_DOCS"]) / "skills" / "greet"
        skill.mkdir(parents=True)
        (skill / "SKILL.md").write_text(
            "---\nname: greet\ndescription: How this hive greets.\n---\nSay hello twice.\n"
        )
        await hive.send("hello")
        notes = await hive.transcript(await hive.turn(), "note")
        assert "greet" in notes[0]["skills"]


async def test_a_refused_call_is_shown_to_the_model_and_the_turn_goes_on(play: Play) -> None:
    script = """
[[rule]]
on = { prompt_contains = "write" }
answer = [ { use = "send", args = { to = "nobody", body = "x" } } ]
"""
    async with play(script) as hive:
        await hive.send("write to nobody")
        turn = await hive.turn()
        result = (await hive.transcript(turn, "tool_result"))[0]
        assert (turn["outcome"], result["is_error"]) == ("ok", True)
        assert "There is no recipient 'nobody'." in result["result"]
        assert hive.model.requests[1].conversation.results[0].is_error


async def test_its_own_tools_work_without_being_asked_for(play: Play) -> None:
    script = """
[[rule]]
on = { prompt_contains = "make" }
answer = [ { use = "Bash", args = { command = "echo made > made.txt", description = "make" } } ]
"""
    async with play(script) as hive:
        await hive.send("make it")
        turn = await hive.turn()
        assert turn["outcome"] == "ok"
        assert (Path(hive.environment["HYPERHIVE_STATE"]) / "made.txt").read_text() == "made\n"


@pytest.mark.parametrize("says_yes", [True, False])
async def test_a_call_that_is_not_allowed_waits_for_the_operator(
    play: Play, says_yes: bool
) -> None:
    script = """
[[rule]]
on = { prompt_contains = "make" }
answer = [ { use = "Bash", args = { command = "touch made.txt", description = "make" } } ]
"""
    async with play(
        script, agent='driverTools = ["Bash(git *)"]', permissionPrompts="operator"
    ) as hive:
        await hive.send("make it")
        number = (await hive.approval())["id"]
        shown = await hive.operator(lambda client: client.approval(number))
        assert shown["shown"]["payload"]["tool"] == "Bash"
        assert shown["shown"]["payload"]["input"]["command"] == "touch made.txt"
        await hive.operator(
            lambda client: (
                client.approve(number, shown["digest"])
                if says_yes
                else client.deny(number, "not on a Friday")
            )
        )
        turn = await hive.turn()
        result = (await hive.transcript(turn, "tool_result"))[0]
        made = (Path(hive.environment["HYPERHIVE_STATE"]) / "made.txt").exists()
        assert (turn["outcome"], made, result["is_error"]) == ("ok", says_yes, not says_yes)
        assert ("not on a Friday" in result["result"]) is not says_yes
        assert "mcp__hyperhive__permission_prompt" not in hive.model.requests[0].conversation.tools


async def test_a_call_that_nobody_decides_is_denied_for_now_and_allowed_when_tried_again(
    play: Play,
) -> None:
    script = """
[[rule]]
on = { prompt_contains = "make" }
answer = [ { use = "Bash", args = { command = "touch made.txt", description = "make" } } ]
"""
    async with play(
        script,
        agent='driverTools = ["Bash(git *)"]',
        patience=0.2,
        permissionPrompts="operator",
    ) as hive:
        await hive.send("make it")
        first = await hive.turn()
        result = (await hive.transcript(first, "tool_result"))[0]
        assert "approval 1 is pending" in result["result"]
        shown = await hive.operator(lambda client: client.approval(1))
        await hive.operator(lambda client: client.approve(1, shown["digest"]))
        # The decision's own message begins another turn; the model is asked there, too.
        await hive.send("make it now")
        async with asyncio.timeout(WAIT_SECONDS):
            with hive.run.store.bus.watch() as watch:
                while (await hive.run.approvals.show(1))["used_at"] is None:
                    await watch.wait()
        await hive.turns(2)
        assert (Path(hive.environment["HYPERHIVE_STATE"]) / "made.txt").exists()


async def test_a_further_server_that_does_not_come_up_is_an_alert(play: Play) -> None:
    async with play("", servers='notes = { command = ["/nowhere/notes"] }') as hive:
        await hive.send("hello")
        turn = await hive.turn()
        assert turn["outcome"] == "ok"
        assert (await hive.alert(turn))["mcp_server"] == "notes"


async def test_a_rate_limit_gives_the_message_back_and_counts_no_attempt(play: Play) -> None:
    async with play(refusal(429, "rate_limit_error", times=2)) as hive:
        number = await hive.send("hello")
        turn = await hive.turn()
        assert turn["outcome"] == "rate_limited"
        assert "limits the rate" in turn["error"]
        message = await hive.message(number)
        assert (message["attempts"], "message_released" in await hive.steps(number)) == (0, True)


async def test_a_rate_limit_with_a_reset_says_until_when(claude_program: Path) -> None:
    script = refusal(429, "rate_limit_error", times=1, more=", reset_seconds = 3600") + ANSWER
    driver = {"kind": "claude", "command": [str(claude_program)]}
    # Only an account with a subscription has such limits, so this is a login, not a key.
    login = {"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-scripted"}
    variables = {"ANTHROPIC_BASE_URL": "{url}"}
    async with stage(script, driver, variables, credentials=login) as hive:
        await hive.send("hello")
        turn = await hive.turn()
        assert turn["outcome"] == "rate_limited"
        assert " until 2" in turn["error"]


async def test_an_overload_gives_the_message_back_and_counts_no_attempt(play: Play) -> None:
    async with play(refusal(529, "overloaded_error", times=2)) as hive:
        number = await hive.send("hello")
        turn = await hive.turn()
        assert turn["outcome"] == "rate_limited"
        assert "overloaded" in turn["error"]
        assert (await hive.message(number))["attempts"] == 0


async def test_a_fallback_model_answers_while_the_first_is_overloaded(play: Play) -> None:
    script = """
[[rule]]
on = { model = "claude-opus-4-8" }
refuse = { status = 529, kind = "overloaded_error", message = "Overloaded" }
"""
    models = {"model": "claude-opus-4-8", "fallbackModel": "claude-sonnet-5"}
    async with play(script, retries=4, **models) as hive:
        await hive.send("hello")
        turn = await hive.turn()
        assert turn["outcome"] == "ok"
        assert hive.model.requests[-1].conversation.model == "claude-sonnet-5"


async def test_a_refused_credential_needs_a_login(play: Play) -> None:
    script = refusal(401, "authentication_error", times=4, message="invalid x-api-key")
    async with play(script, retries=10) as hive:
        number = await hive.send("hello")
        turn = await hive.turn()
        assert turn["outcome"] == "needs_login"
        assert "hyperhive login" in turn["error"]
        assert (await hive.message(number))["attempts"] == 0


async def test_a_missing_credential_needs_a_login(play: Play) -> None:
    async with play("", key=None) as hive:
        await hive.send("hello")
        assert (await hive.turn())["outcome"] == "needs_login"
        assert hive.model.requests == []


async def test_a_conversation_too_long_is_compacted_and_the_turn_tried_again(play: Play) -> None:
    script = """
[[rule]]
name = "summary"
on = { prompt_contains = "summary" }
answer = [ { say = "<summary>It was long.</summary>" } ]
""" + refusal(
        400,
        "invalid_request_error",
        times=1,
        on='prompt_contains = "the second"',
        message="prompt is too long: 250000 tokens > 200000 maximum",
    )
    async with play(script) as hive:
        await hive.send("the first")
        await hive.turn()
        await hive.send("the second")
        turn = (await hive.turns(2))[1]
        assert turn["outcome"] == "ok", turn
        assert [request.rule for request in hive.model.requests[1:]] == [
            "refused",
            "summary",
            "well",
        ]


async def test_a_stream_that_breaks_off_gives_the_message_back(play: Play) -> None:
    script = """
[[rule]]
times = 2
answer = [ { say = "I am about to be cut in the midst of a long text that never ends." } ]
cut = true
"""
    async with play(script) as hive:
        number = await hive.send("hello")
        await hive.turns(1)
        await hive.resume()
        first, second = await hive.turns(2)
        assert (first["outcome"], second["outcome"]) == ("rate_limited", "ok")
        assert (await hive.message(number))["state"] == "acked"


async def test_a_turn_that_hangs_reaches_its_limit(play: Play) -> None:
    async with play(HANG, turnLimitSeconds=4) as hive:
        number = await hive.send("hello")
        turn = await hive.turn()
        assert (turn["outcome"], turn["error"]) == (
            "timed_out",
            "The turn reached its limit of 4 s.",
        )
        assert (await hive.message(number))["attempts"] == 1


async def test_a_turn_is_cancelled_in_its_midst_and_leaves_no_process(play: Play) -> None:
    async with play(HANG) as hive:
        number = await hive.send("hello")
        await hive.asked()
        assert hive.programs() != []
        hive.cancel("enough")
        turn = await hive.turn()
        assert (turn["outcome"], turn["error"]) == ("cancelled", "enough")
        assert (await hive.message(number))["attempts"] == 0
        assert hive.programs() == []

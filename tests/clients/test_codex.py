"""The real Codex in a hive, against a scripted model."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.clients.scripts import ANSWER, HANG, WORK, refusal
from tests.clients.stages import Stage, command_lines, stage

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("clients")]

KEY = "sk-scripted-0123456789"

Play = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture
def play(codex_program: Path) -> Play:
    """A stage whose model plays a script, and then answers well."""

    def set_up(
        script: str, *, retries: int = 1, key: str | None = KEY, servers: str = "", **driver: Any
    ) -> Any:
        # A provider of our own, because that of OpenAI takes no number of retries.
        provider = (
            'model_providers.scripted={name="scripted",base_url="{url}/v1",wire_api="responses",'
            f'env_key="CODEX_API_KEY",request_max_retries={retries},stream_max_retries={retries}}}'
        )
        return stage(
            script + ANSWER,
            {
                "kind": "codex",
                "command": [str(codex_program)],
                # Codex offers the tools of a model it does not know in the plain old way.
                "model": "scripted",
                "extraArgs": ["-c", 'model_provider="scripted"', "-c", provider],
                **driver,
            },
            {},
            servers=servers,
            credentials={} if key is None else {"CODEX_API_KEY": key},
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


async def test_it_knows_who_it_is_and_has_no_tool_that_competes(play: Play) -> None:
    async with play("") as hive:
        await hive.send("who are you?")
        await hive.turn()
        asked = hive.model.requests[0].conversation
        assert "You are alice, an agent of the hive clients." in asked.system
        assert "who are you?" in asked.prompt
        assert "mcp__hyperhive__send" in asked.tools
        competing = [name for name in asked.tools if "agent" in name or "goal" in name]
        assert competing == ["mcp__hyperhive__list_agents"]


async def test_its_credential_reaches_the_model_and_no_command_line(play: Play) -> None:
    async with play(HANG) as hive:
        await hive.send("hello")
        await hive.asked()
        bearer = len("Bearer ") + len(KEY)
        assert hive.model.requests[0].headers["authorization"] == f"{bearer} characters"
        assert not any(KEY in line for line in command_lines())


async def test_a_conversation_goes_on_in_the_next_turn_and_counts_only_what_is_new(
    play: Play,
) -> None:
    async with play("") as hive:
        await hive.send("the first")
        await hive.turn()
        await hive.stop()
        await hive.start()
        await hive.send("the second")
        second = (await hive.turns(2))[1]
        said = str(hive.model.requests[-1].body["input"])
        assert "the first" in said
        assert "the second" in said
        assert second["usage"]["output_tokens"] == 20


async def test_a_conversation_that_is_gone_begins_anew(play: Play) -> None:
    async with play("") as hive:
        kept = hive.home / ".hyperhive" / "codex-session.json"
        kept.parent.mkdir()
        kept.write_text('{"id": "01a20279-6685-71f2-93a1-573111a47d2f"}')
        await hive.send("hello")
        turn = await hive.turn()
        notes = [data["text"] for data in await hive.transcript(turn, "note")]
        assert turn["outcome"] == "ok"
        assert "The conversation is gone; a new one begins." in notes


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


async def test_its_shell_works_without_being_asked_for(play: Play) -> None:
    script = """
[[rule]]
on = { prompt_contains = "make" }
answer = [ { use = "exec_command", args = { cmd = "echo made > made.txt" } } ]
"""
    async with play(script) as hive:
        await hive.send("make it")
        turn = await hive.turn()
        assert turn["outcome"] == "ok"
        assert (Path(hive.environment["HYPERHIVE_STATE"]) / "made.txt").read_text() == "made\n"


async def test_a_further_server_that_does_not_come_up_is_an_alert(play: Play) -> None:
    async with play("", servers='notes = { command = ["/nowhere/notes"] }') as hive:
        await hive.send("hello")
        turn = await hive.turn()
        assert turn["outcome"] == "ok"
        assert (await hive.alert(turn))["mcp_server"] == "notes"


async def test_a_rate_limit_gives_the_message_back_and_counts_no_attempt(play: Play) -> None:
    async with play(refusal(429, "rate_limit_error", times=1), retries=0) as hive:
        number = await hive.send("hello")
        turn = await hive.turn()
        assert turn["outcome"] == "rate_limited"
        assert (await hive.message(number))["attempts"] == 0


async def test_a_usage_limit_says_until_when(play: Play) -> None:
    script = refusal(429, "usage_limit_reached", times=1, more=", reset_seconds = 3600")
    async with play(script) as hive:
        await hive.send("hello")
        turn = await hive.turn()
        assert turn["outcome"] == "rate_limited"
        assert " until 2" in turn["error"]


async def test_it_does_not_sleep_for_as_long_as_a_rate_limit_says(play: Play) -> None:
    script = refusal(429, "rate_limit_error", times=9, more=", reset_seconds = 3600")
    async with play(script, retries=5) as hive:
        await hive.send("hello")
        assert (await hive.turn())["outcome"] == "rate_limited"


async def test_an_overload_gives_the_message_back_and_counts_no_attempt(play: Play) -> None:
    async with play(refusal(529, "overloaded_error", times=4)) as hive:
        number = await hive.send("hello")
        turn = await hive.turn()
        assert turn["outcome"] == "rate_limited"
        assert "overloaded" in turn["error"]
        assert (await hive.message(number))["attempts"] == 0


async def test_a_refused_credential_needs_a_login(play: Play) -> None:
    script = refusal(401, "authentication_error", times=4, message="invalid key")
    async with play(script, retries=5) as hive:
        number = await hive.send("hello")
        turn = await hive.turn()
        assert turn["outcome"] == "needs_login"
        assert "hyperhive login" in turn["error"]
        assert (await hive.message(number))["attempts"] == 0


async def test_a_conversation_too_long_is_compacted_and_the_turn_tried_again(play: Play) -> None:
    script = """
[[rule]]
name = "refused"
on = { prompt_contains = "the second" }
times = 1
fail = { kind = "context_length_exceeded", message = "Your input exceeds the context window." }
[[rule]]
name = "summary"
on = { prompt_contains = "CONTEXT CHECKPOINT" }
answer = [ { say = "It was long." } ]
"""
    async with play(script) as hive:
        await hive.send("the first")
        await hive.turn()
        await hive.send("the second")
        turn = (await hive.turns(2))[1]
        assert turn["outcome"] == "ok", turn
        rules = [request.rule for request in hive.model.requests[1:]]
        assert rules == ["refused", "summary", "well", "well"]
        assert "It was long." in str(hive.model.requests[-1].body["input"])


async def test_a_conversation_that_stays_too_long_says_what_to_do(play: Play) -> None:
    script = """
[[rule]]
fail = { kind = "context_length_exceeded", message = "Your input exceeds the context window." }
"""
    async with play(script) as hive:
        number = await hive.send("hello")
        turn = await hive.turn()
        assert turn["outcome"] == "failed"
        assert "Begin a new session" in turn["error"]
        assert (await hive.message(number))["attempts"] == 1


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

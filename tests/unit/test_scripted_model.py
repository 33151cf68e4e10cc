"""The scripted model: which rule answers, and what the clients see of it."""

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hyperhive.demo.model import messages_api, responses_api
from hyperhive.demo.model.conversations import BadRequestError, Conversation, ToolResult
from hyperhive.demo.model.rules import Answer, Player
from hyperhive.demo.model.script import ModelScriptError, Say, Use, parse_script
from hyperhive.demo.model.server import NotLocalError, ScriptedModel, scripted_model

TOOLS = ("mcp__hyperhive__recv", "mcp__hyperhive__send", "Bash")


def asked(
    prompt: str = "hello", *, results: tuple[ToolResult, ...] = (), model: str = "m"
) -> Conversation:
    return Conversation(model, "You are alice.", prompt, results, TOOLS, is_streamed=True)


def result(text: str, tool: str = "mcp__hyperhive__recv", *, is_error: bool = False) -> ToolResult:
    return ToolResult(tool, text, is_error)


def play(script: str, conversation: Conversation) -> Answer:
    return Player(parse_script(script)).answer(conversation)


class TestRules:
    def test_the_first_rule_that_matches_answers(self) -> None:
        script = """
[[rule]]
on = { prompt_contains = "bye" }
answer = [ { say = "one" } ]
[[rule]]
answer = [ { say = "two" } ]
[[rule]]
answer = [ { say = "three" } ]
"""
        assert play(script, asked()).blocks == (Say("two"),)

    @pytest.mark.parametrize(
        ("on", "matches"),
        [
            ('model = "m"', True),
            ('model = "other"', False),
            ("request = 1", True),
            ("request = 2", False),
            ('system_contains = "alice"', True),
            ('system_contains = "bob"', False),
            ('offers = "recv"', True),
            ('offers = "fly"', False),
            ('prompt_matches = "h.l+o$"', True),
            ('prompt_matches = "^lo"', False),
            ('after = "recv"', False),
            ('result_contains = ""', False),
        ],
    )
    def test_a_prompt_matches_by_what_it_says(self, on: str, matches: bool) -> None:
        script = f"[[rule]]\non = {{ {on} }}\nanswer = [ {{ say = 'x' }} ]"
        assert (play(script, asked()).failure is None) is matches

    @pytest.mark.parametrize(
        ("on", "matches"),
        [
            ("", False),
            ('after = "recv"', True),
            ('after = "mcp__hyperhive__recv"', True),
            ('after = "send"', False),
            ('result_contains = "appl"', True),
            ('result_contains = "pear"', False),
            ("result_is_error = false", True),
            ("result_is_error = true", False),
            ("request = 1", True),
        ],
    )
    def test_a_result_matches_only_a_rule_about_results(self, on: str, matches: bool) -> None:
        script = f"[[rule]]\non = {{ {on} }}\nanswer = [ {{ say = 'x' }} ]"
        assert (play(script, asked(results=(result("apples"),))).failure is None) is matches

    def test_a_rule_answers_only_so_often(self) -> None:
        script = (
            "[[rule]]\ntimes = 1\nanswer = [ { say = '1' } ]\n[[rule]]\nanswer = [ { say = '2' } ]"
        )
        player = Player(parse_script(script))
        assert [player.answer(asked()).blocks for _ in range(3)] == [
            (Say("1"),),
            (Say("2"),),
            (Say("2"),),
        ]

    def test_a_template_speaks_of_the_results(self) -> None:
        script = """
[[rule]]
on = { after = "recv" }
answer = [ { use = "send", args = { to = "{result.from}", id = "{result.id}", n = 3 } } ]
"""
        answer = play(script, asked(results=(result('{"from": "bob", "id": 7}'),)))
        arguments = {"to": "bob", "id": 7, "n": 3}
        assert answer.blocks == (Use("mcp__hyperhive__send", arguments),)

    def test_a_template_speaks_of_the_groups_of_a_pattern(self) -> None:
        script = """
[[rule]]
on = { prompt_matches = "from (?P<who>[a-z]+)" }
answer = [ { say = "hello {match.who}" } ]
"""
        assert play(script, asked("a message from bob")).blocks == (Say("hello bob"),)

    def test_what_no_rule_is_for_is_refused_with_what_was_asked(self) -> None:
        failure = play("", asked("something else")).failure
        assert failure is not None
        assert failure.status == 400
        assert "something else" in failure.message

    def test_a_template_without_a_value_is_refused_with_its_place(self) -> None:
        script = "[[rule]]\nname = 'r'\nanswer = [ { say = '{match.who}' } ]"
        failure = play(script, asked()).failure
        assert failure is not None
        assert "rule r" in failure.message


class TestScripts:
    @pytest.mark.parametrize(
        ("script", "complaint"),
        [
            ("[[rule", "not TOML"),
            ("rules = 1", "'rules' is not known"),
            ("[[rule]]\nname = 'r'", "answers nothing"),
            ("[[rule]]\nanswers = []", "'answers' is not known"),
            ("[[rule]]\nanswer = [ { shout = 'x' } ]", "exactly one of say, think, use"),
            ("[[rule]]\nanswer = [ { say = 'x', use = 'y' } ]", "exactly one of"),
            ("[[rule]]\nanswer = [ { say = '{nobody}' } ]", "{nobody} is not known"),
            ("[[rule]]\non = { prompt_matches = '(' }\nhang = true", "no pattern"),
            ("[[rule]]\non = { request = true }\nhang = true", "must be int"),
            ("[[rule]]\nhang = true\ncut = true", "exclude each other"),
            ("[[rule]]\nrefuse = { status = 200 }", "from 400 to 599"),
            ("[[rule]]\nusage = { tokens = 1 }\nhang = true", "'tokens' is not known"),
        ],
    )
    def test_a_fault_is_told_with_its_place(self, script: str, complaint: str) -> None:
        with pytest.raises(ModelScriptError) as caught:
            parse_script(script)
        assert complaint in str(caught.value)


class TestMessages:
    def test_the_newest_prompt_is_found_behind_results_and_reminders(self) -> None:
        use = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}
        outcome = {"type": "tool_result", "tool_use_id": "t1", "content": "done", "is_error": True}
        conversation = messages_api.read(
            {
                "model": "m",
                "system": [{"type": "text", "text": "Be good."}],
                "messages": [
                    {"role": "user", "content": "do it"},
                    {"role": "system", "content": "a reminder"},
                    {"role": "assistant", "content": [use]},
                    {"role": "user", "content": [outcome]},
                    {"role": "system", "content": "another"},
                ],
            }
        )
        assert conversation.prompt == "do it"
        assert conversation.results == (ToolResult("Bash", "done", is_error=True),)
        assert conversation.system == "Be good.\na reminder\nanother"

    @pytest.mark.parametrize("body", [{}, {"model": "m"}, {"model": "m", "messages": "x"}])
    def test_what_is_no_request_is_refused(self, body: Mapping[str, Any]) -> None:
        with pytest.raises(BadRequestError):
            messages_api.read(body)


class TestResponses:
    def test_a_tool_in_a_namespace_has_a_joined_name(self) -> None:
        tool = {"type": "function", "name": "recv"}
        conversation = responses_api.read(
            {
                "model": "m",
                "input": [{"type": "message", "role": "user", "content": [{"text": "hi"}]}],
                "tools": [{"type": "namespace", "name": "mcp__hyperhive", "tools": [tool]}],
            }
        )
        assert conversation.tools == ("mcp__hyperhive__recv",)

    def test_results_are_those_behind_the_last_call(self) -> None:
        call = {"type": "function_call", "call_id": "c1", "namespace": "mcp__h", "name": "recv"}
        outcome = {"type": "function_call_output", "call_id": "c1", "output": "done"}
        prompt = {"type": "message", "role": "user", "content": [{"text": "do it"}]}
        conversation = responses_api.read({"model": "m", "input": [prompt, call, outcome]})
        assert conversation.results == (ToolResult("mcp__h__recv", "done", is_error=False),)
        assert conversation.prompt == "do it"


HELLO = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}


class TestServer:
    pytestmark = pytest.mark.anyio

    async def test_an_answer_is_streamed_as_events(self) -> None:
        async with serving("[[rule]]\nanswer = [ { say = 'Good day.' } ]") as model:
            status, body = await post(model, "/v1/messages", HELLO)
        names = [event["type"] for event in events(body)]
        assert status == 200
        assert names == [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]

    async def test_the_other_language_ends_with_its_usage(self) -> None:
        script = "[[rule]]\nanswer = [ { say = 'x' } ]\nusage = { output_tokens = 9 }"
        content = [{"type": "input_text", "text": "hello"}]
        asked = {"type": "message", "role": "user", "content": content}
        async with serving(script) as model:
            _, body = await post(
                model, "/v1/responses", {"model": "m", "stream": True, "input": [asked]}
            )
        last = list(events(body))[-1]
        assert (last["type"], last["response"]["usage"]["output_tokens"]) == (
            "response.completed",
            9,
        )

    async def test_who_does_not_stream_gets_one_document(self) -> None:
        async with serving("[[rule]]\nanswer = [ { say = 'Good day.' } ]") as model:
            _, body = await post(model, "/v1/messages", {**HELLO, "stream": False})
        assert json.loads(body)["content"] == [{"type": "text", "text": "Good day."}]

    async def test_a_refusal_has_its_status_and_kind(self) -> None:
        script = "[[rule]]\nrefuse = { status = 529, kind = 'overloaded_error', message = 'no' }"
        async with serving(script) as model:
            status, body = await post(model, "/v1/messages", HELLO)
        error = {"type": "overloaded_error", "message": "no"}
        assert (status, json.loads(body)["error"]) == (529, error)

    async def test_a_stream_that_is_cut_has_no_end(self) -> None:
        async with serving("[[rule]]\nanswer = [ { say = 'Good day.' } ]\ncut = true") as model:
            with pytest.raises(http.client.IncompleteRead) as caught:
                await post(model, "/v1/messages", HELLO)
        assert b"message_stop" not in caught.value.partial

    async def test_a_stream_can_end_with_an_error(self) -> None:
        script = "[[rule]]\nanswer = [ { say = 'x' } ]\nfail = { kind = 'overloaded_error' }"
        async with serving(script) as model:
            _, body = await post(model, "/v1/messages", HELLO)
        assert list(events(body))[-1]["error"]["type"] == "overloaded_error"

    async def test_an_answer_that_hangs_ends_with_its_client(self) -> None:
        async with serving("[[rule]]\nanswer = [ { say = 'x' } ]\nhang = true") as model:
            with pytest.raises(TimeoutError):
                await post(model, "/v1/messages", HELLO, seconds=2.0)
            assert len(model.requests) == 1

    async def test_what_was_asked_is_kept_without_the_credential(self) -> None:
        async with serving("[[rule]]\nanswer = [ { say = 'x' } ]") as model:
            await post(model, "/v1/messages", HELLO, {"X-Api-Key": "sk-secret"})
            kept = model.requests[0]
        assert kept.conversation.prompt == "hello"
        assert kept.headers["x-api-key"] == "9 characters"
        assert "sk-secret" not in repr(kept)

    @pytest.mark.parametrize("body", [b"{", b"[]", b'{"model": "m"}', b"\xff"])
    async def test_what_is_no_request_is_answered_400(self, body: bytes) -> None:
        async with serving("[[rule]]\nhang = true") as model:
            status, _ = await post(model, "/v1/messages", body)
        assert status == 400

    async def test_it_listens_on_no_other_address_than_the_machines_own(self) -> None:
        with pytest.raises(NotLocalError):
            async with scripted_model((), address="0.0.0.0"):
                pytest.fail("it listens")

    async def test_it_can_listen_on_a_unix_socket(self, tmp_path: Path) -> None:
        path = tmp_path / "model"
        async with scripted_model((), socket=path) as model:
            assert model.url == f"unix:{path}"
            assert await asyncio.to_thread(_knock, path)


def serving(script: str) -> Any:
    return scripted_model(parse_script(script))


async def post(
    model: ScriptedModel,
    path: str,
    body: Mapping[str, Any] | bytes,
    headers: Mapping[str, str] | None = None,
    seconds: float = 10.0,
) -> tuple[int, bytes]:
    """Ask the model; give the status and the body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def ask() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(model.url.removeprefix("http://"), timeout=seconds)
        try:
            connection.request("POST", path, data, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


def events(body: bytes) -> Iterator[dict[str, Any]]:
    """The data of server-sent events."""
    for line in body.decode().splitlines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def _knock(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(b"HEAD / HTTP/1.1\r\nHost: model\r\n\r\n")
        return connection.recv(64).startswith(b"HTTP/1.1 200")

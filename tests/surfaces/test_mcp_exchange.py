"""The short way of a tool call is, from outside, the same as the library's own transport."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hyperhive.surfaces.mcp import exchanges
from tests.surfaces.hives import MCP, Answer, Whole, a_whole_hive

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Let one hive serve all of this file: nothing here changes it."""
    return "asyncio"


@pytest.fixture(scope="module")
async def hive(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    async with a_whole_hive(tmp_path_factory.mktemp("hive")) as whole:
        yield whole


def a_call(number: object, params: object, **others: object) -> bytes:
    request = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    return json.dumps({**request, **others}).encode()


WHOAMI = {"name": "whoami", "arguments": {}}

CASES: list[tuple[bytes, dict[str, str]]] = [
    (a_call(1, WHOAMI), {}),
    (a_call("x", {"name": "list_agents"}), {}),
    (a_call(2, {"name": "nope", "arguments": {}}), {}),
    (a_call(3, {"name": "send", "arguments": {"to": 1}}), {}),
    (a_call(3, {"name": "send", "arguments": []}), {}),
    (a_call(4, {}), {}),
    (a_call(5, None), {}),
    (a_call(6, {"name": "whoami", "_meta": {"progressToken": 7}}), {}),
    (a_call(6, {"name": "whoami", "_meta": 5}), {}),
    (a_call(True, WHOAMI), {}),
    (a_call(1.5, WHOAMI), {}),
    (a_call(None, WHOAMI), {}),
    (a_call(1, WHOAMI, extra=1), {}),
    (a_call(1, WHOAMI, jsonrpc="1.0"), {}),
    (a_call(1, {"name": "whoami", "bogus": 1}), {}),
    (a_call(1, {"name": 5}), {}),
    (b"{", {}),
    (b"[]", {}),
    (b"[" + a_call(1, WHOAMI) + b"]", {}),
    (b"\xff", {}),
    (a_call(1, WHOAMI), {"content-type": "text/plain"}),
    (a_call(1, WHOAMI), {"accept": "text/html"}),
    (a_call(1, WHOAMI), {"mcp-protocol-version": "2025-06-18"}),
    (a_call(1, WHOAMI), {"mcp-protocol-version": "2024-11-05"}),
    (a_call(1, WHOAMI), {"mcp-protocol-version": "bad"}),
]


def told(answer: Answer) -> tuple[int, Any]:
    try:
        return answer.status, answer.json()
    except ValueError:
        return answer.status, answer.body


@pytest.mark.parametrize(("body", "headers"), CASES)
async def test_an_exchange_answers_as_the_transport_does(
    hive: Whole, monkeypatch: pytest.MonkeyPatch, body: bytes, headers: dict[str, str]
) -> None:
    box = hive.box("alice")
    short = told(await box.ask("POST", "/mcp", body=body, headers={**MCP, **headers}))

    monkeypatch.setattr(exchanges, "tool_call", lambda _scope, _body: None)
    long = told(await box.ask("POST", "/mcp", body=body, headers={**MCP, **headers}))

    assert short == long


async def test_an_ordinary_tool_call_goes_the_short_way(hive: Whole) -> None:
    scope = {"headers": [(name.encode(), value.encode()) for name, value in MCP.items()]}

    assert exchanges.tool_call(scope, a_call(1, WHOAMI)) is not None

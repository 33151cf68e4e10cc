"""What MCP on an agent's socket is, and how it refuses: by the protocol, and in sentences."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hyperhive.config.agents import Tool as KnownTool
from tests.promises import promise
from tests.surfaces.hives import MCP, Box, Whole, a_whole_hive

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Let one hive serve all of this file: nothing here changes it."""
    return "asyncio"


@pytest.fixture(scope="module")
async def hive(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    settings: dict[str, Any] = {
        "alice": {"mayMessage": ["queen"]},
        "bob": {"tools": ["recv", "whoami"]},
    }
    async with a_whole_hive(tmp_path_factory.mktemp("hive"), **settings) as whole:
        yield whole


@pytest.fixture
def alice(hive: Whole) -> Box:
    return hive.box("alice")


@pytest.fixture
def queen(hive: Whole) -> Box:
    return hive.box("queen")


FIRST_TOOLS = ["recv", "send", "ack"]
"""What a model needs in every turn stands first."""


VERSIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]


NEWEST = "2026-07-28"


META = "io.modelcontextprotocol/"


async def names(box: Box, **headers: str) -> list[str]:
    """Give the names of the tools that are listed."""
    answer = await box.rpc("tools/list", headers=headers)
    return [tool["name"] for tool in answer.json()["result"]["tools"]]


async def test_every_tool_is_described_for_a_model(queen: Box) -> None:
    tools = (await queen.rpc("tools/list")).json()["result"]["tools"]

    names = [tool["name"] for tool in tools]
    assert names[: len(FIRST_TOOLS)] == FIRST_TOOLS
    assert sorted(names) == sorted(known.value for known in KnownTool)
    for tool in tools:
        assert len(tool["description"]) > 40, tool["name"]
        assert tool["inputSchema"]["type"] == "object"
        assert tool["inputSchema"]["additionalProperties"] is False
        for name, schema in tool["inputSchema"].get("properties", {}).items():
            assert schema["description"], (tool["name"], name)


@promise("I1")
async def test_no_tool_takes_a_sender(queen: Box) -> None:
    tools = (await queen.rpc("tools/list")).json()["result"]["tools"]

    taken = {name for tool in tools for name in tool["inputSchema"].get("properties", {})}
    assert {"to", "body", "key"} < taken
    assert not taken & {"from", "sender", "as", "by", "actor", "asker", "requester", "answerer"}


async def test_the_same_agent_is_always_listed_the_same_tools(alice: Box) -> None:
    first = (await alice.rpc("tools/list")).body.partition(b'"result"')[2]

    for version in VERSIONS:
        headers = {"mcp-protocol-version": version}
        again = await alice.rpc("tools/list", headers=headers)
        assert again.body.partition(b'"result"')[2] == first, version


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_handshake_agrees_on_what_the_client_speaks(alice: Box, version: str) -> None:
    hello = {
        "protocolVersion": version,
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }

    answer = await alice.rpc("initialize", hello)

    result = answer.json()["result"]
    assert result["protocolVersion"] == version
    assert result["serverInfo"]["name"] == "hyperhive"
    assert "recv" in result["instructions"]


async def test_a_version_nobody_knows_is_offered_one_that_we_speak(alice: Box) -> None:
    hello = {
        "protocolVersion": "1999-01-01",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }

    result = (await alice.rpc("initialize", hello)).json()["result"]

    assert result["protocolVersion"] in VERSIONS


async def test_the_newest_protocol_needs_no_handshake(alice: Box) -> None:
    meta = {
        f"{META}protocolVersion": NEWEST,
        f"{META}clientInfo": {"name": "test", "version": "1"},
        f"{META}clientCapabilities": {},
    }
    headers = {"mcp-protocol-version": NEWEST, "mcp-method": "tools/list"}

    answer = await alice.rpc("tools/list", {"_meta": meta}, headers=headers)

    assert answer.status == 200, answer
    listed = [tool["name"] for tool in answer.json()["result"]["tools"]]
    assert listed == await names(alice)


@promise("I1")
@pytest.mark.parametrize("field", ["from", "sender", "agent", "actor", "as"])
async def test_no_argument_says_otherwise(hive: Whole, queen: Box, field: str) -> None:
    called = await queen.call("send", {"to": "alice", "body": "x", field: "bob"})

    assert called.refusal is not None
    assert field in called.refusal
    assert "to, body, in_reply_to, key" in called.refusal
    assert (await hive.admin.get("/api/state"))["messages"] == []


@promise("M11", "T1")
async def test_an_unknown_recipient_is_told_the_known_ones(queen: Box) -> None:
    called = await queen.call("send", to="carol", body="x")

    assert called.refusal is not None
    for known in ("alice", "bob", "operator", "manager", "*"):
        assert known in called.refusal


@promise("M11", "T1")
@pytest.mark.parametrize("to", ["bob", "operator"])
async def test_a_forbidden_recipient_is_told_which_option_forbids_it(alice: Box, to: str) -> None:
    called = await alice.call("send", to=to, body="x")

    assert called.refusal is not None
    assert "agents.alice.mayMessage" in called.refusal
    assert "queen" in called.refusal


@promise("T1")
async def test_a_tool_that_is_not_granted_is_neither_listed_nor_callable(hive: Whole) -> None:
    bob = hive.box("bob")

    called = await bob.call("send", to="queen", body="x")

    assert await names(bob) == ["recv", "whoami"]
    assert called.refusal is not None
    assert "agents.bob.tools" in called.refusal
    assert "recv, whoami" in called.refusal
    assert (await bob.call("whoami")).result["tools"] == ["recv", "whoami"]
    assert (await hive.admin.get("/api/state"))["messages"] == []


@promise("T1")
@pytest.mark.parametrize(
    "tool", ["", "approve", "Send", "send ", "tools/call", "../send", "\0", "x" * 5000]
)
async def test_an_unknown_tool_is_told_the_known_ones(queen: Box, tool: str) -> None:
    called = await queen.call(tool)

    assert called.refusal is not None
    assert "message_status" in called.refusal


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("send", {}),
    ("send", {"to": "alice"}),
    ("send", {"to": ["alice"], "body": "x"}),
    ("send", {"to": "alice", "body": 5}),
    ("send", {"to": "alice", "body": ""}),
    ("send", {"to": "alice", "body": "x", "in_reply_to": "5"}),
    ("send", {"to": "alice", "body": "x", "in_reply_to": 999}),
    ("send", {"to": "alice", "body": "x", "in_reply_to": 10**30}),
    ("send", {"to": "alice", "body": "x", "key": ""}),
    ("recv", {"wait_seconds": -1}),
    ("recv", {"wait_seconds": 51}),
    ("recv", {"wait_seconds": "long"}),
    ("recv", {"max": 0}),
    ("recv", {"max": 33}),
    ("recv", {"max": 1.5}),
    ("recv", {"max": True}),
    ("ack", {}),
    ("ack", {"ids": 5}),
    ("ack", {"ids": ["5"]}),
    ("ack", {"ids": [10**30]}),
    ("ack", {"ids": [999]}),
    ("ack", {"ids": list(range(1001))}),
    ("set_status", {"text": "x" * 201}),
    ("set_status", {"text": None}),
    ("message_status", {"id": 999}),
    ("message_status", {"id": -1}),
    ("message_status", {"id": 10**30}),
    ("whoami", {"name": "queen"}),
]


@promise("T1")
@pytest.mark.parametrize(("tool", "arguments"), WRONG, ids=lambda value: str(value)[:50])
async def test_wrong_arguments_are_refused_in_a_sentence(
    hive: Whole, queen: Box, tool: str, arguments: dict[str, Any]
) -> None:
    before = hive.run.store.bus.seq

    called = await queen.call(tool, arguments)

    assert called.refusal is not None
    assert called.refusal.endswith(".")
    assert "inside the hive" not in called.refusal
    assert hive.run.store.bus.seq == before


RPC: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"{", 400),
    (b"null", 400),
    (b"5", 400),
    (b"[]", 400),
    (b"{}", 400),
    (b'[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]', 400),
    (b"\xff\xfe\x00", 400),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/list\xff"}', 400),
    (b'{"jsonrpc":"1.0","id":1,"method":"tools/list"}', 400),
    (b'{"jsonrpc":"2.0","id":1}', 400),
    (b'{"jsonrpc":"2.0","id":1,"method":5}', 400),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}', 400),
    (b"[" * 200_000, 400),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":' + b'{"a":' * 100_000, 400),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + b"x" * (2 << 20), 413),
]


@promise("T2")
@pytest.mark.parametrize(("body", "status"), RPC, ids=lambda value: repr(value)[:60])
async def test_what_is_no_request_is_answered_with_a_json_rpc_error(
    alice: Box, body: bytes, status: int
) -> None:
    answer = await alice.ask("POST", "/mcp", headers=MCP, body=body)

    assert answer.status == status
    error = answer.json()["error"]
    assert isinstance(error["code"], int)
    assert error["message"]


@promise("T2")
@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "id": 1, "method": "nope"},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call"},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 5}},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"arguments": {}}},
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "send", "arguments": []},
        },
        {"jsonrpc": "2.0", "id": 1, "method": "resources/list"},
        {"jsonrpc": "2.0", "id": 1, "method": "prompts/get", "params": {"name": "x"}},
        {"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {}},
    ],
    ids=lambda message: json.dumps(message)[33:80],
)
async def test_a_method_or_parameters_that_are_wrong_are_an_error_for_that_request(
    alice: Box, message: dict[str, Any]
) -> None:
    answer = await alice.ask("POST", "/mcp", headers=MCP, data=message)

    assert answer.status == 200
    assert answer.json()["id"] == 1
    assert answer.json()["error"]["message"]


@promise("T2")
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_only_post_is_answered_and_nothing_hangs(alice: Box, method: str) -> None:
    answer = await alice.ask(method, "/mcp", headers=MCP)

    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["error"]["message"]


@promise("T2")
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_another_content_type_is_refused(alice: Box, kind: str) -> None:
    headers = {"accept": MCP["accept"]} | ({"content-type": kind} if kind else {})
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'

    answer = await alice.ask("POST", "/mcp", headers=headers, body=body)

    assert 400 <= answer.status < 500


async def test_a_notification_is_taken_without_an_answer(alice: Box) -> None:
    message = {"jsonrpc": "2.0", "method": "notifications/initialized"}

    answer = await alice.ask("POST", "/mcp", headers=MCP, data=message)

    assert (answer.status, answer.body) == (202, b"")

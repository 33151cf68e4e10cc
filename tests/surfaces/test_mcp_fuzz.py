"""Whatever a model or its malware makes of the tools: an answer in time, and no failure of ours."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.promises import promise
from tests.surfaces.hives import MCP, Answer, Beside, a_harness, a_hive_beside
from tests.surfaces.oddities import JSON, LIGHT

LONGEST_WAIT = 0.01
STEPS = ["work", "heartbeat", "probe", "turns/1/begin", "turns/1/events", "turns/1/end"]


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    with a_hive_beside(tmp_path_factory.mktemp("hive")) as beside:
        yield beside


@pytest.fixture(scope="module")
def tools(beside: Beside) -> dict[str, list[str]]:
    """Give the arguments of every tool."""
    listed = beside.do(beside.hive.box("queen").rpc("tools/list")).json()["result"]["tools"]
    return {tool["name"]: sorted(tool["inputSchema"].get("properties", {})) for tool in listed}


def without_a_long_wait(arguments: dict[str, Any]) -> dict[str, Any]:
    """Shorten a wait that the tool would grant: nobody has that long."""
    wait = arguments.get("wait_seconds")
    if isinstance(wait, int | float) and 0 < wait <= 50:
        return arguments | {"wait_seconds": LONGEST_WAIT}
    return arguments


@promise("T1", "T2")
@given(data=st.data())
@LIGHT
def test_no_arguments_of_a_tool_are_a_failure_of_ours(
    beside: Beside, tools: dict[str, list[str]], data: st.DataObject
) -> None:
    tool = data.draw(st.sampled_from(sorted(tools)))
    named = [name for name in tools[tool] if data.draw(st.booleans())]
    arguments = {name: data.draw(JSON, label=name) for name in named}
    arguments |= data.draw(st.dictionaries(st.text(max_size=5), JSON, max_size=1))
    turn = data.draw(st.none() | st.sampled_from([0, 1, 999, 2**60]))

    queen = beside.hive.box("queen")
    called = beside.do(queen.call(tool, without_a_long_wait(arguments), turn=turn))

    assert beside.errors() == []
    if called.refusal is not None:
        assert "inside the hive" not in called.refusal
        assert len(called.refusal) > 10


@promise("T2")
@given(
    changes=st.dictionaries(
        st.sampled_from(["jsonrpc", "id", "method", "params"]), JSON, max_size=2
    ),
    extra=st.dictionaries(st.text(max_size=5), JSON, max_size=1),
    batch=st.booleans(),
)
@LIGHT
def test_no_message_is_a_failure_of_ours(
    beside: Beside, changes: dict[str, Any], extra: dict[str, Any], batch: bool
) -> None:
    call = {"name": "whoami", "arguments": {}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call} | changes | extra
    said: Any = [message, message] if batch else message

    answer = beside.do(beside.hive.box("queen").ask("POST", "/mcp", headers=MCP, data=said))

    assert answer.status in {200, 202, 400}
    assert beside.errors() == []


@promise("T2")
@given(
    body=st.binary(max_size=200),
    path=st.sampled_from(["mcp", "deliveries/x/confirm"]) | st.text("abc./%_-", max_size=20),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
)
@LIGHT
def test_no_bytes_are_a_failure_of_ours(
    beside: Beside, body: bytes, path: str, method: str
) -> None:
    alice = beside.hive.box("alice")

    answer = beside.do(alice.ask(method, f"/{path}", headers=MCP, body=body))

    assert answer.status < 500
    assert beside.errors() == []


@promise("T2")
@given(
    step=st.sampled_from(STEPS),
    changes=st.dictionaries(
        st.sampled_from(["wait_seconds", "turn", "events", "outcome", "error", "usage", "tools"]),
        JSON,
        max_size=4,
    ),
)
@LIGHT
def test_nothing_that_a_harness_says_is_a_failure_of_ours(
    beside: Beside, step: str, changes: dict[str, Any]
) -> None:
    bob = beside.hive.box("bob")
    body = without_a_long_wait({"session": "session-1", "wait_seconds": 0} | changes)

    async def said() -> Answer:
        async with a_harness(bob):
            return await bob.ask("POST", f"/harness/{step}", body=json.dumps(body).encode())

    assert beside.do(said()).status < 500
    assert beside.errors() == []

"""Approvals over the wire: an agent asks, the operator decides, the manager leads."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.promises import promise
from tests.surfaces.hives import Whole, a_whole_hive, until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def hive(tmp_path: Path) -> AsyncIterator[Whole]:
    async with a_whole_hive(tmp_path) as whole:
        yield whole


async def asked(hive: Whole) -> int:
    called = await hive.box("alice").call(
        "request_approval", title="Delete it", payload={"branch": "old"}
    )
    return int(called.result["id"])


async def test_an_agent_asks_and_the_operator_says_yes(hive: Whole) -> None:
    number = await asked(hive)
    shown = await hive.operator.get(f"/api/approvals/{number}")
    assert shown["shown"]["payload"] == {"branch": "old"}

    await hive.operator.post(f"/api/approvals/{number}/approve", {"digest": shown["digest"]})

    async def is_done() -> bool:
        return bool((await hive.admin.get(f"/api/approvals/{number}"))["state"] == "done")

    await until(is_done)
    got = await hive.box("alice").call("recv")
    assert got.result["messages"][0]["body"].startswith('approval_resolved {"id":1,')


async def test_a_digest_that_does_not_fit_is_a_conflict(hive: Whole) -> None:
    number = await asked(hive)
    answer = await hive.operator.ask(
        "POST", f"/api/approvals/{number}/approve", data={"digest": "0" * 64}
    )
    assert (answer.status, answer.json()["code"]) == (409, "conflict")


@promise("I6")
async def test_what_the_operator_asks_for_is_in_the_audit_log_with_its_way_in(hive: Whole) -> None:
    for client, name, way in (
        (hive.operator, "carol", "http"),
        (hive.admin, "dave", "admin socket"),
    ):
        asked = await client.post("/api/spawn", {"name": name, "description": "sings"})
        (entry, *_) = (await hive.operator.get("/api/audit"))["entries"]
        assert (entry["verb"], entry["subject"]) == ("request_spawn", f"approval:{asked['id']}")
        assert entry["via"] == way


@pytest.mark.parametrize("verb", ["approve", "deny", "cancel"])
async def test_a_stranger_decides_nothing(hive: Whole, verb: str) -> None:
    number = await asked(hive)
    answer = await hive.stranger.ask("POST", f"/api/approvals/{number}/{verb}", data={})
    assert answer.status == 401


async def test_inputs_are_not_updated_where_there_is_no_flake(hive: Whole) -> None:
    answer = await hive.operator.ask("POST", "/api/hive/update-inputs", data={})
    assert answer.status == 409
    assert "no agent of this hive is built from a flake" in answer.json()["detail"]
    called = await hive.box("queen").call("request_update_inputs")
    assert "flake" in (called.refusal or "")


async def test_only_whom_it_is_declared_for_is_granted_the_tool_that_asks_for_permission(
    tmp_path: Path,
) -> None:
    asks = {"driver": {"kind": "claude", "permissionPrompts": "operator"}, "tools": ["recv"]}
    async with a_whole_hive(tmp_path, alice=asks) as hive:
        tools = {
            name: [each["name"] for each in answer.json()["result"]["tools"]]
            for name in ("alice", "bob")
            for answer in [await hive.box(name).rpc("tools/list")]
        }
        assert tools["alice"] == ["recv", "permission_prompt"]
        assert "permission_prompt" not in tools["bob"]
        refused = await hive.box("bob").call("permission_prompt", tool_name="Bash", input={})
        assert "There is no tool 'permission_prompt'" in (refused.refusal or "")


@promise("A9")
async def test_the_manager_stops_and_starts_but_undoes_no_hold_of_the_operator(
    hive: Whole,
) -> None:
    queen = hive.box("queen")
    assert (await queen.call("stop", agent="alice")).result["did"] == "stop"
    assert (await queen.call("start", agent="alice")).result["did"] == "start"
    assert (await queen.call("stop", agent="queen")).refusal is not None
    await hive.operator.post("/api/agents/alice/stop")

    refused = await queen.call("start", agent="alice")

    assert "held by operator" in (refused.refusal or "")
    log = (await hive.admin.get("/api/audit"))["entries"]
    assert [(each["actor"], each["verb"]) for each in reversed(log)] == [
        ("queen", "stop"),
        ("queen", "start"),
        ("operator", "stop"),
    ]


@promise("A9")
@pytest.mark.parametrize("tool", ["start", "stop", "restart", "rebuild", "get_logs"])
async def test_a_worker_has_none_of_the_managers_tools(hive: Whole, tool: str) -> None:
    refused = await hive.box("bob").call(tool, agent="alice")
    assert "ask it with `send` to `manager`" in (refused.refusal or "")

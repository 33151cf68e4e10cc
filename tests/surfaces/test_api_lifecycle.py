"""The operator's hand on the agents, over HTTP: who may, what is answered, what is told of it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.agents import AgentState
from hyperhive.services.conditions import RecordedConditions
from hyperhive.services.disk import GIB, Room
from tests.surfaces.hives import Box, Whole, a_harness, a_whole_hive

pytestmark = pytest.mark.anyio

SMALL = {"driver": {"kind": "command", "command": ["true"], "model": "small"}}


@pytest.fixture
async def hive(tmp_path: Path) -> AsyncIterator[Whole]:
    async with a_whole_hive(tmp_path, alice=SMALL) as whole:
        yield whole


async def agent(hive: Whole, name: str = "alice") -> dict[str, Any]:
    state = await hive.admin.get("/api/state")
    found: dict[str, Any] = next(each for each in state["agents"] if each["name"] == name)
    return found


async def offered(box: Box) -> dict[str, Any] | None:
    answer = await box.harness("work", session="session-1", wait_seconds=0)
    assert answer.status == 200, answer
    turn: dict[str, Any] | None = answer.json()["turn"]
    return turn


ACTIONS = ["start", "stop", "restart", "rebuild", "pause", "resume", "cancel-turn", "compact"]
ACTIONS += ["new-session", "model", "visit", "leave", "destroy"]
OF_HIVE = ["hive/pause", "hive/resume", "hive/restart", "plan", "apply", "tombstones/x/purge"]


@pytest.mark.parametrize("action", [*(f"agents/alice/{each}" for each in ACTIONS), *OF_HIVE])
async def test_a_stranger_may_do_none_of_it(hive: Whole, action: str) -> None:
    answer = await hive.stranger.ask("POST", f"/api/{action}", data={})

    assert answer.status == 401


@pytest.mark.parametrize("action", [each for each in ACTIONS if each != "rebuild"])
async def test_an_agent_that_nobody_declared_is_not_found(hive: Whole, action: str) -> None:
    data = {"model": None} if action == "model" else {}
    answer = await hive.admin.ask("POST", f"/api/agents/nobody/{action}", data=data)

    assert answer.status == 404
    assert answer.json()["code"]


async def test_a_hold_is_shown_and_taken_back(hive: Whole) -> None:
    done = await hive.operator.post("/api/agents/alice/stop")
    assert (done["agent"], done["did"]) == ("alice", "stop")
    held = (await agent(hive))["held"]
    assert held["by"] == "operator"

    await hive.operator.post("/api/agents/alice/start")

    assert (await agent(hive))["held"] is None


async def test_what_an_action_answers_is_where_the_stream_tells_of_it(hive: Whole) -> None:
    before = (await hive.admin.get("/api/state"))["seq"]
    done = await hive.admin.post("/api/agents/alice/pause", {"reason": "a look"})
    async with hive.admin.live(f"?after={before}") as live:
        (event,) = await live.until(done["seq"])

    assert (event["kind"], event["agent"]) == ("agent_paused", "alice")
    assert event["data"]["pause"]["reason"] == "a look"


async def test_pauses_of_an_agent_and_of_the_hive_are_shown_apart(hive: Whole) -> None:
    await hive.admin.post("/api/agents/alice/pause", {"reason": "a look"})
    await hive.admin.post("/api/hive/pause", {"reason": "a fire"})
    state = await hive.admin.get("/api/state")

    assert [each["reason"] for each in (await agent(hive))["pauses"]] == ["a look"]
    assert [each["reason"] for each in state["hive"]["pauses"]] == ["a fire"]
    await hive.admin.post("/api/hive/resume")
    assert (await hive.admin.get("/api/state"))["hive"]["pauses"] == []
    assert len((await agent(hive))["pauses"]) == 1


async def test_a_cancelled_turn_is_told_to_the_harness_that_runs_it(hive: Whole) -> None:
    box = hive.box("alice")
    async with a_harness(box) as harness:
        number = await hive.admin.send("alice")
        turn = await offered(box)
        assert turn is not None
        await box.harness(f"turns/{turn['id']}/begin", session="session-1")
        await hive.operator.post("/api/agents/alice/cancel-turn")

        command = await harness.command()
        assert command is not None
        assert (command["verb"], command["turn"]) == ("cancel", turn["id"])
        end = {"session": "session-1", "outcome": "cancelled"}
        await box.harness(f"turns/{turn['id']}/end", **end)
        message = await hive.admin.get(f"/api/messages/{number}")
        assert (message["state"], message["attempts"]) == ("queued", 0)


async def test_model_session_and_compaction_reach_the_next_turns(hive: Whole) -> None:
    box = hive.box("alice")
    await hive.admin.send("alice")
    await hive.admin.post("/api/agents/alice/new-session")
    await hive.admin.post("/api/agents/alice/model", {"model": "large"})
    await hive.admin.post("/api/agents/alice/compact")
    shown = await agent(hive)
    assert (shown["model"], shown["declared_model"]) == ("large", "small")
    async with a_harness(box):
        first = await offered(box)
        assert first is not None
        assert (first["kind"], first["model"], first["fresh"]) == ("compact", "large", True)
        await box.harness(f"turns/{first['id']}/begin", session="session-1")
        context = {"tokens": 12, "window": 100}
        end = {"session": "session-1", "outcome": "ok", "context": context}
        await box.harness(f"turns/{first['id']}/end", **end)
        second = await offered(box)

    assert second is not None
    assert (second["kind"], second["fresh"]) == ("work", False)
    assert (await agent(hive))["context"] == context
    await hive.admin.post("/api/agents/alice/model", {"model": None})
    assert (await agent(hive))["model"] == "small"


async def test_a_restart_of_all_is_in_the_snapshot_while_it_lasts(hive: Whole) -> None:
    conditions = RecordedConditions(hive.run.store, hive.run.agents)
    for name in ("queen", "alice"):
        await conditions.note_incarnation(name, f"{name}-1")
        # On its way, not stopped: the restart waits for it, and so lasts.
        await hive.run.agents.set_state(name, AgentState.STARTING)
    done = await hive.admin.post("/api/hive/restart", {"reason": "a rebuild"})

    assert done["order"] == ["queen", "alice"]
    rollout = (await hive.admin.get("/api/state"))["hive"]["rollout"]
    assert (rollout["order"], rollout["reason"]) == (["queen", "alice"], "a rebuild")
    refused = await hive.admin.ask("POST", "/api/hive/restart", data={})
    assert refused.status == 409


async def test_a_server_that_runs_no_boxes_says_so_of_plan_and_logs(hive: Whole) -> None:
    plan = await hive.admin.ask("GET", "/api/plan")
    logs = await hive.admin.ask("GET", "/api/agents/alice/logs")

    assert (plan.status, logs.status) == (409, 409)
    assert "hyperhive up" in plan.json()["remedy"]


async def test_a_file_is_planned_for_by_the_admin_only(hive: Whole) -> None:
    answer = await hive.operator.ask("POST", "/api/plan", data={"path": "/etc/passwd"})

    assert answer.status == 404


async def test_a_hive_without_a_file_cannot_read_it_anew(hive: Whole) -> None:
    answer = await hive.admin.ask("POST", "/api/apply", data={})

    assert answer.status == 409
    assert "hyperhive up" in answer.json()["remedy"]


async def test_a_declared_agent_is_not_destroyed_and_the_answer_says_what_removes_it(
    hive: Whole,
) -> None:
    answer = await hive.admin.ask("POST", "/api/agents/alice/destroy", data={})

    assert answer.status == 403
    assert "agents.alice" in answer.json()["remedy"]


async def test_an_agent_that_exists_is_not_purged(hive: Whole) -> None:
    state = hive.run.hive.state_dir / "agents" / "alice" / "state"
    state.mkdir(parents=True, exist_ok=True)
    answer = await hive.admin.ask("POST", "/api/tombstones/alice/purge", data={})

    assert answer.status == 409
    assert state.is_dir()


@pytest.mark.parametrize(
    ("target", "data"),
    [
        ("agents/alice/model", {}),
        ("agents/alice/model", {"model": ""}),
        ("agents/alice/model", {"model": 3}),
        ("agents/alice/pause", {"reason": "r" * 501}),
        ("agents/alice/pause", {"why": "r"}),
        ("hive/restart", {"agents": "alice"}),
        ("hive/restart", {"agents": []}),
    ],
)
async def test_what_is_not_understood_is_refused_and_changes_nothing(
    hive: Whole, target: str, data: dict[str, Any]
) -> None:
    before = (await hive.admin.get("/api/state"))["seq"]
    answer = await hive.admin.ask("POST", f"/api/{target}", data=data)

    assert 400 <= answer.status < 500
    assert answer.json()["detail"]
    assert (await hive.admin.get("/api/state"))["seq"] == before


async def test_who_did_what_by_which_way_is_in_the_audit_log(hive: Whole) -> None:
    await hive.admin.post("/api/agents/alice/stop")
    await hive.operator.post("/api/agents/alice/start")
    entries = (await hive.admin.get("/api/audit?limit=2"))["entries"]
    ways = [(each["verb"], each["detail"]) for each in entries]

    assert [verb for verb, _ in ways] == ["start", "stop"]


async def test_the_room_on_the_disk_is_shown(hive: Whole) -> None:
    hive.run.disk.room = Room(100 * GIB, 40 * GIB)
    shown = await hive.operator.get("/api/disk")

    assert (shown["total"], shown["free"]) == (100 * GIB, 40 * GIB)

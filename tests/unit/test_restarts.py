"""Restarting in order: who goes when, what they are told, and that it outlives the server."""

import json
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain import actors
from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.agents import AgentState
from hyperhive.domain.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hyperhive.services.callers import Caller
from hyperhive.services.conditions import RecordedConditions
from hyperhive.services.control import Control
from hyperhive.services.restarts import Restarts, read, stored
from hyperhive.services.snapshot import Snapshots
from hyperhive.store import agents as rows
from hyperhive.store import lifecycle
from tests.builders import Desk, ManualClock, a_desk, a_hive, a_store, wired

pytestmark = pytest.mark.anyio


def restarts_of(desk: Desk) -> Restarts:
    return Restarts(desk.store, desk.agents, desk.sessions)


async def runs(desk: Desk, *names: str, box: str = "1") -> None:
    """Have these agents' boxes run and their harnesses be ready, as the reconciler tells."""
    conditions = RecordedConditions(desk.store, desk.agents)
    for name in names:
        await conditions.note_incarnation(name, f"{name}-{box}")
        if desk.agents.state_of(name) is not AgentState.BUSY:
            await desk.agents.set_state(name, AgentState.READY)


async def wishes(desk: Desk) -> set[str]:
    """Name those whose boxes are to be made anew now."""
    recorded = await RecordedConditions(desk.store, desk.agents).recorded()
    return {name for name, each in recorded.items() if each.replace is not None}


async def told(desk: Desk) -> list[tuple[str, dict[str, Any]]]:
    """Give what the hive has written to the manager: the event and its data."""
    page = await Snapshots(desk.store, desk.agents).state()
    sent = [each["preview"] for each in page["messages"] if each["to"] == "queen"]
    return [(word, json.loads(rest)) for word, _, rest in (text.partition(" ") for text in sent)]


async def rollout(desk: Desk) -> dict[str, Any] | None:
    return await desk.store.read(lifecycle.rollout)


async def begin(desk: Desk, names: tuple[str, ...] | None = None) -> Restarts:
    restarts = restarts_of(desk)
    await restarts.begin(THE_OPERATOR, names, "a rebuild", via="test")
    return restarts


async def test_the_manager_is_back_and_told_before_anyone_else_goes(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await runs(desk, "queen", "alice", "bob")
        restarts = await begin(desk)
        await restarts.look()
        assert await wishes(desk) == {"queen"}
        assert await told(desk) == []

        await runs(desk, "queen", box="2")
        await restarts.look()

        assert await wishes(desk) == {"alice", "bob"}
        order = {"reason": "a rebuild", "order": ["alice", "bob"], "cut_turns": []}
        assert await told(desk) == [("hive_restarting", order)]
        page = await Snapshots(desk.store, desk.agents).history(
            before=None, limit=100, agent=None, kind=None
        )
        facts = [(each["kind"], each["agent"]) for each in reversed(page["events"])]
        assert facts.index(("message_queued", "queen")) < facts.index(("transient_set", "alice"))


async def test_at_the_end_the_manager_gets_one_digest_and_everybody_may_work(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        await runs(desk, "queen", "alice", "bob")
        restarts = await begin(desk)
        await restarts.look()
        await runs(desk, "queen", box="2")
        await restarts.look()
        await runs(desk, "alice", box="2")
        await restarts.look()
        clock.advance(91)
        await restarts.look()

        assert [word for word, _ in await told(desk)] == ["hive_restarting", "hive_restarted"]
        digest = (await told(desk))[1][1]
        assert digest["restarted"] == ["queen", "alice"]
        assert set(digest["failed"]) == {"bob"}
        assert await rollout(desk) is None
        recorded = (await Snapshots(desk.store, desk.agents).state())["agents"]
        assert [agent["pauses"] for agent in recorded] == [[], [], []]
        assert await restarts.look() is False


async def test_a_turn_that_outlasts_the_drain_is_cut_and_its_message_comes_again_uncounted(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await desk.send("queen", "alice")
        turn = await desk.turn("alice")
        await runs(desk, "queen", "alice")
        restarts = await begin(desk)
        assert desk.agents.state_of("alice") is AgentState.DRAINING
        clock.advance(59)
        await restarts.look()
        assert await wishes(desk) == set()
        clock.advance(1)
        await restarts.look()

        assert await wishes(desk) == {"queen"}
        command = desk.open_sessions["alice"].commands.get_nowait()
        assert command is not None
        assert (command["verb"], command["turn"]) == ("cancel", turn["id"])
        assert await desk.state(number) == "queued"
        assert await desk.turns.offer("alice", "s1", wait_seconds=0, caller=Caller()) is None
        await runs(desk, "queen", box="2")
        await restarts.look()
        await runs(desk, "alice", box="2")
        await desk.hello("alice", "s2")
        await restarts.look()
        again = await desk.turn("alice", "s2")
        assert [(each["id"], each["attempt"]) for each in again["messages"]] == [(number, 1)]
        assert "turn was cut" in again["note"]


async def test_a_turn_that_ends_in_time_is_not_cut(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        turn = await desk.turn("alice")
        await runs(desk, "queen", "alice")
        restarts = await begin(desk)
        await restarts.look()
        await desk.end("alice", turn["id"])
        await restarts.look()

        assert await desk.state(number) == "acked"
        assert await wishes(desk) == {"queen"}


async def test_a_restarted_agent_is_told_in_its_next_turn_and_only_there(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await runs(desk, "alice")
        restarts = await begin(desk, ("alice",))
        await restarts.look()
        await runs(desk, "alice", box="2")
        await restarts.look()
        assert await desk.turns.offer("alice", "s1", wait_seconds=0, caller=Caller()) is None
        notes = []
        for _ in range(2):
            await desk.send("queen", "alice")
            turn = await desk.turn("alice")
            notes.append(turn["note"])
            await desk.end("alice", turn["id"])

        assert notes[0] is not None
        assert "a rebuild" in notes[0]
        assert notes[1] is None


async def test_the_declaration_may_want_every_restarted_agent_to_wake(tmp_path: Path) -> None:
    declared = a_hive(tmp_path, tmp_path / "run", hive={"restart": {"note": "wake"}})
    async with a_store(tmp_path) as store:
        desk = await wired(store, declared)
        await runs(desk, "alice")
        restarts = await begin(desk, ("alice",))
        await restarts.look()
        await runs(desk, "alice", box="2")
        await restarts.look()

        turn = await desk.turn("alice")
        assert "a rebuild" in turn["messages"][0]["body"]
        assert turn["note"] is None


async def test_one_agents_restart_is_not_told_to_the_manager(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await runs(desk, "queen", "alice")
        restarts = await begin(desk, ("alice",))
        await restarts.look()
        await runs(desk, "alice", box="2")
        await restarts.look()

        assert await rollout(desk) is None
        assert await told(desk) == []
        assert desk.agents.state_of("queen") is AgentState.READY


async def test_a_restart_goes_on_where_it_was_when_the_server_comes_back(tmp_path: Path) -> None:
    declared, clock = a_hive(tmp_path, tmp_path / "run"), ManualClock()
    async with a_store(tmp_path, clock=clock) as store:
        desk = await wired(store, declared)
        await runs(desk, "queen", "alice", "bob")
        restarts = await begin(desk)
        await restarts.look()
        await runs(desk, "queen", box="2")
        await restarts.look()
        before = await rollout(desk)
    async with a_store(tmp_path, clock=clock) as store:
        desk = await wired(store, declared)
        await desk.recovery.begin()
        restarts = restarts_of(desk)
        await restarts.look()
        assert await rollout(desk) == before
        assert await wishes(desk) == {"alice", "bob"}
        await runs(desk, "alice", "bob", box="2")
        await restarts.look()

        assert await rollout(desk) is None
        assert [word for word, _ in await told(desk)] == ["hive_restarting", "hive_restarted"]


async def test_a_look_that_is_not_committed_has_done_nothing_and_the_next_does_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_desk(tmp_path) as desk:
        await runs(desk, "queen", "alice", "bob")
        restarts = await begin(desk)
        await restarts.look()
        await runs(desk, "queen", box="2")
        with monkeypatch.context() as broken:

            def fail(*_: object) -> int:
                raise OSError("no room")

            broken.setattr(lifecycle, "set_rollout", fail)
            with pytest.raises(OSError, match="no room"):
                await restarts.look()
        assert await told(desk) == []
        assert await wishes(desk) == set()

        await restarts.look()

        assert [word for word, _ in await told(desk)] == ["hive_restarting"]
        assert await wishes(desk) == {"alice", "bob"}


async def test_who_is_held_stays_held_through_a_restart_of_all(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await runs(desk, "queen", "alice", "bob")
        await Control(desk.store, desk.agents, desk.sessions).stop(THE_OPERATOR, "bob", via="t")
        restarts = restarts_of(desk)
        begun = await restarts.begin(THE_OPERATOR, None, "a rebuild", via="test")
        assert begun["order"] == ["queen", "alice"]
        await restarts.look()
        await runs(desk, "queen", box="2")
        await restarts.look()
        await runs(desk, "alice", box="2")
        await restarts.look()

        recorded = await RecordedConditions(desk.store, desk.agents).recorded()
        assert recorded["bob"].held
        assert recorded["bob"].replace is None


async def test_an_agent_that_goes_in_the_middle_is_failed_and_comes_back_unpaused(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        await runs(desk, "queen", "alice", "bob")
        restarts = await begin(desk)
        await desk.agents.declare(a_hive(tmp_path, tmp_path / "run", ("queen", "alice")))
        await restarts.look()
        await runs(desk, "queen", box="2")
        await restarts.look()
        await runs(desk, "alice", box="2")
        await restarts.look()
        assert await rollout(desk) is None
        assert (await told(desk))[1][1]["failed"] == {"bob": "it is no longer declared"}

        await desk.agents.declare(a_hive(tmp_path, tmp_path / "run"))

        row = await desk.store.read(lambda asking: rows.find(asking, "bob"))
        assert row is not None
        assert lifecycle.pauses_of(row) == ()


async def test_two_restarts_at_once_none_that_runs_and_nobodys_are_refused(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        restarts = restarts_of(desk)
        with pytest.raises(InvalidError):
            await restarts.begin(THE_OPERATOR, None, "why", via="test")
        with pytest.raises(NotFoundError):
            await restarts.begin(THE_OPERATOR, ("nobody",), "why", via="test")
        await runs(desk, "queen", "alice")
        with pytest.raises(ForbiddenError):
            await restarts.begin(actors.agent("alice"), ("alice",), "why", via="test")
        await begin(desk)
        with pytest.raises(ConflictError):
            await begin(desk)


async def test_what_is_stored_of_a_restart_is_what_is_read(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await runs(desk, "queen", "alice")
        restarts = await begin(desk)
        await restarts.look()
        record = await rollout(desk)

        assert record is not None
        assert json.loads(json.dumps(stored(read(record)))) == record


async def test_agents_whose_declaration_changed_go_in_order_and_are_told_why(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        await runs(desk, "queen", "alice", "bob")
        restarts = restarts_of(desk)
        await restarts.begin_changed(("alice", "queen"))
        await restarts.look()
        assert await wishes(desk) == {"queen"}

        await runs(desk, "queen", box="2")
        await restarts.look()
        assert await wishes(desk) == {"alice"}
        [(event, data)] = await told(desk)
        assert (event, data["reason"]) == ("hive_restarting", "its declaration changed")


async def test_agents_whose_boxes_are_gone_start_in_order_and_are_told_why(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        await desk.turn("alice")
        await runs(desk, "queen", "alice", "bob")
        await desk.recovery.begin()
        restarts = restarts_of(desk)
        await restarts.begin_lost(("alice", "bob", "queen"))
        await restarts.look()

        conditions = RecordedConditions(desk.store, desk.agents)
        assert await desk.state(number) == "queued"
        recorded = await conditions.recorded()
        assert {name for name, each in recorded.items() if each.waits} == {"alice", "bob"}
        await runs(desk, "queen", box="2")
        await restarts.look()
        assert not any(each.waits for each in (await conditions.recorded()).values())
        await runs(desk, "alice", "bob", box="2")
        await restarts.look()

        assert [word for word, _ in await told(desk)] == ["hive_restarting", "hive_restarted"]
        assert (await told(desk))[0][1]["cut_turns"] == ["alice"]
        await desk.hello("alice", "s2")
        again = await desk.turn("alice", "s2")
        assert "gone while no server ran" in again["note"]
        assert [(each["id"], each["attempt"]) for each in again["messages"]] == [(number, 1)]


async def test_a_change_while_a_restart_is_under_way_waits_for_its_end(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await runs(desk, "queen", "alice", "bob")
        restarts = await begin(desk, ("bob",))
        await restarts.begin_changed(("alice",))
        record = await rollout(desk)
        assert record is not None
        assert tuple(record["order"]) == ("bob",)


async def test_a_change_of_an_agent_that_does_not_run_begins_nothing(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await restarts_of(desk).begin_changed(("alice",))
        assert await rollout(desk) is None

"""What the operator decides at run time, and what it is bound to."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain import actors
from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.agents import AgentState
from hyperhive.domain.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hyperhive.domain.instances import Crash
from hyperhive.domain.pauses import Cause, Pause
from hyperhive.services.callers import Caller
from hyperhive.services.conditions import RecordedConditions
from hyperhive.services.control import Control
from hyperhive.services.snapshot import Snapshots
from hyperhive.store import Row, Writing, audit, lifecycle
from hyperhive.store import agents as rows
from tests.builders import Desk, ManualClock, a_desk, a_hive, a_store, wired

pytestmark = pytest.mark.anyio

BOUND_SECONDS = 30.0


def control_of(desk: Desk) -> Control:
    return Control(desk.store, desk.agents, desk.sessions)


async def row_of(desk: Desk, agent: str = "alice") -> Row:
    row = await desk.store.read(lambda asking: rows.find(asking, agent))
    assert row is not None
    return row


async def offered(desk: Desk, agent: str = "alice", wait: float = 0.0) -> dict[str, Any] | None:
    return await desk.turns.offer(agent, "s1", wait_seconds=wait, caller=Caller())


async def test_a_paused_agent_takes_mail_and_starts_no_turn_until_it_is_resumed(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        await control_of(desk).pause(THE_OPERATOR, "alice", via="test", reason="a look")
        number = await desk.send("queen", "alice")
        await desk.send("queen", "bob")
        assert await offered(desk) is None
        assert await offered(desk, "bob") is not None

        await control_of(desk).resume(THE_OPERATOR, "alice", via="test")

        turn = await offered(desk)
        assert turn is not None
        assert [each["id"] for each in turn["messages"]] == [number]


async def test_a_turn_that_runs_ends_well_in_a_paused_agent(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        turn = await desk.turn("alice")
        await control_of(desk).pause(THE_OPERATOR, "alice", via="test")
        await desk.end("alice", turn["id"])

        assert await desk.state(number) == "acked"


@pytest.mark.parametrize("whom", ["alice", None])
async def test_resuming_wakes_a_harness_that_waits(tmp_path: Path, whom: str | None) -> None:
    async with a_desk(tmp_path) as desk:
        await control_of(desk).pause(THE_OPERATOR, whom, via="test")
        await desk.send("queen", "alice")
        waiting = asyncio.create_task(offered(desk, wait=60))
        while not desk.turns.is_awaited_by("alice"):  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0)
        await control_of(desk).resume(THE_OPERATOR, whom, via="test")

        assert await asyncio.wait_for(waiting, BOUND_SECONDS) is not None


async def test_the_pause_of_the_hive_and_of_an_agent_end_apart(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        control = control_of(desk)
        await desk.send("queen", "alice")
        await control.pause(THE_OPERATOR, "alice", via="test")
        await control.pause(THE_OPERATOR, None, via="test")

        await control.resume(THE_OPERATOR, None, via="test")
        assert await offered(desk) is None
        await control.pause(THE_OPERATOR, None, via="test")
        await control.resume(THE_OPERATOR, "alice", via="test")
        assert await offered(desk) is None
        await control.resume(THE_OPERATOR, None, via="test")
        assert await offered(desk) is not None


async def test_the_operators_resume_ends_its_causes_all_at_once_and_no_other(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:

        def pause_for_all(work: Writing) -> None:
            row = rows.find(work, "alice")
            assert row is not None
            for cause in Cause:
                lifecycle.pause(work, row, Pause(cause, "why", work.now), actors.SYSTEM)

        await desk.store.write(pause_for_all)
        await control_of(desk).resume(THE_OPERATOR, "alice", via="test")

        left = {pause.cause for pause in lifecycle.pauses_of(await row_of(desk))}
        assert left == {Cause.ROLLOUT, Cause.DISK, Cause.VISIT}


async def test_a_hold_and_its_pauses_are_there_after_the_store_is_opened_again(
    tmp_path: Path,
) -> None:
    declared = a_hive(tmp_path, tmp_path / "run")
    clock = ManualClock()
    async with a_store(tmp_path, clock=clock) as store:
        desk = await wired(store, declared)
        await control_of(desk).stop(THE_OPERATOR, "alice", via="test")
        await control_of(desk).pause(THE_OPERATOR, "bob", via="test", reason="a look")
        await control_of(desk).pause(THE_OPERATOR, None, via="test")
    async with a_store(tmp_path, clock=clock) as store:
        desk = await wired(store, declared)
        await desk.send("queen", "bob")

        recorded = await RecordedConditions(store, desk.agents).recorded()
        assert recorded["alice"].held
        assert not recorded["queen"].held
        await control_of(desk).resume(THE_OPERATOR, None, via="test")
        assert await offered(desk, "bob") is None


async def test_starting_ends_a_hold_and_forgets_the_crashes(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        conditions = RecordedConditions(desk.store, desk.agents)
        await conditions.record_crash("alice", Crash(1.0, "i1", "it died"))
        await control_of(desk).stop(THE_OPERATOR, "alice", via="test")
        await control_of(desk).start(THE_OPERATOR, "alice", via="test")

        found = (await conditions.recorded())["alice"]
        assert (found.held, found.crashes) == (False, ())


async def test_holding_twice_says_who_held_it_first(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        await control_of(desk).stop(THE_OPERATOR, "alice", via="test")
        first = (await row_of(desk)).held_at
        clock.advance(10)
        await control_of(desk).stop(THE_OPERATOR, "alice", via="test")

        assert (await row_of(desk)).held_at == first


async def test_an_agent_that_is_not_enabled_cannot_be_started(tmp_path: Path) -> None:
    async with a_desk(tmp_path, alice={"enable": False}) as desk:
        with pytest.raises(ConflictError, match="enable"):
            await control_of(desk).start(THE_OPERATOR, "alice", via="test")


async def test_cancelling_tells_the_harness_whose_report_gives_the_message_back_uncounted(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice")
        turn = await desk.turn("alice")
        await control_of(desk).cancel_turn(THE_OPERATOR, "alice", via="test")

        told = desk.open_sessions["alice"].commands.get_nowait()
        assert told is not None
        assert (told["verb"], told["turn"]) == ("cancel", turn["id"])
        await desk.end("alice", turn["id"], "cancelled")
        assert (await desk.turn("alice"))["messages"][0]["attempt"] == 1


async def test_there_is_nothing_to_cancel_in_an_agent_that_is_idle(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.hello("alice")
        with pytest.raises(ConflictError, match="no turn"):
            await control_of(desk).cancel_turn(THE_OPERATOR, "alice", via="test")
        assert desk.open_sessions["alice"].commands.empty()


async def test_another_model_is_used_from_the_next_turn_on_until_it_is_taken_back(
    tmp_path: Path,
) -> None:
    driver = {"driver": {"kind": "command", "command": ["true"], "model": "small"}}
    async with a_desk(tmp_path, alice=driver) as desk:
        used = []
        for model in (None, "large", None):
            await desk.send("queen", "alice")
            await control_of(desk).set_model(THE_OPERATOR, "alice", model, via="test")
            turn = await desk.turn("alice")
            used.append(turn["model"])
            await desk.end("alice", turn["id"])

        assert used == ["small", "large", "small"]


@pytest.mark.parametrize("model", ["", "m" * 201])
async def test_a_models_name_that_cannot_be_one_is_refused(tmp_path: Path, model: str) -> None:
    async with a_desk(tmp_path) as desk:
        with pytest.raises(InvalidError):
            await control_of(desk).set_model(THE_OPERATOR, "alice", model, via="test")


async def test_one_turn_begins_a_new_session_and_the_one_after_goes_on_with_it(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        for _ in range(2):
            await desk.send("queen", "alice")
        await control_of(desk).compact(THE_OPERATOR, "alice", via="test")
        await control_of(desk).new_session(THE_OPERATOR, "alice", via="test")
        fresh = []
        for _ in range(2):
            turn = await desk.turn("alice")
            fresh.append((turn["kind"], turn["fresh"]))
            await desk.end("alice", turn["id"])

        assert fresh == [("work", True), ("work", False)]


async def test_a_turn_that_never_began_leaves_the_new_session_to_the_next(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice")
        await control_of(desk).new_session(THE_OPERATOR, "alice", via="test")
        await desk.turn("alice", begin=False)

        assert (await desk.turn("alice"))["fresh"] is True


async def test_a_new_session_asked_for_between_offer_and_begin_is_not_lost(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        for _ in range(2):
            await desk.send("queen", "alice")
        turn = await desk.turn("alice", begin=False)
        await control_of(desk).new_session(THE_OPERATOR, "alice", via="test")
        await desk.turns.begin("alice", "s1", turn["id"])
        await desk.end("alice", turn["id"])

        assert (await desk.turn("alice"))["fresh"] is True


async def test_purging_is_refused_while_the_agent_exists_and_forgets_it_afterwards(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        control = control_of(desk)
        with pytest.raises(ConflictError):
            await control.purge(THE_OPERATOR, "bob", via="test")
        await desk.agents.declare(a_hive(tmp_path, tmp_path / "run", ("queen", "alice")))
        snapshots = Snapshots(desk.store, desk.agents)
        assert [each["name"] for each in (await snapshots.state())["tombstones"]] == ["bob"]

        await control.purge(THE_OPERATOR, "bob", via="test")

        assert (await snapshots.state())["tombstones"] == []
        with pytest.raises(NotFoundError):
            await control.purge(THE_OPERATOR, "bob", via="test")


async def test_an_agent_that_is_gone_is_shown_by_its_tombstone_only_while_its_box_ends(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.hello("bob")
        await desk.agents.declare(a_hive(tmp_path, tmp_path / "run", ("queen", "alice")))
        await desk.agents.set_state("bob", AgentState.STOPPED, "it is not declared")
        history = await Snapshots(desk.store, desk.agents).history(
            before=None, limit=1, agent="bob", kind=None
        )

        assert history["events"][0]["kind"] == "tombstone_added"


async def test_what_is_declared_is_not_destroyed_from_here(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        with pytest.raises(ForbiddenError, match="declaration"):
            control_of(desk).destroy("alice")
        with pytest.raises(NotFoundError):
            control_of(desk).destroy("nobody")


Ask = Callable[[Control, actors.Actor, str], Awaitable[object]]
VERBS: dict[str, Ask] = {
    "start": lambda control, who, name: control.start(who, name, via="test"),
    "stop": lambda control, who, name: control.stop(who, name, via="test"),
    "pause": lambda control, who, name: control.pause(who, name, via="test"),
    "resume": lambda control, who, name: control.resume(who, name, via="test"),
    "visit": lambda control, who, name: control.visit(who, name, via="test"),
    "leave": lambda control, who, name: control.leave(who, name, via="test"),
    "compact": lambda control, who, name: control.compact(who, name, via="test"),
    "new_session": lambda control, who, name: control.new_session(who, name, via="test"),
    "model": lambda control, who, name: control.set_model(who, name, "m", via="test"),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_each_verb_is_the_operators_is_audited_and_knows_its_agents(
    tmp_path: Path, verb: str
) -> None:
    async with a_desk(tmp_path) as desk:
        ask, control = VERBS[verb], control_of(desk)
        with pytest.raises(ForbiddenError):
            # The manager has some verbs of its own, a worker none.
            await ask(control, actors.agent("bob"), "alice")
        with pytest.raises(NotFoundError):
            await ask(control, THE_OPERATOR, "nobody")
        await ask(control, THE_OPERATOR, "alice")

        entries = await desk.store.read(lambda asking: audit.search(asking, before=None, limit=9))
        assert [(each["verb"], each["subject"]) for each in entries] == [(verb, "agent:alice")]


async def test_while_somebody_works_in_its_box_an_agent_starts_no_turn_until_they_leave(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice")
        control = control_of(desk)
        assert (await control.visit(THE_OPERATOR, "alice", via="test"))["turn"] is None
        assert await offered(desk) is None
        await control.resume(THE_OPERATOR, "alice", via="test")
        assert await offered(desk) is None

        await control.leave(THE_OPERATOR, "alice", via="test")
        assert await offered(desk) is not None


async def test_a_visit_says_which_turn_still_runs_be_it_only_offered(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice")
        turn = await desk.turn("alice", begin=False)
        control = control_of(desk)
        told = [(await control.visit(THE_OPERATOR, "alice", via="test"))["turn"]]
        await desk.turns.begin("alice", "s1", turn["id"])
        await desk.end("alice", turn["id"])
        told.append((await control.visit(THE_OPERATOR, "alice", via="test"))["turn"])

        assert told == [turn["id"], None]


async def test_a_visitor_who_vanishes_keeps_an_agent_for_two_minutes_after_the_last_word(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        await desk.send("queen", "alice")
        for _ in range(5):
            await control_of(desk).visit(THE_OPERATOR, "alice", via="test")
            clock.advance(60)
        assert await offered(desk) is None
        clock.advance(60)

        assert await offered(desk) is not None


async def test_asking_often_for_a_visit_is_recorded_once(tmp_path: Path) -> None:
    async with a_desk(tmp_path, clock=ManualClock()) as desk:
        first, *others = [
            (await control_of(desk).visit(THE_OPERATOR, "alice", via="test"))["seq"]
            for _ in range(5)
        ]

        assert set(others) == {first}

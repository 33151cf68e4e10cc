"""What the end of a turn means for the next: limits, logins, money, context."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.agents import AgentState
from hyperhive.domain.events import EventKind
from hyperhive.domain.pauses import Cause
from hyperhive.domain.turns import TurnOutcome
from hyperhive.services import pacing
from hyperhive.services.callers import Caller
from hyperhive.services.control import Control
from hyperhive.services.pacing import Reported
from hyperhive.services.turns import finish
from hyperhive.services.upkeep import Upkeep
from hyperhive.store import Reading, Row, Writing, alerts, events, lifecycle, turns
from hyperhive.store import agents as rows
from tests.builders import EPOCH, Desk, ManualClock, a_desk, a_hive, a_store, wired

pytestmark = pytest.mark.anyio

DAY_SECONDS = 86_400.0
NOON = 1_700_049_600.0
"""12:00 UTC of a day on which no clock is put forward or back."""


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have this machine's midnight be UTC's."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def offered(desk: Desk, agent: str = "alice") -> dict[str, Any] | None:
    """Ask for work without waiting for it."""
    return await desk.turns.offer(agent, "s1", wait_seconds=0, caller=Caller())


async def ended(
    desk: Desk,
    outcome: str,
    *,
    agent: str = "alice",
    cost: float | None = None,
    **told: Any,
) -> None:
    """Run one turn with a message of its own, and report its end."""
    turn = await desk.turn(agent)
    await reported(desk, turn["id"], outcome, agent=agent, cost=cost, **told)


async def reported(
    desk: Desk,
    turn: int,
    outcome: str,
    *,
    agent: str = "alice",
    cost: float | None = None,
    **told: Any,
) -> TurnOutcome:
    return await desk.turns.end(
        agent,
        "s1",
        turn,
        outcome=outcome,
        error=told.get("error"),
        usage={} if cost is None else {"cost_usd": cost},
        tools={},
        told=Reported(**told),
    )


async def row_of(desk: Desk, agent: str = "alice") -> Row:
    row = await desk.store.read(lambda asking: rows.find(asking, agent))
    assert row is not None
    return row


async def causes(desk: Desk, agent: str = "alice") -> set[Cause]:
    """Say what pauses an agent itself now."""
    found = lifecycle.pauses_of(await row_of(desk, agent))
    return {pause.cause for pause in found if pause.holds(desk.clock())}


async def told_alerts(desk: Desk) -> dict[str, str]:
    found = await desk.store.read(alerts.standing)
    return {alert["key"]: alert["text"] for alert in found}


async def test_no_turn_starts_before_a_rate_limit_is_over_and_the_message_counts_no_attempt(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await desk.send("queen", "alice")
        await ended(desk, "rate_limited", resets_at=EPOCH + 100)
        assert desk.agents.state_of("alice") is AgentState.RATE_LIMITED
        assert await desk.state(number) == "queued"

        clock.advance(99)
        assert await offered(desk) is None
        clock.advance(1)
        again = await desk.turn("alice")

        assert [(each["id"], each["attempt"]) for each in again["messages"]] == [(number, 1)]
        assert desk.agents.state_of("alice") is AgentState.BUSY


@pytest.mark.parametrize("resets_at", [None, EPOCH - 50, 0.0])
async def test_a_rate_limit_without_a_reset_to_come_backs_off_twice_as_long_each_time(
    tmp_path: Path, resets_at: float | None
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        await desk.send("queen", "alice")
        for wait in (30, 60, 120, 240, 480, 900, 900):
            await ended(desk, "rate_limited", resets_at=resets_at)
            clock.advance(wait - 1)
            assert await offered(desk) is None, wait
            clock.advance(1)


async def test_a_turn_that_ends_well_makes_the_next_rate_limit_a_first_one(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        for _ in range(2):
            await desk.send("queen", "alice")
        for outcome in ("rate_limited", "ok", "rate_limited"):
            await ended(desk, outcome)
            clock.advance(30)

        assert await offered(desk) is not None


async def test_a_refused_login_pauses_until_the_operator_resumes_and_raises_an_alert(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await desk.send("queen", "alice")
        await ended(desk, "needs_login", error="401")
        assert desk.agents.state_of("alice") is AgentState.NEEDS_LOGIN
        assert "login:alice" in await told_alerts(desk)
        clock.advance(DAY_SECONDS)
        assert await offered(desk) is None

        control = Control(desk.store, desk.agents, desk.sessions)
        await control.resume(THE_OPERATOR, "alice", via="test")

        again = await desk.turn("alice")
        assert [each["id"] for each in again["messages"]] == [number]
        assert "login:alice" not in await told_alerts(desk)


async def test_a_turn_that_is_limited_and_spends_the_day_is_paused_for_both(
    tmp_path: Path, utc: None
) -> None:
    clock = ManualClock(NOON)
    limits = {"limits": {"spendPerDayUsd": 1.0}}
    async with a_desk(tmp_path, clock=clock, alice=limits) as desk:
        await desk.send("queen", "alice")
        await ended(desk, "rate_limited", cost=1.0, resets_at=NOON + 2 * DAY_SECONDS)

        assert await causes(desk) == {Cause.RATE_LIMIT, Cause.SPEND}


async def test_an_agent_that_has_spent_its_day_starts_again_at_midnight(
    tmp_path: Path, utc: None
) -> None:
    clock = ManualClock(NOON)
    limits = {"limits": {"spendPerDayUsd": 1.0}}
    async with a_desk(tmp_path, clock=clock, alice=limits) as desk:
        for _ in range(2):
            await desk.send("queen", "alice")
        await ended(desk, "ok", cost=1.5)
        assert "spend:alice" in await told_alerts(desk)

        clock.advance(DAY_SECONDS / 2 - 1)
        assert await offered(desk) is None
        clock.advance(1)
        turn = await offered(desk)

        assert turn is not None
        assert turn["spend_usd"] == pytest.approx(1.0)


async def test_the_operator_is_told_before_a_day_is_spent(tmp_path: Path, utc: None) -> None:
    limits = {"limits": {"spendPerDayUsd": 1.0}}
    async with a_desk(tmp_path, clock=ManualClock(NOON), alice=limits) as desk:
        await desk.send("queen", "alice")
        await ended(desk, "ok", cost=0.8)

        assert "spend:alice" in await told_alerts(desk)
        assert await causes(desk) == set()


async def test_who_is_resumed_by_hand_has_money_for_a_turn(tmp_path: Path, utc: None) -> None:
    limits = {"limits": {"spendPerDayUsd": 1.0, "spendPerTurnUsd": 0.5}}
    async with a_desk(tmp_path, clock=ManualClock(NOON), alice=limits) as desk:
        for _ in range(2):
            await desk.send("queen", "alice")
        await ended(desk, "ok", cost=1.2)
        control = Control(desk.store, desk.agents, desk.sessions)
        await control.resume(THE_OPERATOR, "alice", via="test")

        turn = await offered(desk)

        assert turn is not None
        assert turn["spend_usd"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("limits", "spent", "left"),
    [
        ({}, 0.3, None),
        ({"spendPerTurnUsd": 0.5}, 0.3, 0.5),
        ({"spendPerDayUsd": 1.0}, 0.3, 0.7),
        ({"spendPerDayUsd": 1.0, "spendPerTurnUsd": 0.5}, 0.3, 0.5),
        ({"spendPerDayUsd": 1.0, "spendPerTurnUsd": 0.5}, 0.8, 0.2),
    ],
)
async def test_a_turn_may_cost_what_is_left_of_the_least_of_its_limits(
    tmp_path: Path, utc: None, limits: dict[str, float], spent: float, left: float | None
) -> None:
    async with a_desk(tmp_path, clock=ManualClock(NOON), alice={"limits": limits}) as desk:
        for _ in range(2):
            await desk.send("queen", "alice")
        await ended(desk, "ok", cost=spent)

        turn = await offered(desk)

        assert turn is not None
        assert turn["spend_usd"] == (None if left is None else pytest.approx(left))


async def test_what_a_turn_cost_that_was_cut_short_counts_once_and_changes_nothing_else(
    tmp_path: Path, utc: None
) -> None:
    limits = {"limits": {"spendPerDayUsd": 5.0}}
    async with a_desk(tmp_path, clock=ManualClock(NOON), alice=limits) as desk:
        await desk.send("queen", "alice")
        turn = (await desk.turn("alice"))["id"]

        def cut(work: Writing) -> None:
            row = turns.find(work, turn)
            assert row is not None
            finish(work, row, TurnOutcome.DRAINED, "cut short: new settings")

        await desk.store.write(cut)
        for _ in range(2):
            await reported(desk, turn, "cancelled", cost=7.5, context_tokens=900)

        (shown,) = (await desk.turns.page("alice", before=None, limit=1))["turns"]
        assert (shown["outcome"], shown["error"]) == ("drained", "cut short: new settings")
        assert (shown["usage"]["cost_usd"], shown["context_tokens"]) == (7.5, 900)
        assert await desk.store.read(pacing.spent_today) == 7.5
        assert await causes(desk) == {Cause.SPEND}
        told = await desk.store.read(lambda asking: events.after(asking, 0, 100))
        ends = [event.data for event in told if event.kind == EventKind.TURN_ENDED]
        costs = [end["usage"]["cost_usd"] for end in ends]
        assert costs == [None, 7.5]


async def test_a_hive_that_has_spent_its_day_starts_no_turn_of_anyone_until_midnight(
    tmp_path: Path, utc: None
) -> None:
    clock = ManualClock(NOON)
    declared = a_hive(tmp_path, tmp_path / "run", hive={"limits": {"spendPerDayUsd": 1.0}})
    async with a_store(tmp_path, clock=clock) as store:
        desk = await wired(store, declared)
        await desk.send("queen", "alice")
        await desk.send("queen", "bob")
        await ended(desk, "ok", cost=1.0)
        assert await offered(desk, "bob") is None
        assert "spend" in await told_alerts(desk)

        clock.advance(DAY_SECONDS / 2)

        assert await offered(desk, "bob") is not None


async def test_above_the_watermark_comes_a_checkpoint_then_a_compaction_then_work(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        for _ in range(2):
            await desk.send("queen", "alice")
        await ended(desk, "ok", context_tokens=76, context_window=100)
        kinds = []
        for _ in range(3):
            turn = await desk.turn("alice")
            kinds.append((turn["kind"], len(turn["messages"])))
            await reported(desk, turn["id"], "ok")

        assert kinds == [("checkpoint", 0), ("compact", 0), ("work", 1)]
        assert (await row_of(desk)).context_tokens is None


@pytest.mark.parametrize(("outcome", "tokens"), [("ok", 75), ("failed", 76)])
async def test_nothing_is_compacted_below_the_watermark_or_after_a_turn_that_failed(
    tmp_path: Path, outcome: str, tokens: int
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        for _ in range(2):
            await desk.send("queen", "alice")
        await ended(desk, outcome, context_tokens=tokens, context_window=100)
        clock.advance(600)

        assert (await desk.turn("alice"))["kind"] == "work"


async def test_what_is_due_before_work_is_done_without_any_message(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.hello("alice")
        control = Control(desk.store, desk.agents, desk.sessions)
        await control.compact(THE_OPERATOR, "alice", via="test")

        turn = await desk.turn("alice")
        await reported(desk, turn["id"], "failed")

        assert turn["kind"] == "compact"
        assert await offered(desk) is None


async def test_a_driver_that_warns_of_two_things_has_both_in_the_alert_until_it_warns_no_more(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        for _ in range(2):
            await desk.send("queen", "alice")
        await ended(desk, "ok", alerts=("no search", "no mail"))
        told = (await told_alerts(desk))["driver:alice"]
        await ended(desk, "ok")

        assert "no search" in told
        assert "no mail" in told
        assert "driver:alice" not in await told_alerts(desk)


async def test_at_midnight_what_was_said_of_the_day_is_over_before_anybody_works(
    tmp_path: Path, utc: None
) -> None:
    clock = ManualClock(NOON)
    limits = {"limits": {"spendPerDayUsd": 1.0}}
    async with a_desk(tmp_path, clock=clock, alice=limits) as desk:
        upkeep = Upkeep(desk.store, desk.messages)
        await upkeep.look_at_the_day()
        await desk.send("queen", "alice")
        await ended(desk, "ok", cost=1.5)

        clock.advance(DAY_SECONDS / 2 - 1)
        await upkeep.look_at_the_day()
        assert "spend:alice" in await told_alerts(desk)
        clock.advance(1)
        await upkeep.look_at_the_day()

        assert "spend:alice" not in await told_alerts(desk)
        assert await days(desk) == [0.0]


async def test_a_day_is_begun_once_and_told_with_what_it_has_cost(
    tmp_path: Path, utc: None
) -> None:
    clock = ManualClock(NOON)
    async with a_desk(tmp_path, clock=clock) as desk:
        await Upkeep(desk.store, desk.messages).look_at_the_day()
        await desk.send("queen", "alice")
        clock.advance(DAY_SECONDS)
        await ended(desk, "ok", cost=0.25)
        for _ in range(3):
            # A server that has started since asks anew.
            await Upkeep(desk.store, desk.messages).look_at_the_day()

        assert await days(desk) == [0.25]


async def days(desk: Desk) -> list[float]:
    """Give what was told of each day that has begun."""

    def job(asking: Reading) -> list[float]:
        found = events.before(asking, None, 10, kind=EventKind.DAY_BEGAN.value)
        return [event.data["spent_today_usd"] for event in found]

    return await desk.store.read(job)

"""When an agent may start its next turn, and what kind of turn that is.

A turn's end decides about what follows: a rate limit pauses until its reset or backs off, a
refused login pauses until somebody mends it, money that is spent pauses until midnight, and a
context above the watermark is written down and compacted before the next work.
"""

import time
from dataclasses import dataclass
from typing import Any, Final

from hyperhive.config import Agent, Hive
from hyperhive.domain import pauses
from hyperhive.domain.actors import SYSTEM
from hyperhive.domain.agents import AgentState
from hyperhive.domain.events import EventKind
from hyperhive.domain.pauses import Cause, Pause
from hyperhive.domain.turns import CONTEXT_WATERMARK, TurnKind, TurnOutcome
from hyperhive.store import Reading, Row, Writing, alerts, lifecycle, turns

RATE_LIMIT_SECONDS: Final = 30.0
RATE_LIMIT_SECONDS_MAX: Final = 900.0
"""Without a reset time: 30 s, twice as long each time, at most 15 min."""
DAY: Final = "day"
"""Where it is kept which day spending is counted for."""
SPEND_WARNING: Final = 0.8
"""From this part of a day's budget on there is an alert; at all of it, a pause."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What a harness told of a turn beside its outcome."""

    error: str | None = None
    context_tokens: int | None = None
    context_window: int | None = None
    resets_at: float | None = None
    alerts: tuple[str, ...] = ()


def standing(asking: Reading | Writing, row: Row) -> tuple[Pause, ...]:
    """Give the pauses that keep an agent from a turn now, its own and the hive's."""
    held = (*lifecycle.pauses_of(row), *lifecycle.hive_pauses(asking))
    return pauses.standing(held, asking.now)


def extras(hive: Hive, work: Writing, row: Row) -> dict[str, Any]:
    """Say how the next turn of an agent is to be run: model, session, note, money."""
    agent = hive.agents[row.name]
    return {
        "model": row.model or agent.driver.model,
        "fresh": bool(row.fresh),
        "note": row.note,
        "spend_usd": _left_to_spend(hive, agent, work),
    }


def state_after(outcome: TurnOutcome) -> AgentState:
    """Say what an agent is whose turn has ended so."""
    match outcome:
        case TurnOutcome.RATE_LIMITED:
            return AgentState.RATE_LIMITED
        case TurnOutcome.NEEDS_LOGIN:
            return AgentState.NEEDS_LOGIN
        case _:
            return AgentState.READY


def settle(
    hive: Hive, work: Writing, row: Row, kind: TurnKind, outcome: TurnOutcome, told: Reported
) -> None:
    """Draw the consequences of a turn's end for what comes next."""
    match outcome:
        case TurnOutcome.RATE_LIMITED:
            _pause_for_rate(work, row, told)
        case TurnOutcome.NEEDS_LOGIN:
            _pause_for_login(work, row, told)
        case TurnOutcome.OK:
            _note_success(work, row)
    if kind is not TurnKind.WORK:
        lifecycle.set_errands(
            work, row.name, [each for each in lifecycle.errands_of(row) if each is not kind]
        )
    _note_context(work, row, kind, outcome, told)
    if told.alerts:
        text = f"{row.name}: {' '.join(told.alerts)}"
        alerts.raise_alert(work, f"driver:{row.name}", text, agent=row.name)
    elif outcome is TurnOutcome.OK:
        alerts.clear_alert(work, f"driver:{row.name}")
    _pause_for_spending(hive, work, row)


def count(hive: Hive, work: Writing, row: Row, told: Reported) -> None:
    """Count what a turn came to that was over before its harness told of it."""
    if told.context_tokens is not None:
        window = told.context_window or row.context_window
        lifecycle.note_context(work, row, told.context_tokens, window)
    _pause_for_spending(hive, work, row)


def _pause_for_rate(work: Writing, row: Row, told: Reported) -> None:
    refusals = row.refusals + 1
    back_off = min(RATE_LIMIT_SECONDS * 2.0**row.refusals, RATE_LIMIT_SECONDS_MAX)
    is_told = told.resets_at is not None and told.resets_at > work.now
    # A reset that is over by our clock would have the turn tried again at once, and again.
    until = told.resets_at if is_told else work.now + back_off
    reason = told.error or "the provider limits the rate"
    lifecycle.change(work, row.name, refusals=min(refusals, 16))
    lifecycle.pause(work, row, Pause(Cause.RATE_LIMIT, reason, work.now, until), SYSTEM)


def _pause_for_login(work: Writing, row: Row, told: Reported) -> None:
    reason = told.error or "the provider refuses the agent's credential"
    lifecycle.pause(work, row, Pause(Cause.LOGIN, reason, work.now), SYSTEM)
    text = f"{row.name} needs a login: {reason} Then: hyperhive resume {row.name}"
    alerts.raise_alert(work, f"login:{row.name}", text, severity="error", agent=row.name)


def _note_success(work: Writing, row: Row) -> None:
    if row.refusals:
        lifecycle.change(work, row.name, refusals=0)
    alerts.clear_alert(work, f"login:{row.name}")
    alerts.clear_alert(work, f"stalled:{row.name}")


def _note_context(
    work: Writing, row: Row, kind: TurnKind, outcome: TurnOutcome, told: Reported
) -> None:
    if told.context_tokens is None:
        if kind is TurnKind.COMPACT:
            # What it was before is no longer true, and must not ask for another one.
            lifecycle.note_context(work, row, None, row.context_window)
        return
    window = told.context_window or row.context_window
    lifecycle.note_context(work, row, told.context_tokens, window)
    is_full = window is not None and told.context_tokens > CONTEXT_WATERMARK * window
    if is_full and kind is TurnKind.WORK and outcome is TurnOutcome.OK:
        lifecycle.set_errands(work, row.name, (TurnKind.CHECKPOINT, TurnKind.COMPACT))


def _pause_for_spending(hive: Hive, work: Writing, row: Row) -> None:
    midnight, tomorrow = _day_of(work.now)
    agent = hive.agents.get(row.name)
    limit = agent.limits.spend_per_day_usd if agent is not None else None
    spent = turns.spent_since(work, midnight, row.name)
    if _tell_spending(work, f"spend:{row.name}", row.name, limit, spent, agent=row.name):
        reason = f"{row.name} has spent its {limit:g} USD of the day"
        lifecycle.pause(work, row, Pause(Cause.SPEND, reason, work.now, tomorrow), SYSTEM)
    limit = hive.limits.spend_per_day_usd
    spent = turns.spent_since(work, midnight)
    if _tell_spending(work, "spend", "the hive", limit, spent):
        reason = f"the hive has spent its {limit:g} USD of the day"
        pause = Pause(Cause.SPEND, reason, work.now, tomorrow)
        lifecycle.pause_hive(work, pause, hive.agents, SYSTEM)


def _tell_spending(
    work: Writing, key: str, who: str, limit: float | None, spent: float, agent: str | None = None
) -> bool:
    """Keep the alert of one budget of the day as it must be; say whether the budget is used up."""
    if limit is None or spent < SPEND_WARNING * limit:
        alerts.clear_alert(work, key)
        return False
    if spent < limit:
        text = f"{who} has spent {SPEND_WARNING:.0%} or more of its {limit:g} USD of the day"
        alerts.raise_alert(work, key, text, agent=agent)
        return False
    resume = "hyperhive resume" if agent is None else f"hyperhive resume {agent}"
    text = f"{who} has spent its {limit:g} USD of the day; no turn starts until midnight, or: "
    alerts.raise_alert(work, key, text + resume, agent=agent)
    return True


def _left_to_spend(hive: Hive, agent: Agent, work: Writing) -> float | None:
    """What the next turn may cost: its own limit, and what is left of the day's.

    Where nothing is left, only somebody's resume lets a turn start, and the day does not bound it.
    """
    midnight, _ = _day_of(work.now)
    days = (
        (agent.limits.spend_per_day_usd, turns.spent_since(work, midnight, agent.name)),
        (hive.limits.spend_per_day_usd, turns.spent_since(work, midnight)),
    )
    limits = [limit - spent for limit, spent in days if limit is not None and spent < limit]
    if agent.limits.spend_per_turn_usd is not None:
        limits.append(agent.limits.spend_per_turn_usd)
    return max(0.01, min(limits)) if limits else None


def is_another_day(asking: Reading) -> bool:
    """Whether spending is counted for another day than today."""
    return lifecycle.kept(asking, DAY) != str(_day_of(asking.now)[0])


def begin_day(hive: Hive, work: Writing) -> None:
    """Count spending anew, for the day that it is now.

    What was said of the day before is taken back, and whoever shows a sum is told today's.
    """
    midnight, _ = _day_of(work.now)
    is_first = lifecycle.kept(work, DAY) is None
    lifecycle.keep(work, DAY, str(midnight))
    for name, agent in hive.agents.items():
        spent = turns.spent_since(work, midnight, name)
        limit = agent.limits.spend_per_day_usd
        _tell_spending(work, f"spend:{name}", name, limit, spent, agent=name)
    spent = turns.spent_since(work, midnight)
    _tell_spending(work, "spend", "the hive", hive.limits.spend_per_day_usd, spent)
    if not is_first:
        work.record(EventKind.DAY_BEGAN, SYSTEM, {"spent_today_usd": spent})


def spent_today(asking: Reading, agent: str | None = None) -> float:
    """Add up what turns have cost since midnight, in US dollars."""
    return turns.spent_since(asking, _day_of(asking.now)[0], agent)


def _day_of(now: float) -> tuple[float, float]:
    """Give the last and the next midnight of this machine's time zone."""
    at = time.localtime(now)
    last = time.mktime((at.tm_year, at.tm_mon, at.tm_mday, 0, 0, 0, 0, 0, -1))
    following = time.mktime((at.tm_year, at.tm_mon, at.tm_mday + 1, 0, 0, 0, 0, 0, -1))
    return last, following

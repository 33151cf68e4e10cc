"""What was done in each of equal spans of time: turns, what they used, messages; by agent."""

from typing import Any

from sqlalchemy import Integer, cast, func, select

from hyperhive.store import tables
from hyperhive.store.transaction import Asking

_t = tables.turn.c
_m = tables.message.c


def turns(
    asking: Asking, since: float, step: float, agent: str | None = None
) -> list[dict[str, Any]]:
    """Add up the turns that began since then, for each agent and span."""
    span = cast((_t.started_at - since) / step, Integer)
    statement = (
        select(
            _t.agent,
            span.label("span"),
            func.count().label("turns"),
            func.coalesce(func.sum(_t.cost_usd), 0.0).label("cost_usd"),
            (
                func.coalesce(func.sum(_t.input_tokens), 0)
                + func.coalesce(func.sum(_t.output_tokens), 0)
            ).label("tokens"),
        )
        .where(_t.started_at >= since)
        .group_by(_t.agent, "span")
    )
    if agent is not None:
        statement = statement.where(_t.agent == agent)
    return [dict(row._mapping) for row in asking.execute(statement)]  # noqa: SLF001 - its public name


def messages(
    asking: Asking, since: float, step: float, agent: str | None = None
) -> list[dict[str, Any]]:
    """Count the messages that were sent since then, for each sender and span."""
    span = cast((_m.at - since) / step, Integer)
    statement = (
        select(_m.sender.label("agent"), span.label("span"), func.count().label("messages"))
        .where(_m.at >= since)
        .group_by(_m.sender, "span")
    )
    if agent is not None:
        statement = statement.where(_m.sender == agent)
    return [dict(row._mapping) for row in asking.execute(statement)]  # noqa: SLF001 - its public name

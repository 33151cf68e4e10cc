"""The state of the hive at one position of its event table, and the events on either side.

A client that takes a snapshot and applies every event after its ``seq`` knows what a fresh
snapshot would tell it.
"""

from typing import Any, Final

import hyperhive
from hyperhive.domain.events import Event, EventKind
from hyperhive.domain.messages import MessageState
from hyperhive.services import pacing
from hyperhive.services.agents import Agents, limits_of
from hyperhive.services.forge import ForgeDesk
from hyperhive.store import (
    Reading,
    Store,
    alerts,
    approvals,
    audit,
    events,
    figures,
    lifecycle,
    messages,
    questions,
    reminders,
    turns,
)
from hyperhive.store import agents as agent_rows

LATEST_MESSAGES: Final = 200
DEAD_SHOWN_MAX: Final = 1000
SPANS: Final = 48
FIGURES: Final = ("turns", "cost_usd", "tokens", "messages")


class Snapshots:
    """What the operator sees."""

    def __init__(self, store: Store, agents: Agents, forge: ForgeDesk | None = None) -> None:
        self._store = store
        self._agents = agents
        self._forge = forge
        self.started_at = store.clock()

    async def begin(self) -> None:
        """Take the time of the server's start from its event, which is what clients see of it."""

        def job(asking: Reading) -> list[Event]:
            return events.before(asking, None, 1, kind=EventKind.HIVE_STARTED.value)

        self.started_at = (await self._store.read(job))[0].at

    async def state(self) -> dict[str, Any]:
        """Take a snapshot: all that is open, and the latest messages."""
        while True:
            epoch = self._store.epoch
            state = await self._store.read(self._state)
            # Read while a backup was put in place, the rows may be of the time before it.
            if self._store.epoch == epoch:
                return {**state, "epoch": epoch}

    def _state(self, asking: Reading) -> dict[str, Any]:
        counts = messages.inbox_counts(asking)
        running = {
            row.agent: {"id": row.id, "started_at": row.started_at}
            for row in turns.open_turns(asking)
            if row.started_at is not None
        }
        latest = messages.search(asking, before=None, limit=LATEST_MESSAGES)
        dead = messages.search(asking, before=None, limit=DEAD_SHOWN_MAX, state=MessageState.DEAD)
        rollout, sizes = lifecycle.rollout(asking), lifecycle.measured(asking)
        return {
            "seq": events.last(asking),
            "at": asking.now,
            "hive": {
                "name": self._agents.hive.name,
                "version": hyperhive.__version__,
                "started_at": self.started_at,
                "pauses": [each.as_json() for each in lifecycle.hive_pauses(asking)],
                "rollout": rollout,
                "spent_today_usd": pacing.spent_today(asking),
                "limits": limits_of(self._agents.declared),
            },
            "agents": [
                agent_rows.shown(
                    row,
                    inbox=counts.get(row.name),
                    turn=running.get(row.name),
                    size=sizes.get(row.name),
                )
                for row in agent_rows.all_present(asking)
            ],
            "plan": lifecycle.plan(asking),
            "messages": [messages.summary(row) for row in reversed(latest)],
            "dead": [messages.summary(row) for row in reversed(dead)],
            "approvals": approvals.in_sight(asking),
            "forge": self._forge.shown(asking) if self._forge is not None else None,
            "questions": questions.shown_now(asking),
            "reminders": {
                "counts": reminders.counts(asking),
                "rows": [reminders.summary(row) for row in reminders.standing(asking)],
            },
            "operator": {"unread": messages.unread_by_operator(asking)},
            "alerts": alerts.standing(asking),
            "tombstones": [
                agent_rows.tombstone(row, size=sizes.get(row.name))
                for row in agent_rows.tombstones(asking)
            ],
        }

    async def history(
        self, *, before: int | None, limit: int, agent: str | None, kind: str | None
    ) -> dict[str, Any]:
        """Page backwards through the events, newest first."""

        def job(asking: Reading) -> dict[str, Any]:
            found = events.before(asking, before, limit + 1, agent=agent, kind=kind)
            shown = [event.as_json() for event in found[:limit]]
            return {"events": shown, "more": len(found) > limit}

        return await self._store.read(job)

    async def figures(self, *, hours: int, agent: str | None) -> dict[str, Any]:
        """Say what each agent did in each of ``SPANS`` equal spans, the last one ending now.

        An agent that did nothing is not named.
        """

        def job(asking: Reading) -> dict[str, Any]:
            step = hours * 3600 / SPANS
            since = asking.now - hours * 3600
            agents: dict[str, dict[str, list[float]]] = {}
            for row in (
                *figures.turns(asking, since, step, agent),
                *figures.messages(asking, since, step, agent),
            ):
                mine = agents.setdefault(row["agent"], {key: [0] * SPANS for key in FIGURES})
                span = min(SPANS - 1, row["span"])
                for key in FIGURES:
                    mine[key][span] += row.get(key, 0)
            return {"since": since, "step_seconds": step, "agents": agents}

        return await self._store.read(job)

    async def audit(self, *, before: int | None, limit: int) -> dict[str, Any]:
        """Page backwards through the audit log."""

        def job(asking: Reading) -> dict[str, Any]:
            found = audit.search(asking, before=before, limit=limit + 1)
            return {"entries": found[:limit], "more": len(found) > limit}

        return await self._store.read(job)

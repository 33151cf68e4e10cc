"""What is recorded of agents, for the reconciler: states, crashes, holds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hyperhive.domain.agents import AgentState
from hyperhive.domain.instances import Crash, Recorded, Replacement
from hyperhive.domain.plan import Action, shown
from hyperhive.services import crashes
from hyperhive.services.agents import Agents
from hyperhive.store import Reading, Row, Store, Writing, lifecycle
from hyperhive.store import agents as rows


class RecordedConditions:
    """The port `Conditions` over the store."""

    def __init__(self, store: Store, agents: Agents) -> None:
        self._store = store
        self._agents = agents

    async def recorded(self) -> Mapping[str, Recorded]:
        """Give what is recorded of every agent; see `Conditions.recorded`."""

        def job(asking: Reading) -> dict[str, Recorded]:
            rollout = lifecycle.rollout(asking) or {}
            waiting = rollout.get("waiting", ())
            return {
                row.name: replace(recorded(row), waits=row.name in waiting)
                for row in rows.all_present(asking)
            }

        return await self._store.read(job)

    async def set_state(self, agent: str, state: AgentState, reason: str) -> None:
        """Show a state; see `Conditions.set_state`."""
        await self._agents.set_state(agent, state, reason)

    async def record_crash(self, agent: str, crash: Crash) -> None:
        """Add a crash; see `Conditions.record_crash`."""
        await self._store.write(lambda work: crashes.record(work, agent, crash))

    async def note_incarnation(self, agent: str, incarnation: str | None) -> None:
        """Record which box runs; see `Conditions.note_incarnation`."""

        def job(work: Writing) -> None:
            row = rows.find(work, agent)
            if row is not None:
                lifecycle.note_incarnation(work, row, incarnation)

        await self._store.write(job)

    async def clear_crashes(self, agent: str) -> None:
        """Forget the crashes; see `Conditions.clear_crashes`."""
        await self._store.write(lambda work: rows.set_crashes(work, agent, []))

    async def note_plan(self, actions: Sequence[Action]) -> None:
        """Show what is being done; see `Conditions.note_plan`."""
        told = [shown(action) for action in actions]
        if told == await self._store.read(lifecycle.plan):
            return
        await self._store.write(lambda work: lifecycle.set_plan(work, told))


def recorded(row: Row) -> Recorded:
    """Give what an agent's row records of it alone."""
    return Recorded(
        held=row.held_by is not None,
        crashes=crashes.of(row),
        state=AgentState(row.state),
        reason=row.reason,
        replace=_wish(row),
        incarnation=row.incarnation,
    )


def _wish(row: Row) -> Replacement | None:
    wish = lifecycle.wish_of(row)
    return Replacement(wish["incarnation"], wish["reason"]) if wish is not None else None

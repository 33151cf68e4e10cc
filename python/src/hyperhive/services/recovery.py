"""Starting up settles what the last run of the server held: a crash is the only shutdown.

Agents are shown as on their way until their harnesses are heard from. The turns that were open
wait a little for their sessions; then they end, and what they held is delivered again.
"""

import asyncio
from typing import Final

import hyperhive
from hyperhive.domain.actors import SYSTEM
from hyperhive.domain.agents import CONNECTED, AgentState
from hyperhive.domain.events import EventKind
from hyperhive.domain.turns import SESSION_GRACE_SECONDS
from hyperhive.services.agents import Agents, limits_of
from hyperhive.services.sessions import Sessions
from hyperhive.services.turns import Turns
from hyperhive.store import Store, Writing
from hyperhive.store import agents as rows

ALIVE: Final = CONNECTED | {AgentState.DRAINING, AgentState.STOPPING}
"""States that only a harness or a server that is no longer there could speak for."""


class Recovery:
    """Brings what is recorded in line with a server that has just begun."""

    def __init__(self, store: Store, agents: Agents, turns: Turns, sessions: Sessions) -> None:
        self._store = store
        self._agents = agents
        self._turns = turns
        self._sessions = sessions

    async def begin(self) -> list[int]:
        """Show every agent as not heard from, tell of the start, and give the open turns."""
        left_over = await self._turns.open_now()

        def job(work: Writing) -> None:
            told = {
                "version": hyperhive.__version__,
                "limits": limits_of(self._agents.declared),
            }
            work.record(EventKind.HIVE_STARTED, SYSTEM, told)
            for row in rows.all_present(work):
                if AgentState(row.state) in ALIVE:
                    self._agents.note_state(
                        work, row.name, AgentState.STARTING, "the server has just started"
                    )

        await self._store.write(job)
        return left_over

    async def settle(
        self, left_over: list[int], grace_seconds: float = SESSION_GRACE_SECONDS
    ) -> None:
        """End those turns of the last run whose sessions have not come back in time."""
        if left_over:
            await asyncio.sleep(grace_seconds)
            await self._sessions.settle(left_over)

    async def start_over(self) -> None:
        """Settle at once what a restored backup says of turns, and have every harness return."""
        await self._agents.declare(self._agents.declared)
        left_over = await self.begin()
        self._sessions.drop_all()
        await self._sessions.settle(left_over)

    async def stopping(self) -> None:
        """Tell that the hive stops."""
        await self._store.write(lambda work: work.record(EventKind.HIVE_STOPPING, SYSTEM, {}))

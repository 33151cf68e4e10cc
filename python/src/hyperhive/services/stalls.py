"""A message delivered while nobody runs a turn is a defect, not a state: it is found and mended.

An agent has stalled when its harness is there and nothing happens: its loop is not heard from, it
has never said hello, or there is work and it neither works nor waits. It is said, counted, and
the box is made anew, so that its messages are delivered again.
"""

import asyncio
import logging
from functools import partial
from typing import Final

from hyperhive.domain import pauses
from hyperhive.domain.actors import SYSTEM
from hyperhive.domain.agents import AgentState
from hyperhive.services.agents import Agents
from hyperhive.services.sessions import Sessions
from hyperhive.services.trouble import Trouble
from hyperhive.services.turns import Turns
from hyperhive.store import Reading, Row, Store, Writing, alerts, lifecycle, messages, turns
from hyperhive.store import agents as rows

LOOK_SECONDS: Final = 5.0
STALL_SECONDS: Final = 60.0
HELLO_SECONDS: Final = 90.0

_log = logging.getLogger(__name__)


class Stalls:
    """Watches for agents that are there and do nothing."""

    def __init__(
        self,
        store: Store,
        agents: Agents,
        sessions: Sessions,
        turns: Turns,
        *,
        stall_seconds: float = STALL_SECONDS,
        hello_seconds: float = HELLO_SECONDS,
    ) -> None:
        self._store = store
        self._agents = agents
        self._sessions = sessions
        self._turns = turns
        self._stall_seconds = stall_seconds
        self._hello_seconds = hello_seconds
        self._idle_since: dict[str, float] = {}
        self._began_at = store.clock()
        self._trouble = Trouble(store, "stalls")

    async def run(self, look_seconds: float = LOOK_SECONDS) -> None:
        """Look again and again; what fails, the next look tries again."""
        while True:
            async with self._trouble.told():
                await self.look()
            await asyncio.sleep(look_seconds)

    async def look(self) -> dict[str, str]:
        """Find who has stalled, have them restarted, and say why, by name."""
        found = await self._store.read(self._find)
        for name, reason in found.items():
            _log.warning("%s has stalled: %s", name, reason)
            await self._store.write(partial(self._mend, name=name, reason=reason))
        return found

    def _find(self, asking: Reading) -> dict[str, str]:
        if lifecycle.rollout(asking) is not None:
            self._idle_since.clear()
            return {}
        busy = {row.agent for row in turns.open_turns(asking)}
        found: dict[str, str] = {}
        for row in rows.all_present(asking):
            reason = self._why(asking, row, runs_turn=row.name in busy)
            if reason is not None and lifecycle.wish_of(row) is None:
                found[row.name] = reason
        return found

    def _why(self, asking: Reading, row: Row, *, runs_turn: bool) -> str | None:
        if row.incarnation is None:
            self._idle_since.pop(row.name, None)
            return None
        session = self._sessions.of(row.name)
        if session is None:
            # While the server was away nobody could say hello to it.
            waited = asking.now - max(row.since, self._began_at)
            if row.state == AgentState.STARTING.value and waited > self._hello_seconds:
                return f"its harness has not said hello for {waited:.0f} s"
            return None
        silent = asking.now - session.heard_at
        if silent > self._stall_seconds:
            return f"its loop has not been heard from for {silent:.0f} s"
        has_work = not runs_turn and not self._turns.is_awaited_by(row.name)
        has_work = has_work and messages.has_deliverable(asking, row.name)
        held = (*lifecycle.pauses_of(row), *lifecycle.hive_pauses(asking))
        if not has_work or pauses.standing(held, asking.now):
            self._idle_since.pop(row.name, None)
            return None
        idle = asking.now - self._idle_since.setdefault(row.name, asking.now)
        if idle >= self._stall_seconds:
            return f"it has had work for {idle:.0f} s and has not taken it up"
        return None

    def _mend(self, work: Writing, name: str, reason: str) -> None:
        row = rows.find(work, name)
        if row is None or row.incarnation is None:
            return
        text = f"{name} had stalled: {reason}. It is restarted; its messages are delivered again."
        alerts.raise_alert(work, f"stalled:{name}", text, severity="error", agent=name)
        lifecycle.replace(work, row, f"it had stalled: {reason}", SYSTEM)
        self._idle_since.pop(name, None)

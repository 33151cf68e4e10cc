"""A message delivered while nobody runs a turn is a defect, not a state: it is found and mended.

An agent has stalled when its box runs and nothing happens: its loop is not heard from, no harness
says hello, or there is work and it neither works nor waits. It is said and counted as a crash of
that box, which is ended for it and made anew as after any crash, so that its messages are
delivered again. Time is told by a clock that nobody sets.
"""

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import Final

from hyperhive import bus
from hyperhive.domain import pauses
from hyperhive.domain.agents import AgentState
from hyperhive.domain.instances import Crash
from hyperhive.services import crashes
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


@dataclass(frozen=True, slots=True)
class Stall:
    """Which box has stalled, and how."""

    box: str
    reason: str


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
        self._mute_since: dict[str, tuple[str, float]] = {}
        """Which box has no harness that is connected, and since when that has been seen."""
        self._trouble = Trouble(store, "stalls")

    async def run(self, look_seconds: float = LOOK_SECONDS) -> None:
        """Look again and again; what fails, the next look tries again."""
        while True:
            async with self._trouble.told():
                await self.look()
            await asyncio.sleep(look_seconds)

    async def look(self) -> dict[str, str]:
        """Find who has stalled, have their boxes ended, and say why, by name."""
        now = self._sessions.ticks()
        found = await self._store.read(partial(self._find, now=now))
        for name, stall in found.items():
            _log.warning("%s has stalled: %s", name, stall.reason)
            await self._store.write(partial(self._mend, name=name, stall=stall))
        return {name: stall.reason for name, stall in found.items()}

    def _find(self, asking: Reading, now: float) -> dict[str, Stall]:
        if lifecycle.rollout(asking) is not None:
            self._idle_since.clear()
            self._mute_since.clear()
            return {}
        busy = {row.agent for row in turns.open_turns(asking)}
        found: dict[str, Stall] = {}
        for row in rows.all_present(asking):
            if row.incarnation is None or _is_ending(row):
                self._forget(row.name)
                continue
            reason = self._why(asking, row, now, runs_turn=row.name in busy)
            if reason is not None:
                found[row.name] = Stall(row.incarnation, reason)
        return found

    def _why(self, asking: Reading, row: Row, now: float, *, runs_turn: bool) -> str | None:
        session = self._sessions.of(row.name)
        if session is None:
            mute = now - self._mute_from(row, now)
            if mute > self._hello_seconds:
                return f"its harness has not said hello for {mute:.0f} s"
            return None
        self._mute_since.pop(row.name, None)
        silent = now - session.heard_at
        if silent > self._stall_seconds:
            return f"its loop has not been heard from for {silent:.0f} s"
        has_work = not runs_turn and not self._turns.is_awaited_by(row.name)
        has_work = has_work and messages.has_deliverable(asking, row.name)
        held = (*lifecycle.pauses_of(row), *lifecycle.hive_pauses(asking))
        if not has_work or pauses.standing(held, asking.now):
            self._idle_since.pop(row.name, None)
            return None
        idle = now - self._idle_since.setdefault(row.name, now)
        if idle >= self._stall_seconds:
            return f"it has had work for {idle:.0f} s and has not taken it up"
        return None

    def _mute_from(self, row: Row, now: float) -> float:
        """Say since when this very box of an agent is known to have no harness."""
        box, since = self._mute_since.get(row.name, (None, now))
        if box != row.incarnation:
            since = now
        self._mute_since[row.name] = row.incarnation, since
        return since

    def _forget(self, name: str) -> None:
        self._idle_since.pop(name, None)
        self._mute_since.pop(name, None)

    def _mend(self, work: Writing, name: str, stall: Stall) -> None:
        row = rows.find(work, name)
        if row is None or row.incarnation != stall.box:
            return
        said = f"{name} had stalled: {stall.reason}."
        text = f"{said} It is restarted; its messages are delivered again."
        alerts.raise_alert(work, f"stalled:{name}", text, severity="error", agent=name)
        crashes.record(work, name, Crash(work.now, stall.box, f"it had stalled: {stall.reason}"))
        work.wake(bus.LIFECYCLE)
        self._forget(name)


def _is_ending(row: Row) -> bool:
    """Whether the hive ends the box that runs, or is about to."""
    is_crashed = any(crash.incarnation == row.incarnation for crash in crashes.of(row))
    is_stopping = row.state == AgentState.STOPPING.value
    return is_crashed or is_stopping or lifecycle.wish_of(row) is not None

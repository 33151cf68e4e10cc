"""Which harness speaks for which agent, from its hello to the end of its connection.

A session is open as long as its connection is. When it ends, or another takes its place, the
turn it had ends with it and the turn's messages go back at once. Only when the *server* stops do
they stay: a session that returns within the grace after the next start carries on, and what
belongs to one that does not is released without counting an attempt.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from hyperhive.domain.agents import AgentState
from hyperhive.domain.errors import SessionUnknownError
from hyperhive.domain.turns import TurnOutcome
from hyperhive.services.agents import Agents
from hyperhive.services.turns import finish
from hyperhive.store import Store, Writing, turns

COMMANDS_WAITING_MAX: Final = 100
CONNECTED: Final = frozenset(set(AgentState) - {AgentState.STOPPING, AgentState.STOPPED})
"""States in which the end of a connection is news: of one that is being stopped it is expected."""


@dataclass(slots=True, eq=False)
class Session:
    """A harness that is connected; ``commands`` is what it is still to be told."""

    agent: str
    id: str
    heard_at: float
    turn: int | None = None
    over: bool = False
    commands: asyncio.Queue[dict[str, Any] | None] = field(
        default_factory=lambda: asyncio.Queue(COMMANDS_WAITING_MAX)
    )

    def tell(self, command: dict[str, Any] | None) -> None:
        """Queue a command for the harness; ``None`` ends its stream."""
        if not self.commands.full():
            self.commands.put_nowait(command)


class Sessions:
    """The harnesses that are connected, one for each agent at most."""

    def __init__(self, store: Store, agents: Agents) -> None:
        self._store = store
        self._agents = agents
        self._open: dict[str, Session] = {}
        self._stopping = False

    def of(self, agent: str) -> Session | None:
        """Give the session that speaks for an agent now."""
        return self._open.get(agent)

    def require(self, agent: str, session: str) -> Session:
        """Give the open session with this id, or raise `SessionUnknownError`."""
        found = self._open.get(agent)
        if found is None or found.id != session:
            raise SessionUnknownError(session)
        return found

    async def hello(self, agent: str, session: str) -> Session:
        """Open a session; it takes the place of the one before.

        The turns of other sessions end. A turn of this very one, left open by a lost connection
        to an earlier run of the server, goes on: `Session.turn` names it.
        """
        previous = self._open.get(agent)
        opened = Session(agent, session, self._store.clock())
        self._open[agent] = opened
        if previous is not None:
            previous.over = True
            previous.tell(None)
        taken_over = previous.id if previous is not None and previous.id != session else None

        def job(work: Writing) -> int | None:
            own = None
            for row in turns.open_turns(work, agent):
                if row.session == session:
                    own = int(row.id)
                    continue
                known = row.session == taken_over
                outcome = TurnOutcome.DIED if known else TurnOutcome.SERVER_RESTARTED
                finish(work, row, outcome, "its harness came back under a new session")
            state = AgentState.BUSY if own is not None else AgentState.READY
            self._agents.note_state(work, agent, state)
            return own

        try:
            opened.turn = await self._store.write(job)
        except BaseException:
            # Nobody will say goodbye for a session whose hello was never answered.
            if self._open.get(agent) is opened:
                del self._open[agent]
            raise
        return opened

    async def goodbye(self, session: Session) -> None:
        """End a session whose connection has ended; what its turn held goes back at once."""
        if self._stopping or self._open.get(session.agent) is not session:
            return
        del self._open[session.agent]

        def job(work: Writing) -> None:
            for row in turns.open_turns(work, session.agent):
                finish(work, row, TurnOutcome.DIED, "the connection to its harness was lost")
            if self._agents.state_of(session.agent) in CONNECTED:
                self._agents.note_state(
                    work, session.agent, AgentState.STARTING, "its harness is not connected"
                )

        await self._store.write(job)

    def heard(self, agent: str, session: str) -> None:
        """Note a sign of life from inside the harness's loop."""
        self.require(agent, session).heard_at = self._store.clock()

    async def settle(self, left_over: Iterable[int]) -> int:
        """End the turns of an earlier run of the server whose sessions have not come back.

        ``left_over`` are the turns that were open at the start. Returns how many were ended.
        """
        numbers = set(left_over)

        def job(work: Writing) -> int:
            ended = 0
            for row in turns.open_turns(work):
                session = self._open.get(row.agent)
                if row.id not in numbers or (session is not None and session.id == row.session):
                    continue
                finish(work, row, TurnOutcome.SERVER_RESTARTED, "its harness did not come back")
                ended += 1
            return ended

        return await self._store.write(job)

    def drop_all(self) -> None:
        """Let every stream end, so that each harness says hello again; releases nothing itself."""
        for session in self._open.values():
            session.over = True
            session.tell(None)
        self._open.clear()

    def close(self) -> None:
        """Let every stream end because the server stops; nothing is released for that."""
        self._stopping = True
        for session in self._open.values():
            session.tell(None)

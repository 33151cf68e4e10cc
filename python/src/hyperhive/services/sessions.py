"""Which harness speaks for which agent, from its hello to the end of its connection.

A session is open as long as its connection is. When it ends, or another takes its place, the
turn it had ends with it and the turn's messages go back at once. Only when the *server* stops do
they stay: a session that returns within the grace after the next start carries on, and what
belongs to one that does not is released without counting an attempt.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from hyperhive.domain import pauses, rollout
from hyperhive.domain.agents import AgentState
from hyperhive.domain.errors import SessionUnknownError
from hyperhive.domain.pauses import Cause
from hyperhive.domain.turns import TurnOutcome
from hyperhive.services.agents import Agents
from hyperhive.services.turns import finish
from hyperhive.store import Store, Writing, lifecycle, turns
from hyperhive.store import agents as rows

COMMANDS_WAITING_MAX: Final = 100
BLINK_SECONDS: Final = 1.0
"""A harness without a turn that is back so soon is not shown to have been away."""
_EXPECTED: Final = frozenset({AgentState.STOPPING.value, AgentState.STOPPED.value})
"""States in which the end of a connection is no news."""
_IDLE: Final = frozenset(
    {AgentState.READY.value, AgentState.NEEDS_LOGIN.value, AgentState.RATE_LIMITED.value}
)
_WAITING_FOR: Final = {
    Cause.LOGIN: AgentState.NEEDS_LOGIN,
    Cause.RATE_LIMIT: AgentState.RATE_LIMITED,
}


@dataclass(slots=True, eq=False)
class Session:
    """A harness that is connected; ``commands`` is what it is still to be told.

    ``heard_at`` is by `Sessions.ticks`.
    """

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
    """The harnesses that are connected, one for each agent at most.

    ``ticks`` gives seconds from a clock that only goes forward, whatever becomes of the time.
    """

    def __init__(
        self, store: Store, agents: Agents, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self.ticks = ticks
        self._store = store
        self._agents = agents
        self._open: dict[str, Session] = {}
        self._pids: dict[str, int] = {}
        self._missed: dict[str, asyncio.Event] = {}
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

    async def hello(self, agent: str, session: str, pid: int | None = None) -> Session:
        """Open a session; it takes the place of the one before.

        ``pid`` is the harness's in its box: where it is another than before, the agent was
        restarted, by whomever, and is told so in its next turn unless it is told more already.
        The turns of other sessions end. A turn of this very one, left open by a lost connection
        to an earlier run of the server, goes on: `Session.turn` names it.
        """
        previous = self._open.get(agent)
        opened = Session(agent, session, self.ticks())
        self._open[agent] = opened
        if agent in self._missed:
            self._missed.pop(agent).set()
        if previous is not None:
            previous.over = True
            previous.tell(None)
        is_anew = pid is not None and self._pids.get(agent, pid) != pid
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
            mine = rows.find(work, agent)
            if is_anew and mine is not None and mine.note is None:
                lifecycle.change(work, agent, note=rollout.note("your harness was started anew"))
            state, reason = (AgentState.BUSY, None) if own is not None else _idle(work, agent)
            self._agents.note_state(work, agent, state, reason)
            return own

        try:
            opened.turn = await self._store.write(job)
        except BaseException:
            # Nobody will say goodbye for a session whose hello was never answered.
            if self._open.get(agent) is opened:
                del self._open[agent]
            raise
        if pid is not None:
            self._pids[agent] = pid
        return opened

    async def goodbye(self, session: Session) -> None:
        """End a session whose connection has ended; what its turn held goes back at once.

        It is no attempt where the hive itself is ending the box, however hard it has to.

        That it is away is shown at once, too, but for a harness without a turn: that one may be
        about to say hello again, and is given `BLINK_SECONDS` for it.
        """
        if self._stopping or self._open.get(session.agent) is not session:
            return
        del self._open[session.agent]

        def end_turns(work: Writing) -> bool:
            running = turns.open_turns(work, session.agent)
            state = _state(work, session.agent)
            ended = TurnOutcome.DRAINED if state in _EXPECTED else TurnOutcome.DIED
            for row in running:
                finish(work, row, ended, "the connection to its harness was lost")
            if not running and state in _IDLE:
                return True
            if state not in _EXPECTED:
                self._note_away(work, session.agent)
            return False

        def tell(work: Writing) -> None:
            if session.agent not in self._open and _state(work, session.agent) in _IDLE:
                self._note_away(work, session.agent)

        if await self._store.write(end_turns) and await self._is_missed(session.agent):
            await self._store.write(tell)

    async def _is_missed(self, agent: str) -> bool:
        """Wait a moment for an agent's harness; say whether it is away and the hive is not."""
        if agent in self._open or self._stopping:
            return False
        back = self._missed.setdefault(agent, asyncio.Event())
        try:
            async with asyncio.timeout(BLINK_SECONDS):
                await back.wait()
        except TimeoutError:
            self._missed.pop(agent, None)
            return True
        return False

    def _note_away(self, work: Writing, agent: str) -> None:
        reason = "its harness is not connected"
        self._agents.note_state(work, agent, AgentState.STARTING, reason)

    def heard(self, agent: str, session: str) -> None:
        """Note a sign of life from inside the harness's loop."""
        self.require(agent, session).heard_at = self.ticks()

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
        for back in self._missed.values():
            back.set()
        for session in self._open.values():
            session.tell(None)


def _state(work: Writing, agent: str) -> str | None:
    row = rows.find(work, agent)
    return None if row is None else str(row.state)


def _idle(work: Writing, agent: str) -> tuple[AgentState, str | None]:
    """Say what a connected agent without a turn is: ready, or what a pause says it waits for."""
    row = rows.find(work, agent)
    held = () if row is None else pauses.standing(lifecycle.pauses_of(row), work.now)
    for cause, state in _WAITING_FOR.items():
        for pause in held:
            if pause.cause is cause:
                return state, pause.reason
    return AgentState.READY, None

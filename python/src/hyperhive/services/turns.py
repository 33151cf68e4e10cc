"""Turns: offered to a harness with a message, begun, told of, ended.

A turn that ends well acks what it was seen to receive; any other end gives its messages back.
`finish` is the only way a turn ends, whoever ends it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hyperhive import bus
from hyperhive.bus import Watch
from hyperhive.domain.agents import AgentState
from hyperhive.domain.errors import InvalidError, NotFoundError, TurnOverError
from hyperhive.domain.pauses import next_end
from hyperhive.domain.turns import REPORTABLE, WORK_WAIT_SECONDS_MAX, TurnKind, TurnOutcome
from hyperhive.services import pacing
from hyperhive.services.agents import Agents
from hyperhive.services.callers import Caller
from hyperhive.services.messages import end_leases, open_turn
from hyperhive.services.pacing import Reported
from hyperhive.store import Reading, Row, Store, Writing, lifecycle
from hyperhive.store import agents as agent_rows
from hyperhive.store import messages as message_rows
from hyperhive.store import turns as rows
from hyperhive.store.messages import Holder

MESSAGES_IN_WAKE: Final = 1
"""A turn begins with the oldest message; the others are a ``recv`` away, and the prompt says so."""


class Turns:
    """What the harnesses are working on."""

    def __init__(self, store: Store, agents: Agents) -> None:
        self._store = store
        self._agents = agents
        self._asking: dict[str, Watch] = {}
        self._offered: dict[str, dict[str, Any]] = {}

    async def offer(
        self, agent: str, session: str, *, wait_seconds: float, caller: Caller
    ) -> dict[str, Any] | None:
        """Wait for something to do and open a turn with it; ``None`` when the time has passed.

        A harness that asks has no turn: one that was offered and never begun is taken back, one
        that was begun and never ended has failed. Who asks ends the wait of whoever asked before
        for the same agent: a session that was replaced takes nothing from its successor.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(wait_seconds, WORK_WAIT_SECONDS_MAX)

        opened: list[int] = []

        def look(work: Writing) -> tuple[dict[str, Any] | None, float | None]:
            if self._asking.get(agent) is not watch:
                return None, None
            for row in rows.open_turns(work, agent):
                begun = row.started_at is not None
                finish(
                    work,
                    row,
                    TurnOutcome.FAILED if begun else TurnOutcome.VOID,
                    "the harness asked for other work",
                    seen=begun,
                )
            return self._next(work, agent, session, opened)

        with self._store.bus.watch(bus.inbox(agent)) as watch:
            previous, self._asking[agent] = self._asking.get(agent), watch
            if previous is not None:
                previous.ring()
            caller.when_gone(watch.ring)
            try:
                while not caller.gone and self._asking.get(agent) is watch:
                    turn, due = await self._store.write(look)
                    if turn is not None:
                        if not caller.gone:
                            return turn
                        await self._withdraw(opened)
                        break
                    left = deadline - loop.time()
                    if left <= 0 or self._store.bus.closed:
                        break
                    until_due = left if due is None else max(0.0, due - self._store.clock())
                    await watch.wait(min(left, until_due))
            except asyncio.CancelledError:
                await asyncio.shield(self._withdraw(opened))
                raise
            finally:
                if self._asking.get(agent) is watch:
                    del self._asking[agent]
        return None

    def _next(
        self, work: Writing, agent: str, session: str, opened: list[int]
    ) -> tuple[dict[str, Any] | None, float | None]:
        """Open the agent's next turn, or say when there may be one."""
        row = agent_rows.find(work, agent)
        if row is None or agent not in self._agents.hive.agents:
            return None, None
        held = pacing.standing(work, row)
        if held:
            return None, next_end(held, work.now)
        if row.state in (AgentState.RATE_LIMITED.value, AgentState.NEEDS_LOGIN.value):
            self._agents.note_state(work, agent, AgentState.READY)
        errands = lifecycle.errands_of(row)
        kind = errands[0] if errands else TurnKind.WORK
        if kind is TurnKind.WORK and not message_rows.has_deliverable(work, agent):
            return None, message_rows.next_due(work, agent)
        extras = pacing.extras(self._agents.hive, work, row)
        number = rows.offer(work, agent, session, kind, extras["model"])
        opened.append(number)
        got: list[dict[str, Any]] = []
        if kind is TurnKind.WORK:
            got = message_rows.lease(work, agent, MESSAGES_IN_WAKE, Holder(turn=number))
        waiting = message_rows.waiting(work, agent)
        turn = {"id": number, "kind": kind.value, "messages": got, "waiting": waiting, **extras}
        self._offered[agent] = turn
        return turn, None

    def is_awaited_by(self, agent: str) -> bool:
        """Whether an agent's harness is waiting for a turn now."""
        return agent in self._asking

    async def _withdraw(self, opened: list[int]) -> None:
        """End a turn that nobody heard of.

        ``opened`` is read by the writer: the job that fills it may be queued before this one.
        """

        def job(work: Writing) -> None:
            for number in opened:
                row = rows.find(work, number)
                if row is not None and row.ended_at is None and row.started_at is None:
                    finish(work, row, TurnOutcome.VOID, "the harness had gone", seen=False)

        await self._store.write(job)

    async def begin(self, agent: str, session: str, number: int) -> None:
        """Note that the harness has the turn's messages and starts its driver."""

        def job(work: Writing) -> None:
            row = _of_session(work, agent, session, number)
            if row.started_at is not None:
                return
            held = [message.id for message in message_rows.of_turn(work, number)]
            message_rows.confirm_turn(work, number)
            rows.start(work, row, held)
            self._note_told(work, agent, row)
            self._agents.note_state(work, agent, AgentState.BUSY)

        await self._store.write(job)

    def _note_told(self, work: Writing, agent: str, turn: Row) -> None:
        """Ask no more for what a turn that begins was offered with; what came since stays."""
        offered, mine = self._offered.get(agent), agent_rows.find(work, agent)
        if offered is None or offered["id"] != turn.id or mine is None:
            return
        if offered["fresh"]:
            lifecycle.change(work, agent, fresh=False)
        # A compaction has no prompt that a note could be told in.
        if turn.kind != TurnKind.COMPACT.value and mine.note == offered["note"]:
            lifecycle.change(work, agent, note=None)

    async def tell(
        self, agent: str, session: str, number: int, lines: Sequence[Mapping[str, Any]]
    ) -> None:
        """Append lines to a turn's transcript; what it has already is passed over."""

        def job(work: Writing) -> None:
            _of_session(work, agent, session, number, ended_too=True)
            rows.add_events(work, number, lines)

        await self._store.write(job)

    async def end(
        self,
        agent: str,
        session: str,
        number: int,
        *,
        outcome: str,
        error: str | None,
        usage: Mapping[str, Any],
        tools: Mapping[str, int],
        told: Reported | None = None,
    ) -> TurnOutcome:
        """End a turn as its harness reports; said again, it changes nothing.

        Of one that the hive has cut short, the report still tells what it used.
        """
        if outcome not in {known.value for known in REPORTABLE}:
            known = ", ".join(sorted(known.value for known in REPORTABLE))
            raise InvalidError(f"A harness cannot report {outcome!r}.", f"Known: {known}.")
        reported = TurnOutcome(outcome)

        def job(work: Writing) -> TurnOutcome:
            row = _of_session(work, agent, session, number, ended_too=True)
            if row.outcome == TurnOutcome.DRAINED:
                self._count_late(work, row, usage, tools, told or Reported())
                return TurnOutcome.DRAINED
            if row.ended_at is not None:
                if row.outcome != reported.value:
                    raise TurnOverError(number)
                return reported
            finish(work, row, reported, error, usage=usage, tools=tools)
            self._agents.note_state(work, agent, pacing.state_after(reported), error)
            mine = agent_rows.find(work, agent)
            if mine is not None and mine.present:
                kind = TurnKind(row.kind)
                news = told or Reported(error=error)
                rows.note_context(work, number, news.context_tokens)
                pacing.settle(self._agents.hive, work, mine, kind, reported, news)
            return reported

        return await self._store.write(job)

    def _count_late(
        self,
        work: Writing,
        row: Row,
        usage: Mapping[str, Any],
        tools: Mapping[str, int],
        told: Reported,
    ) -> None:
        used = (row.input_tokens, row.output_tokens, row.cost_usd)
        if any(each is not None for each in used) or not (usage or tools):
            return
        rows.note_used(work, row, usage, tools)
        rows.note_context(work, row.id, told.context_tokens)
        mine = agent_rows.find(work, row.agent)
        if mine is not None and mine.present:
            pacing.count(self._agents.hive, work, mine, told)

    async def page(self, agent: str, *, before: int | None, limit: int) -> dict[str, Any]:
        """Page backwards through an agent's turns, newest first."""
        if agent not in self._agents.hive.agents:
            raise NotFoundError("agent", agent, self._agents.roster.members)

        def job(asking: Reading) -> dict[str, Any]:
            found = rows.search(asking, agent, before=before, limit=limit + 1)
            shown = [rows.shown(row) for row in found[:limit]]
            return {"turns": shown, "more": len(found) > limit}

        return await self._store.read(job)

    async def transcript(self, number: int, *, after: int, limit: int) -> dict[str, Any]:
        """Page forwards through a turn's transcript."""

        def job(asking: Reading) -> dict[str, Any]:
            if rows.find(asking, number) is None:
                raise NotFoundError("turn", number)
            lines = rows.transcript(asking, number, after, limit + 1)
            return {"events": lines[:limit], "more": len(lines) > limit}

        return await self._store.read(job)

    async def news(self, number: int, *, after: int, limit: int) -> tuple[list[Any], bool]:
        """Give the lines behind a position, and whether no more can come: the turn has ended."""

        def job(asking: Reading) -> tuple[list[Any], bool]:
            row = rows.find(asking, number)
            if row is None:
                raise NotFoundError("turn", number)
            lines = rows.transcript(asking, number, after, limit)
            return lines, row.ended_at is not None and len(lines) < limit

        return await self._store.read(job)

    async def open_now(self) -> list[int]:
        """Give the turns that have not ended."""
        return await self._store.read(lambda asking: [row.id for row in rows.open_turns(asking)])


def finish(
    work: Writing,
    row: Row,
    outcome: TurnOutcome,
    error: str | None,
    *,
    usage: Mapping[str, Any] | None = None,
    tools: Mapping[str, int] | None = None,
    seen: bool = True,
) -> None:
    """End an open turn and all of its leases in one commit."""
    held = message_rows.of_turn(work, row.id)
    if outcome is TurnOutcome.OK:
        message_rows.ack(work, [message for message in held if message.confirmed], row.agent)
        unseen = [message for message in held if not message.confirmed]
        end_leases(work, unseen, TurnOutcome.UNCONFIRMED)
    else:
        end_leases(work, held, outcome, seen=seen)
    rows.end(work, row, outcome, error, usage or {}, tools or {})


def _of_session(
    work: Writing, agent: str, session: str, number: int, *, ended_too: bool = False
) -> Row:
    row = rows.find(work, number)
    if row is None or row.agent != agent or row.session != session:
        raise TurnOverError(number)
    return row if ended_too else open_turn(work, agent, number)

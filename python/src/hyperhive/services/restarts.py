"""Restarting many agents in order, whoever asks for it and whatever happens meanwhile.

How far a restart is lies in the store, so a server that dies in the middle goes on where it was.
While it lasts its agents start no turn; each is let go when it is back or given up. The manager
is told what is coming before anyone else starts, and how it went at the end.
"""

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, Final, assert_never

from hyperhive import bus
from hyperhive.config import RestartNote
from hyperhive.domain.actors import THE_SYSTEM, Actor
from hyperhive.domain.agents import CONNECTED, AgentState
from hyperhive.domain.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hyperhive.domain.pauses import Cause, Pause
from hyperhive.domain.plan import CHANGED
from hyperhive.domain.rollout import (
    Announce,
    Back,
    Cut,
    Digest,
    Going,
    Phase,
    Replace,
    Rollout,
    RolloutRules,
    Seen,
    Step,
    advance,
    begin,
    note,
)
from hyperhive.domain.turns import TurnOutcome
from hyperhive.services import crashes
from hyperhive.services.agents import Agents
from hyperhive.services.sessions import Sessions
from hyperhive.services.turns import finish
from hyperhive.store import Store, Writing, alerts, audit, lifecycle, messages, turns
from hyperhive.store import agents as rows
from hyperhive.store.messages import Draft

LOOK_SECONDS: Final = 1.0
"""The longest time between two looks; every change of an agent causes one at once."""

LOST: Final = "the boxes had gone while no server ran"
"""Why agents are started anew whose boxes are not there any more."""

_log = logging.getLogger(__name__)


class Restarts:
    """The restart that is under way, if any: there is one at a time."""

    def __init__(self, store: Store, agents: Agents, sessions: Sessions) -> None:
        self._store = store
        self._agents = agents
        self._sessions = sessions

    async def begin(
        self, operator: Actor, names: tuple[str, ...] | None, reason: str, *, via: str
    ) -> dict[str, Any]:
        """Begin to restart these agents, or (``None``) all that run.

        The operator may, and the manager. Raises `ForbiddenError` for anyone else,
        `ConflictError` while another is under way.
        """
        self.require_may(operator, names or ())
        return await self._begin(operator, names, reason, via=via)

    def require_may(self, actor: Actor, names: tuple[str, ...]) -> None:
        """Refuse whoever may not restart agents, and names that no agent bears."""
        if not (actor.is_operator or self._agents.is_manager(actor)):
            raise ForbiddenError(
                "Only the operator and the manager may restart an agent.", "Ask the manager."
            )
        unknown = [name for name in names if name not in self._agents.roster.members]
        if unknown:
            raise NotFoundError("agent", unknown[0], self._agents.roster.members)

    async def begin_changed(self, names: tuple[str, ...]) -> None:
        """Begin to restart the agents whose declaration changed, unless a restart is under way.

        Whoever sees that they still run as they were asks again.
        """
        with suppress(ConflictError, InvalidError):
            await self._begin(THE_SYSTEM, names, CHANGED, via="declaration")

    async def begin_lost(self, names: tuple[str, ...]) -> None:
        """Begin to start the agents whose boxes are gone, unless a restart is under way.

        Nothing of them runs, so nobody is waited for.
        """
        with suppress(ConflictError, InvalidError):
            await self._store.write(
                lambda work: self.begin_within(
                    work, THE_SYSTEM, names, LOST, via="hive", drain_seconds=0.0
                )
            )

    async def _begin(
        self, operator: Actor, names: tuple[str, ...] | None, reason: str, *, via: str
    ) -> dict[str, Any]:
        return await self._store.write(
            lambda work: self.begin_within(work, operator, names, reason, via=via)
        )

    def begin_within(
        self,
        work: Writing,
        actor: Actor,
        names: tuple[str, ...] | None,
        reason: str,
        *,
        via: str,
        drain_seconds: float | None = None,
    ) -> dict[str, Any]:
        """Begin a restart within a transaction of the caller's, who has seen that it may be.

        ``drain_seconds`` is how long turns may take, where it is not what is declared. Raises
        `ConflictError` while another is under way, `InvalidError` where none of them runs.
        """
        if lifecycle.rollout(work) is not None:
            raise ConflictError(
                "A restart is under way.", "Wait until it is done; `hyperhive status` shows it."
            )
        running = [
            row
            for row in rows.all_present(work)
            if row.incarnation is not None
            and row.held_by is None
            and (names is None or row.name in names)
        ]
        if not running:
            raise InvalidError("None of these agents runs.", "Start them instead.")
        rules = self._rules()
        if drain_seconds is not None:
            rules = replace(rules, drain_seconds=drain_seconds)
        rollout = begin(
            work.seq,
            reason,
            tuple(row.name for row in running),
            self._agents.roster.manager or "",
            work.now,
            rules,
        )
        paused = Pause(Cause.ROLLOUT, reason, work.now)
        for row in running:
            lifecycle.pause(work, row, paused, actor)
            if row.state == AgentState.BUSY.value:
                self._agents.note_state(work, row.name, AgentState.DRAINING, reason)
        lifecycle.set_rollout(work, stored(rollout))
        audit.add(
            work,
            actor=actor.name,
            via=via,
            verb="restart",
            subject="hive",
            detail={"agents": list(rollout.order), "reason": reason},
        )
        only = rollout.order[0] if len(rollout.order) == 1 else None
        return {"agent": only, "did": "restart", "order": list(rollout.order), "seq": work.seq}

    async def run(self) -> None:
        """Carry restarts on, for ever; an error is logged and the next look tries again."""
        with self._store.bus.watch(bus.LIFECYCLE) as watch:
            while True:
                under_way = True
                try:
                    under_way = await self.look()
                except Exception:  # noqa: BLE001 - the loop outlives every error
                    _log.exception("a restart could not be carried on; it is tried again")
                await watch.wait(LOOK_SECONDS if under_way else None)

    async def look(self) -> bool:
        """Do what is due now of the restart that is under way; ``False`` when there is none."""
        if await self._store.read(lifecycle.rollout) is None:
            return False
        cut: list[tuple[str, int]] = []

        def job(work: Writing) -> bool:
            record = lifecycle.rollout(work)
            if record is None:
                return False
            rollout = began = read(record)
            while True:
                before = rollout
                seen = self._seen(work)
                rollout, steps = advance(rollout, seen, work.now, self._rules())
                for step in steps:
                    self._act(work, rollout, step)
                    if isinstance(step, Cut):
                        cut.append((step.name, step.turn))
                if rollout == before:
                    break
            if rollout.phase is Phase.FINISHED:
                # Told once as finished, for whoever follows; what is kept is that there is none.
                lifecycle.set_rollout(work, stored(rollout))
                lifecycle.set_rollout(work, None)
            elif rollout != began:
                lifecycle.set_rollout(work, stored(rollout))
            return True

        under_way = await self._store.write(job)
        for name, turn in cut:
            session = self._sessions.of(name)
            if session is not None:
                told = {"type": "command", "verb": "cancel", "turn": turn, "reason": "a restart"}
                session.tell(told)
        return under_way

    def _rules(self) -> RolloutRules:
        declared = self._agents.hive.restart.rollout
        return RolloutRules(
            drain_seconds=declared.drain_seconds,
            ready_seconds=declared.manager_ready_seconds,
            at_once=declared.at_once,
        )

    def _seen(self, work: Writing) -> dict[str, Seen]:
        running = {row.agent: int(row.id) for row in turns.open_turns(work)}
        return {
            row.name: Seen(AgentState(row.state), row.incarnation, running.get(row.name))
            for row in rows.all_present(work)
        }

    def _act(self, work: Writing, rollout: Rollout, step: Step) -> None:
        match step:
            case Cut():
                row = turns.find(work, step.turn)
                if row is not None and row.ended_at is None:
                    finish(work, row, TurnOutcome.DRAINED, f"cut short: {rollout.reason}")
            case Replace():
                agent = rows.find(work, step.name)
                if agent is not None:
                    lifecycle.replace(work, agent, rollout.reason, THE_SYSTEM)
                    lifecycle.change(work, step.name, note=restart_note(rollout, step.name))
            case Back():
                agent = rows.find(work, step.name)
                if agent is not None:
                    lifecycle.resume(work, agent, Cause.ROLLOUT, THE_SYSTEM)
                    self._wake(work, rollout, step)
            case Announce():
                others = [name for name in rollout.order if name != rollout.manager]
                told = {"reason": rollout.reason, "order": others, "cut_turns": list(rollout.cut)}
                self._tell_manager(work, rollout, "hive_restarting", told)
            case Digest():
                done: dict[str, Any] = {
                    "reason": rollout.reason,
                    "restarted": list(rollout.restarted),
                    "failed": dict(rollout.failed),
                }
                self._tell_manager(work, rollout, "hive_restarted", done)
                self._tell_operator(work, rollout)
            case _:
                assert_never(step)

    def _wake(self, work: Writing, rollout: Rollout, back: Back) -> None:
        """Have a restarted agent run a turn, where the declaration wants that of all of them."""
        wakes = self._agents.hive.restart.note is RestartNote.WAKE
        if wakes and not back.failure and back.name in self._agents.roster.members:
            lifecycle.change(work, back.name, note=None)
            messages.add(work, Draft(THE_SYSTEM, back.name, restart_note(rollout, back.name)))

    def _tell_manager(
        self, work: Writing, rollout: Rollout, event: str, told: Mapping[str, Any]
    ) -> None:
        # One agent's restart concerns nobody else, and a turn of the manager costs money.
        if len(rollout.order) > 1 and rollout.manager in self._agents.roster.members:
            body = f"{event} {json.dumps(told, ensure_ascii=False)}"
            messages.add(work, Draft(THE_SYSTEM, rollout.manager, body))

    def _tell_operator(self, work: Writing, rollout: Rollout) -> None:
        """Raise an alert about each agent that should be back and is not."""
        for name, failure in rollout.failed.items():
            row = rows.find(work, name)
            if row is None or not row.present or row.held_by is not None:
                continue
            if AgentState(row.state) not in CONNECTED:
                said = f"{name} did not come back from a restart ({rollout.reason}): {failure}."
                if row.reason:
                    said += f" What is known: {row.reason}."
                key = crashes.key_of_restart(name)
                alerts.raise_alert(work, key, said, severity="error", agent=name)


def restart_note(rollout: Rollout, name: str) -> str:
    """Word what a restarted agent is told in its next turn."""
    cut = " Your turn was cut for it; its message comes again." if name in rollout.cut else ""
    return f"{note(rollout.reason)}{cut}"


def stored(rollout: Rollout) -> dict[str, Any]:
    """Give the shape in which a rollout is stored and shown."""
    return {**asdict(rollout), "phase": rollout.phase.value, "waiting": list(rollout.waiting)}


def read(record: Mapping[str, Any]) -> Rollout:
    """Read what `stored` gave."""
    kept = {key: value for key, value in record.items() if key != "waiting"}
    return Rollout(
        **{
            **kept,
            "phase": Phase(record["phase"]),
            "order": tuple(record["order"]),
            "cut": tuple(record["cut"]),
            "restarted": tuple(record["restarted"]),
            "going": {name: Going(**each) for name, each in record["going"].items()},
        }
    )

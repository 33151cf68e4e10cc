"""What the operator decides about agents at run time: hold, pause, cancel, model.

Every decision is recorded, shown beside what is declared, and survives restarts; it never edits
the declaration. What it takes to carry it out (a box to stop, a turn to end) follows from the
record: the reconciler and the harness look at it, and a lost wake-up costs latency only.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final

from hyperhive.domain import pauses
from hyperhive.domain.actors import THE_SYSTEM, Actor
from hyperhive.domain.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hyperhive.domain.pauses import Cause, Pause
from hyperhive.domain.turns import TurnKind
from hyperhive.services.agents import Agents
from hyperhive.services.questions import close_of_gone
from hyperhive.services.sessions import Sessions
from hyperhive.store import (
    Row,
    Store,
    Writing,
    alerts,
    audit,
    lifecycle,
    messages,
    reminders,
    turns,
)
from hyperhive.store import agents as rows
from hyperhive.store.messages import Draft

MODEL_CHARS_MAX: Final = 200
VISIT_SECONDS: Final = 120.0
VISIT_STEP_SECONDS: Final = 20.0
"""A visit is not recorded anew for less than this."""
DROPPED_AT_ONCE: Final = 200
"""How many messages of an inbox one commit drops; others write between two of them."""


class Control:
    """The operator's hand on the agents."""

    def __init__(self, store: Store, agents: Agents, sessions: Sessions) -> None:
        self._store = store
        self._agents = agents
        self._sessions = sessions

    async def stop(self, operator: Actor, name: str, *, via: str) -> dict[str, Any]:
        """Hold an agent: its box is stopped and stays so until it is started again.

        The manager may do that to any agent but itself, which could not start itself again.
        """
        if operator.is_agent and operator.name == name:
            raise ForbiddenError("You cannot stop yourself.", "The operator can.")

        def act(work: Writing, row: Row) -> None:
            if row.held_by is None:
                lifecycle.hold(work, row, operator)

        return await self._do(operator, "stop", name, via, act, by_manager=True)

    async def start(self, operator: Actor, name: str, *, via: str) -> dict[str, Any]:
        """Let an agent run again, whatever stopped it: a hold, a crash loop, a missing login.

        The manager may do that, too, but not undo a hold of the operator's.
        """

        def act(work: Writing, row: Row) -> None:
            if operator.is_agent and row.held_by not in (None, operator.name):
                raise ConflictError(
                    f"{name} is held by {row.held_by}, whose decision you cannot undo.",
                    f"Ask {row.held_by} to start it, and say what for.",
                )
            if not self._agents.hive.agents[name].enable:
                raise ConflictError(
                    f"{name} is not enabled.", f"Set agents.{name}.enable in the declaration."
                )
            lifecycle.unhold(work, row, operator)
            lifecycle.resume(work, row, Cause.LOGIN, operator)

        return await self._do(operator, "start", name, via, act, by_manager=True)

    async def cancel_turn(self, operator: Actor, name: str, *, via: str) -> dict[str, Any]:
        """End the turn that an agent runs; its messages come again, no attempt is counted."""

        cancelled: list[int] = []

        def act(work: Writing, row: Row) -> None:
            open_now = turns.open_turns(work, row.name)
            if not open_now:
                raise ConflictError(f"{name} runs no turn.", "There is nothing to cancel.")
            cancelled.extend(turn.id for turn in open_now)

        done = await self._do(operator, "cancel_turn", name, via, act)
        for turn in cancelled:
            self._tell_cancel(name, turn, "the operator cancelled it")
        return done

    async def compact(self, operator: Actor, name: str, *, via: str) -> dict[str, Any]:
        """Have an agent compact its context before its next work, after the turn that runs."""

        def act(work: Writing, row: Row) -> None:
            present = lifecycle.errands_of(row)
            if TurnKind.COMPACT not in present:
                lifecycle.set_errands(work, name, (*present, TurnKind.COMPACT))

        return await self._do(operator, "compact", name, via, act)

    async def new_session(self, operator: Actor, name: str, *, via: str) -> dict[str, Any]:
        """Have an agent's next turn begin a new session of its client, without the old context."""

        def act(work: Writing, row: Row) -> None:
            lifecycle.change(work, row.name, fresh=True, errands_json="[]")
            lifecycle.note_context(work, row, None, row.context_window)

        return await self._do(operator, "new_session", name, via, act)

    async def set_model(
        self, operator: Actor, name: str, model: str | None, *, via: str
    ) -> dict[str, Any]:
        """Have an agent use another model from its next turn on; ``None``: the declared one."""
        if model is not None and not 0 < len(model) <= MODEL_CHARS_MAX:
            raise InvalidError(f"A model's name has 1 to {MODEL_CHARS_MAX} characters.")

        declared = self._agents.hive.agents.get(name)

        def act(work: Writing, row: Row) -> None:
            shown = model or (declared.driver.model if declared is not None else None)
            rows.set_model(work, row.name, model, operator, shown=shown)

        return await self._do(operator, "model", name, via, act, {"model": model})

    async def pause(
        self, operator: Actor, name: str | None, *, via: str, reason: str = ""
    ) -> dict[str, Any]:
        """Start no further turn, of one agent or (``name`` is ``None``) of the whole hive."""
        new = Pause(Cause.OPERATOR, reason or "paused by the operator", self._store.clock())

        def act(work: Writing, row: Row) -> None:
            lifecycle.pause(work, row, new, operator)

        if name is not None:
            return await self._do(operator, "pause", name, via, act)
        names = self._agents.roster.members
        return await self._do_hive(
            operator, "pause", via, lambda work: lifecycle.pause_hive(work, new, names, operator)
        )

    async def resume(self, operator: Actor, name: str | None, *, via: str) -> dict[str, Any]:
        """Start turns again; ends the operator's pause and one for spending or a missing login."""
        causes = (Cause.OPERATOR, Cause.SPEND, Cause.LOGIN, Cause.RATE_LIMIT)

        def act(work: Writing, row: Row) -> None:
            for cause in causes:
                lifecycle.resume(work, row, cause, operator)
            lifecycle.change(work, row.name, refusals=0)
            alerts.clear_alert(work, f"login:{row.name}")
            alerts.clear_alert(work, f"spend:{row.name}")

        if name is not None:
            return await self._do(operator, "resume", name, via, act)
        names = self._agents.roster.members

        def act_on_hive(work: Writing) -> None:
            for cause in causes:
                lifecycle.resume_hive(work, cause, names, operator)
            alerts.clear_alert(work, "spend")

        return await self._do_hive(operator, "resume", via, act_on_hive)

    async def visit(self, operator: Actor, name: str, *, via: str) -> dict[str, Any]:
        """Start no turn of an agent because somebody works in its box; give the one that runs.

        It holds for `VISIT_SECONDS` and is asked for again meanwhile, so that a visitor who
        vanishes keeps nobody waiting for long. Only `leave` and time end it.
        """
        _only_operator(operator, "visit")

        def job(work: Writing) -> dict[str, Any]:
            row = rows.find(work, name)
            if row is None or not row.present:
                raise NotFoundError("agent", name, self._agents.roster.members)
            held = [each for each in lifecycle.pauses_of(row) if each.cause is Cause.VISIT]
            standing = pauses.standing(held, work.now)
            left = (standing[0].until or 0.0) - work.now if standing else 0.0
            if left < VISIT_SECONDS - VISIT_STEP_SECONDS:
                since = standing[0].since if standing else work.now
                until = work.now + VISIT_SECONDS
                reason = "somebody works in its box"
                lifecycle.pause(work, row, Pause(Cause.VISIT, reason, since, until), operator)
            if not standing:
                subject = f"agent:{name}"
                audit.add(work, actor=operator.name, via=via, verb="visit", subject=subject)
            running = turns.open_turns(work, name)
            turn = running[0].id if running else None
            return {"agent": name, "did": "visit", "turn": turn, "seq": work.seq}

        return await self._store.write(job)

    async def leave(self, operator: Actor, name: str, *, via: str) -> dict[str, Any]:
        """End a visit: turns start again, unless something else keeps them."""

        def act(work: Writing, row: Row) -> None:
            lifecycle.resume(work, row, Cause.VISIT, operator)

        return await self._do(operator, "leave", name, via, act)

    async def purge(self, operator: Actor, name: str, *, via: str) -> dict[str, Any]:
        """Forget an agent that is gone; its files are the caller's to remove before.

        What its inbox still holds is dropped, which its senders are told, its questions are closed,
        and what alerts say of it is taken back. Raises `ConflictError` while an agent of that name
        exists.
        """
        _only_operator(operator, "purge")

        def drop_some(work: Writing) -> bool:
            _require_gone(work, name)
            cancelled = reminders.cancel_of(work, name, operator, DROPPED_AT_ONCE)
            dropped = messages.drop_unsettled(work, name, operator, DROPPED_AT_ONCE)
            _tell_senders(work, name, dropped)
            is_more = close_of_gone(work) > 0
            return is_more or DROPPED_AT_ONCE in (len(dropped), cancelled)

        while await self._store.write(drop_some):
            pass

        def job(work: Writing) -> dict[str, Any]:
            _require_gone(work, name)
            alerts.clear_of_agent(work, name)
            seq = rows.purge(work, name, operator)
            audit.add(work, actor=operator.name, via=via, verb="purge", subject=f"agent:{name}")
            return {"agent": name, "did": "purge", "seq": seq}

        return await self._store.write(job)

    def destroy(self, name: str) -> None:
        """Refuse what is declared: it is not for any API to remove."""
        if name not in self._agents.hive.agents:
            raise NotFoundError("agent", name, self._agents.roster.members)
        if name not in self._agents.declared.agents:
            return
        raise ForbiddenError(
            f"{name} is declared, and the declaration is not changed from here.",
            f"Remove agents.{name} from the declaration; its state is then kept as a tombstone.",
        )

    def _tell_cancel(self, name: str, turn: int, reason: str) -> None:
        session = self._sessions.of(name)
        if session is not None:
            session.tell({"type": "command", "verb": "cancel", "turn": turn, "reason": reason})

    async def _do(
        self,
        operator: Actor,
        verb: str,
        name: str,
        via: str,
        act: Callable[[Writing, Row], None],
        detail: dict[str, Any] | None = None,
        *,
        by_manager: bool = False,
    ) -> dict[str, Any]:
        if not (by_manager and self._agents.is_manager(operator)):
            _only_operator(operator, verb)

        def job(work: Writing) -> dict[str, Any]:
            row = rows.find(work, name)
            if row is None or not row.present:
                raise NotFoundError("agent", name, self._agents.roster.members)
            act(work, row)
            audit.add(
                work,
                actor=operator.name,
                via=via,
                verb=verb,
                subject=f"agent:{name}",
                detail=detail,
            )
            return {"agent": name, "did": verb, "seq": work.seq}

        return await self._store.write(job)

    async def _do_hive(
        self, operator: Actor, verb: str, via: str, act: Callable[[Writing], object]
    ) -> dict[str, Any]:
        _only_operator(operator, verb)

        def job(work: Writing) -> dict[str, Any]:
            act(work)
            audit.add(work, actor=operator.name, via=via, verb=verb, subject="hive")
            return {"agent": None, "did": verb, "seq": work.seq}

        return await self._store.write(job)


def _only_operator(actor: Actor, verb: str) -> None:
    if not actor.is_operator:
        raise ForbiddenError(f"Only the operator may {verb} an agent.")


def _require_gone(work: Writing, name: str) -> None:
    row = rows.find(work, name)
    if row is None:
        raise NotFoundError("tombstone", name)
    if row.present:
        raise ConflictError(f"{name} is an agent of the hive.", "Remove it first.")


def _tell_senders(work: Writing, name: str, dropped: Iterable[Row]) -> None:
    """Tell the agents whose messages nobody will handle any more; one word to each."""
    by_sender: defaultdict[str, list[int]] = defaultdict(list)
    for row in dropped:
        by_sender[row.sender].append(row.id)
    for sender, numbers in by_sender.items():
        told = rows.find(work, sender)
        if told is None or not told.present:
            continue
        which = ", ".join(map(str, numbers))
        word = f"{name} was removed for good. It has not handled what you sent to it: {which}."
        messages.add(work, Draft(THE_SYSTEM, sender, word))

"""Reminders as they are asked for: set, listed, taken back, tried again.

What happens when one is due is `hyperhive.services.deliveries`. A recurring one is only proposed
here: it counts from the operator's yes.
"""

from typing import Any, Final

from hyperhive.config import Hive, RuntimeKind
from hyperhive.domain import reminders as rules
from hyperhive.domain import threads
from hyperhive.domain.actors import Actor
from hyperhive.domain.approvals import ApprovalKind, Proposal
from hyperhive.domain.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hyperhive.domain.events import EventKind
from hyperhive.domain.messages import check_key, fingerprint
from hyperhive.domain.paths import HivePaths
from hyperhive.domain.quotas import Quota
from hyperhive.domain.reminders import ReminderState
from hyperhive.domain.threads import Thread, ThreadKind
from hyperhive.services.agents import Agents
from hyperhive.services.approvals import Approvals
from hyperhive.services.quotas import Quotas
from hyperhive.services.threads import sees_whole_hive
from hyperhive.store import Reading, Row, Store, Writing, alerts, audit, request_keys
from hyperhive.store import reminders as rows

LISTED_MAX: Final = 200
TITLE_CHARS: Final = 80


class Reminders:
    """What agents want to be reminded of."""

    kind = ThreadKind.REMINDER

    def __init__(self, store: Store, agents: Agents, quotas: Quotas, approvals: Approvals) -> None:
        self._store = store
        self._agents = agents
        self._quotas = quotas
        self._approvals = approvals
        quotas.counters[Quota.PENDING_REMINDERS] = rows.count_open

    async def remind(
        self,
        actor: Actor,
        message: str,
        *,
        delay_seconds: float | None = None,
        at_unix_timestamp: float | None = None,
        file_path: str | None = None,
        repeat_every_seconds: float | None = None,
        key: str | None = None,
    ) -> dict[str, Any]:
        """Keep a reminder of an agent for itself; it is on disk when this returns.

        The same ``key`` within 24 hours keeps nothing anew and gets the first answer again.
        """
        asked = (message, delay_seconds, at_unix_timestamp, file_path, repeat_every_seconds)
        unique = fingerprint("remind", *asked) if key is not None else ""
        if key is not None:
            check_key(key)
        limit = int(self._quotas.limit(actor.name, Quota.REMINDER_BYTES))
        rules.check_text(message, limit, has_file=file_path is not None)
        rules.check_repeat(repeat_every_seconds)
        wanted = file_path
        if file_path is not None and file_path != rules.AUTO:
            wanted = rules.path_within(file_path, roots_of(self._agents.hive, actor.name))

        def job(work: Writing) -> dict[str, Any]:
            if key is not None:
                again = request_keys.answer_to(work, actor.name, key, unique)
                if again is not None:
                    return again
            due_at = rules.due_time(work.now, delay_seconds, at_unix_timestamp)
            self._check_quotas(work, actor, due_at, repeat_every_seconds)
            recurs = repeat_every_seconds is not None
            number = rows.add(
                work,
                actor,
                body=message,
                state=ReminderState.PROPOSED if recurs else ReminderState.PENDING,
                due_at=due_at,
                repeat_every_seconds=repeat_every_seconds,
            )
            path = rules.auto_path(due_at, number) if wanted == rules.AUTO else wanted
            approval = None
            if recurs:
                proposal = _proposal(actor, number, message, due_at, repeat_every_seconds, path)
                approval = self._approvals.add(work, actor, proposal)
            row = rows.announce(work, number, actor, file_path=path, approval=approval)
            answer = _answer(row, work.seq)
            if key is not None:
                request_keys.remember(work, actor.name, key, unique, answer)
            return answer

        return await self._store.write(job)

    def _check_quotas(
        self, work: Writing, actor: Actor, due_at: float, repeat_every_seconds: float | None
    ) -> None:
        days = int(self._quotas.limit(actor.name, Quota.REMINDER_HORIZON_DAYS))
        rules.check_horizon(work.now, due_at, days, repeat_every_seconds)
        following = rows.next_of(work, actor.name)
        self._quotas.check(
            actor,
            Quota.PENDING_REMINDERS,
            rows.count_open(work, actor.name),
            frees_in_seconds=None if following is None else max(0.0, following - work.now),
        )
        self._quotas.take(work, actor, Quota.REMINDERS)

    async def listing(self, actor: Actor, number: int | None = None) -> dict[str, Any]:
        """List what an agent has coming, the next first; or give one of its reminders whole."""

        def job(asking: Reading) -> dict[str, Any]:
            if number is not None:
                row = rows.find(asking, number)
                if row is None or row.agent != actor.name:
                    raise NotFoundError("reminder of yours", number)
                return {"reminders": [{**rows.summary(row), "message": row.body}], "more": False}
            found = rows.open_of(asking, actor.name, LISTED_MAX + 1)
            shown = [rows.summary(row) for row in found[:LISTED_MAX]]
            return {"reminders": shown, "more": len(found) > LISTED_MAX}

        return await self._store.read(job)

    async def cancel(self, actor: Actor, number: int, *, via: str) -> dict[str, Any]:
        """Take a reminder back: an agent its own, the manager and the operator any.

        One that waits for the operator's yes goes with its approval.
        """
        row = await self._store.read(lambda asking: self._reached(asking, actor, number))
        if row.state == ReminderState.PROPOSED.value and row.approval is not None:
            await self._approvals.cancel(actor, row.approval, via=via)

        def job(work: Writing) -> dict[str, Any]:
            row = self._reached(work, actor, number)
            if row.state == ReminderState.DELIVERED.value:
                raise ConflictError(
                    f"Reminder {number} was delivered already.", "There is nothing to take back."
                )
            if row.state != ReminderState.CANCELLED.value:
                rows.cancel(work, row, actor)
                tell_of_failed(work, row.agent)
            if actor.is_operator:
                _audit(work, actor, "cancel_reminder", number, via)
            return {"id": number, "state": ReminderState.CANCELLED.value, "seq": work.seq}

        return await self._store.write(job)

    async def retry(self, operator: Actor, number: int, *, via: str) -> dict[str, Any]:
        """Have a reminder delivered that was given up, at once and with its attempts forgotten."""
        if not operator.is_operator:
            raise ForbiddenError("Only the operator may retry a reminder.")

        def job(work: Writing) -> dict[str, Any]:
            row = self._reached(work, operator, number)
            if row.state != ReminderState.FAILED.value:
                raise ConflictError(
                    f"Reminder {number} is {row.state}, not failed.",
                    "Only one that failed can be tried again.",
                )
            state = ReminderState.PENDING.value
            again = {"state": state, "attempts": 0, "next_at": work.now}
            rows.change(work, row, EventKind.REMINDER_CHANGED, operator, **again)
            tell_of_failed(work, row.agent)
            _audit(work, operator, "retry_reminder", number, via)
            return {"id": number, "state": state, "seq": work.seq}

        return await self._store.write(job)

    async def show(self, number: int) -> dict[str, Any]:
        """Give one reminder whole, with what became of every attempt."""

        def job(asking: Reading) -> dict[str, Any]:
            row = rows.find(asking, number)
            if row is None:
                raise NotFoundError("reminder", number)
            return {**rows.summary(row), "body": row.body}

        return await self._store.read(job)

    async def page(
        self,
        *,
        before: int | None = None,
        limit: int = 50,
        agent: str | None = None,
        state: str | None = None,
        text: str | None = None,
        due_after: float | None = None,
        due_before: float | None = None,
    ) -> dict[str, Any]:
        """Page backwards through reminders, the newest first, with the counts of each agent."""
        try:
            wanted = ReminderState(state) if state is not None else None
        except ValueError:
            states = ", ".join(known.value for known in ReminderState)
            raise InvalidError(f"There is no state {state!r}.", f"Known: {states}.") from None

        def job(asking: Reading) -> dict[str, Any]:
            found = rows.search(
                asking,
                before=before,
                limit=limit + 1,
                agent=agent,
                state=wanted,
                text=text,
                due_after=due_after,
                due_before=due_before,
            )
            shown = [rows.summary(row) for row in found[:limit]]
            return {
                "reminders": shown,
                "more": len(found) > limit,
                "counts": rows.counts(asking),
            }

        return await self._store.read(job)

    def of(self, asking: Reading, agent: str | None) -> list[Thread]:
        """Give the open reminders as threads; see `ThreadSource.of`."""
        found = rows.oldest_open(asking, agent, threads.SHOWN_MAX + 1)
        return [
            Thread(
                self.kind,
                row.id,
                threads.summary(f"{row.state}, due {rules.moment(row.due_at)}", row.body),
                row.at,
                row.agent,
            )
            for row in found
        ]

    def _reached(self, asking: Reading | Writing, actor: Actor, number: int) -> Row:
        row = rows.find(asking, number)
        if row is None or not (row.agent == actor.name or sees_whole_hive(self._agents, actor)):
            raise NotFoundError("reminder of yours" if actor.is_agent else "reminder", number)
        return row


def roots_of(hive: Hive, agent: str) -> tuple[str, ...]:
    """Give the names under which an agent knows its state, the one that it is told first."""
    own = str(HivePaths(hive.state_dir, hive.run_dir).state(agent))
    in_a_box = f"/agents/{agent}/state"
    declared = hive.agents.get(agent)
    if declared is not None and declared.runtime is RuntimeKind.PROCESS:
        return own, in_a_box
    return (in_a_box,)


def tell_of_failed(work: Writing, agent: str) -> None:
    """Keep an agent's alert in step with how many of its reminders were given up."""
    failed = rows.count_failed(work, agent)
    if failed:
        text = (
            f"{failed} of {agent}'s reminders could not be delivered: see "
            f"hyperhive reminders --state failed --agent {agent}."
        )
        alerts.raise_alert(work, f"reminders:{agent}", text, agent=agent)
    else:
        alerts.clear_alert(work, f"reminders:{agent}")


def _proposal(
    actor: Actor,
    number: int,
    message: str,
    due_at: float,
    every_seconds: float | None,
    path: str | None,
) -> Proposal:
    line = "".join(c if c.isprintable() else " " for c in message)[:TITLE_CHARS]
    return Proposal(
        ApprovalKind.RECURRING_REMINDER,
        f"Remind {actor.name} every {every_seconds:g} s: {line}",
        details=f"{message}\n\nFirst at {rules.moment(due_at)}, then every {every_seconds:g} s.",
        payload={
            "reminder": number,
            "repeat_every_seconds": every_seconds,
            "first_at": due_at,
            "file_path": path,
        },
        agent=actor.name,
    )


def _answer(row: Row, seq: int) -> dict[str, Any]:
    keys = ("id", "state", "due_at", "file_path", "repeat_every_seconds", "approval")
    answer = {**{key: getattr(row, key) for key in keys}, "seq": seq}
    if row.approval is not None:
        answer["note"] = "It recurs, so it waits for the operator's approval."
    return answer


def _audit(work: Writing, actor: Actor, verb: str, number: int, via: str) -> None:
    audit.add(work, actor=actor.name, via=via, verb=verb, subject=f"reminder:{number}")

"""Asking for the operator's yes, and deciding.

Deciding and carrying out are two things. A decision is a row, its event, its audit entry and, where
it closes the matter, word to whoever asked: one commit, and the request is answered. What the
operator said yes to is carried out by `services.carrying`, which finds it in the store.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from hyperhive.domain import approvals as rules
from hyperhive.domain.actors import OPERATOR, THE_SYSTEM, THE_TTL_WATCHDOG, Actor
from hyperhive.domain.approvals import (
    CLOSED,
    SAID_YES,
    ApprovalKind,
    ApprovalState,
    Approved,
    Proposal,
)
from hyperhive.domain.errors import (
    ConflictError,
    ForbiddenError,
    HiveError,
    NotFoundError,
    OvertakenError,
    UnavailableError,
)
from hyperhive.domain.messages import check_key, fingerprint
from hyperhive.domain.quotas import Quota
from hyperhive.services.agents import Agents
from hyperhive.services.quotas import Quotas
from hyperhive.store import Row, Store, Writing, audit, messages, request_keys
from hyperhive.store import agents as agent_rows
from hyperhive.store import approvals as rows
from hyperhive.store.messages import Draft
from hyperhive.store.transaction import Asking, dumps


def _nothing(_asking: Asking) -> None:
    return None


class Executor(Protocol):
    """What carries out one kind of approval."""

    def refuse(self, asking: Asking, proposal: Proposal) -> None:
        """Raise a `HiveError` if this cannot be done as things are.

        Called when it is asked for, again before the operator's yes is taken, and now and then
        between: an `OvertakenError` says that there is nothing left to wait for.
        """
        ...

    async def carry_out(self, approved: Approved) -> Mapping[str, Any]:
        """Do what the operator said yes to, and nothing else; give what is shown of the result.

        It is called once at most for each approval. A `HiveError` makes it failed, with its words.
        """
        ...

    async def settle(self, approved: Approved) -> Mapping[str, Any] | None:
        """Find out how far it had come when the process died: its result, or ``None``.

        ``None`` means that it did not come to its end. Nothing is ever done again here, beyond
        clearing away what was half done.
        """
        ...

    def closed(self, work: Writing, approved: Approved, state: ApprovalState) -> None:
        """Write what goes with the end of it, in the same commit. This must not raise."""
        ...


class Approvals:
    """What waits for the operator's yes, and what became of it.

    ``executors`` has one for each kind that this hive can carry out; others are refused.
    """

    def __init__(self, store: Store, agents: Agents, quotas: Quotas) -> None:
        self._store = store
        self._agents = agents
        self._quotas = quotas
        quotas.counters[Quota.PENDING_APPROVALS] = rows.pending_of
        self.executors: dict[ApprovalKind, Executor] = {}
        self.waited_for: Counter[int] = Counter()
        """Numbers for which a call of whoever asked waits: it is told by that, not by a message."""

    async def request(
        self,
        actor: Actor,
        proposal: Proposal,
        *,
        key: str | None = None,
        check: Callable[[Asking], None] = _nothing,
        via: str = "server",
    ) -> dict[str, Any]:
        """Ask for a yes and say under which number.

        The same ``key`` within 24 hours asks nothing anew and gets the first answer again.
        ``check`` may refuse what is asked anew, in the same transaction.
        """
        if key is not None:
            check_key(key)
        text = rules.shown_text(actor.name, proposal)
        unique = fingerprint(text, proposal.ttl_seconds)

        def job(work: Writing) -> dict[str, Any]:
            if key is not None:
                again = request_keys.answer_to(work, actor.name, key, unique)
                if again is not None:
                    return again
            check(work)
            number = self.add(work, actor, proposal)
            row = _found(work, number)
            if actor.is_operator:
                _audit(work, actor, f"request_{row.kind}", row, via)
            answer = _standing(row, work.seq)
            if key is not None:
                request_keys.remember(work, actor.name, key, unique, answer)
            return answer

        return await self._store.write(job)

    def add(self, work: Writing, actor: Actor, proposal: Proposal) -> int:
        """Ask for a yes within a transaction of the caller's, and give its number."""
        self.executor(proposal.kind).refuse(work, proposal)
        used, due = rows.pending_of(work, actor.name), rows.next_expiry(work, actor.name)
        frees = None if due is None else max(0.0, due - work.now)
        self._quotas.check(actor, Quota.PENDING_APPROVALS, used, frees_in_seconds=frees)
        return rows.add(work, actor, proposal)

    async def approve(
        self, operator: Actor, number: int, digest: str, *, via: str
    ) -> dict[str, Any]:
        """Say yes to exactly what ``digest`` is of; it is carried out after this has returned.

        Whoever says yes again gets how it stands. Raises `ConflictError` when the digest is of
        something else, or when it was decided otherwise or has expired.
        """
        _only_operator(operator, "approve")

        def job(work: Writing) -> dict[str, Any]:
            row = _found(work, number)
            if digest != row.digest:
                raise ConflictError(
                    f"What you approve is not what approval {number} asks for.",
                    f"Show it again and decide on that: hyperhive approvals {number}.",
                )
            if ApprovalState(row.state) in SAID_YES:
                return _standing(row, work.seq)
            _require_pending(row, work.now)
            proposal = rules.proposal_of(row.shown_json)
            self.executor(proposal.kind).refuse(work, proposal)
            decided = {"decided_at": work.now, "decided_by": operator.name}
            rows.change(work, row, ApprovalState.APPROVED, operator, **decided)
            _audit(work, operator, "approve", row, via)
            return _standing(_found(work, number), work.seq)

        return await self._store.write(job)

    async def deny(self, operator: Actor, number: int, note: str, *, via: str) -> dict[str, Any]:
        """Say no, with a note that whoever asked is told; saying it again changes nothing."""
        _only_operator(operator, "deny")
        said = rules.check_note(note)

        def job(work: Writing) -> dict[str, Any]:
            row = _found(work, number)
            if row.state == ApprovalState.DENIED.value:
                return _standing(row, work.seq)
            _require_pending(row, work.now)
            self.close(work, row, ApprovalState.DENIED, operator, note=said or None)
            _audit(work, operator, "deny", row, via, note=said)
            return _standing(_found(work, number), work.seq)

        return await self._store.write(job)

    async def cancel(self, actor: Actor, number: int, *, via: str) -> dict[str, Any]:
        """Withdraw what nobody has decided: for whoever asked, the manager and the operator."""

        def job(work: Writing) -> dict[str, Any]:
            row = _found(work, number)
            if not (
                actor.is_operator or actor.name == row.requester or self._agents.is_manager(actor)
            ):
                raise NotFoundError("approval of yours", number)
            if row.state == ApprovalState.CANCELLED.value:
                return _standing(row, work.seq)
            _require_pending(row, work.now)
            note = f"withdrawn by {actor.name}"
            self.close(work, row, ApprovalState.CANCELLED, actor, note=note)
            if actor.is_operator:
                _audit(work, actor, "cancel_approval", row, via)
            return _standing(_found(work, number), work.seq)

        return await self._store.write(job)

    async def show(self, number: int) -> dict[str, Any]:
        """Give one approval with exactly what its digest is of."""

        def job(asking: Asking) -> dict[str, Any]:
            row = _found(asking, number)
            return {**rows.summary(row), "shown": rows.shown(row)}

        return await self._store.read(job)

    async def listing(
        self,
        *,
        before: int | None = None,
        limit: int = 100,
        state: ApprovalState | None = None,
        requester: str | None = None,
    ) -> dict[str, Any]:
        """Page backwards through approvals, newest first."""

        def job(asking: Asking) -> dict[str, Any]:
            found = rows.search(
                asking, before=before, limit=limit + 1, state=state, requester=requester
            )
            return {"approvals": found[:limit], "more": len(found) > limit}

        return await self._store.read(job)

    def executor(self, kind: ApprovalKind) -> Executor:
        """Give what carries out a kind, or refuse what this hive cannot do."""
        found = self.executors.get(kind)
        if found is None:
            raise UnavailableError(f"This hive cannot carry out a {kind.value}.")
        return found

    def close(
        self,
        work: Writing,
        row: Row,
        state: ApprovalState,
        actor: Actor,
        *,
        note: str | None = None,
        error: str | None = None,
        result_json: str | None = None,
    ) -> None:
        """End an approval and tell whoever asked, within a transaction of the caller's.

        Who withdraws an own request is told nothing, for they know.
        """
        values: dict[str, object] = {"error": error, "result_json": result_json}
        if row.state == ApprovalState.PENDING.value:
            values |= {"note": note, "decided_at": work.now, "decided_by": actor.name}
        rows.change(work, row, state, actor, **values)
        executor = self.executors.get(ApprovalKind(row.kind))
        if executor is not None:
            executor.closed(work, rows.approved(row), state)
        if row.requester == actor.name or self.waited_for[row.id]:
            return
        if agent_rows.is_present(work, row.requester):
            told = {"id": row.id, "kind": row.kind, "status": state.value, "note": error or note}
            body = f"approval_resolved {dumps({**told, 'title': row.title})}"
            messages.add(work, Draft(THE_SYSTEM, row.requester, body))

    async def expire(self) -> float | None:
        """End what waits for nothing any more; give when the next one would end.

        Its time is over, whoever asked is gone, or what was asked for is overtaken.
        """

        def look(asking: Asking) -> tuple[bool, float | None]:
            return any(self._over(asking)), rows.next_expiry(asking)

        def job(work: Writing) -> float | None:
            for row, actor, note in tuple(self._over(work)):
                self.close(work, row, ApprovalState.CANCELLED, actor, note=note)
            return rows.next_expiry(work)

        is_due, following = await self._store.read(look)
        return await self._store.write(job) if is_due else following

    def _over(self, asking: Asking) -> Iterator[tuple[Row, Actor, str]]:
        """Give what waits for nothing any more, with who ends it and why."""
        there = {OPERATOR, *(row.name for row in agent_rows.all_present(asking))}
        for row in rows.in_state(asking, ApprovalState.PENDING):
            if row.expires_at is not None and row.expires_at <= asking.now:
                waited = row.expires_at - row.at
                yield row, THE_TTL_WATCHDOG, f"expired: nobody decided within {waited:.0f} s"
            elif row.requester not in there:
                yield row, THE_SYSTEM, f"{row.requester} is no longer in the hive"
            elif (reason := self._overtaken(asking, row)) is not None:
                yield row, THE_SYSTEM, reason

    def _overtaken(self, asking: Asking, row: Row) -> str | None:
        """Say why a request can never be carried out any more, or ``None``."""
        proposal = rules.proposal_of(row.shown_json)
        executor = self.executors.get(proposal.kind)
        try:
            if executor is not None:
                executor.refuse(asking, proposal)
        except OvertakenError as error:
            return str(error)
        except HiveError:
            return None
        return None


class Consent:
    """The executor of ``action``: the yes itself is all that the hive does; the agent acts."""

    def refuse(self, asking: Asking, proposal: Proposal) -> None:
        """Refuse nothing: any question may be put."""

    async def carry_out(self, approved: Approved) -> Mapping[str, Any]:
        """Do nothing."""
        del approved
        return {}

    async def settle(self, approved: Approved) -> Mapping[str, Any] | None:
        """Say that it is done: nothing could be left half done."""
        del approved
        return {}

    def closed(self, work: Writing, approved: Approved, state: ApprovalState) -> None:
        """Write nothing more."""


def _standing(row: Row, seq: int) -> dict[str, Any]:
    keys = ("id", "kind", "state", "digest", "expires_at", "note")
    return {**{key: getattr(row, key) for key in keys}, "seq": seq}


def _found(asking: Asking, number: int) -> Row:
    row = rows.find(asking, number)
    if row is None:
        raise NotFoundError("approval", number)
    return row


def _require_pending(row: Row, now: float) -> None:
    state = ApprovalState(row.state)
    if state is not ApprovalState.PENDING:
        by = f" by {row.decided_by}" if row.decided_by else ""
        end = "It is over." if state in CLOSED else "What is approved is carried out."
        raise ConflictError(
            f"Approval {row.id} is no longer open: it is {state.value}{by}.",
            f"{end} See hyperhive approvals {row.id}.",
        )
    if row.expires_at is not None and row.expires_at <= now:
        raise ConflictError(
            f"Approval {row.id} has expired: nobody decided in time.",
            f"{row.requester} has to ask again.",
        )


def _only_operator(actor: Actor, verb: str) -> None:
    if not actor.is_operator:
        raise ForbiddenError(f"Only the operator may {verb} a request.")


def _audit(work: Writing, operator: Actor, verb: str, row: Row, via: str, **more: object) -> None:
    audit.add(
        work,
        actor=operator.name,
        via=via,
        verb=verb,
        subject=f"approval:{row.id}",
        digest=row.digest,
        detail={"kind": row.kind, "requester": row.requester, "title": row.title, **more},
    )

"""Permissions: a program asks before it uses a tool, and its call waits for the operator's yes.

Each prompt is an approval of the kind ``action`` over the tool and its exact arguments. A yes lets
one such call through: who asks again for the same waits for the same approval, and finds the yes
that came meanwhile, but never one that was used. The wait is bounded, for nobody can promise that
an operator is there; what is not decided in time is denied for now and stays open.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from hyperhive import bus
from hyperhive.domain.actors import Actor
from hyperhive.domain.approvals import (
    ApprovalKind,
    ApprovalState,
    Proposal,
    digest_of,
    shown_text,
)
from hyperhive.domain.errors import ConflictError, HiveError, NotFoundError
from hyperhive.domain.messages import fingerprint
from hyperhive.services.approvals import Approvals
from hyperhive.services.callers import Caller
from hyperhive.store import Row, Store, Writing, request_keys
from hyperhive.store import approvals as rows

WAIT_SECONDS: Final = 45.0
"""How long one call waits: less than the 50 seconds that a bridge allows every tool."""
HOLDS_SECONDS: Final = 24 * 3600.0
"""How long a prompt stays open, and how long a yes that was not used holds."""

DETAILS: Final = (
    "The agent's program asks before it uses this tool with exactly these arguments. A yes lets "
    "one such call through."
)

_PENDING: Final = ApprovalState.PENDING.value
_YES: Final = (ApprovalState.APPROVED.value, ApprovalState.RUNNING.value, ApprovalState.DONE.value)


class Permissions:
    """Lets calls of tools through that the operator said yes to, once each."""

    def __init__(
        self, store: Store, approvals: Approvals, *, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._store = store
        self._approvals = approvals
        self._wait_seconds = wait_seconds

    @property
    def is_stopping(self) -> bool:
        """Whether the hive stops, and the next server should be asked."""
        return self._store.bus.closed

    async def ask(
        self,
        actor: Actor,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        caller: Caller,
        key: str | None = None,
    ) -> str | None:
        """Wait for a yes and use it: ``None`` is a yes, a text says why not.

        The same ``key`` within 24 hours uses no second yes and gets the first one again.
        """
        proposal = Proposal(
            ApprovalKind.ACTION,
            f"Use {tool}",
            DETAILS,
            {"tool": tool, "input": dict(arguments)},
            ttl_seconds=HOLDS_SECONDS,
        )
        try:
            digest = digest_of(shown_text(actor.name, proposal))
            prompt = _Prompt(self._approvals, actor, proposal, digest, key)
            row = await self._decided(prompt, caller)
        except HiveError as refused:
            return str(refused)
        return None if row.state in _YES and row.used_at == prompt.used_at else _refusal(row)

    async def _decided(self, prompt: "_Prompt", caller: Caller) -> Row:
        """Give the approval as it stands when it is decided or the wait is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._wait_seconds
        with self._store.bus.watch(bus.APPROVALS) as watch:
            caller.when_gone(watch.ring)
            row = await self._store.write(prompt.begin)
            with self._told_here(row.id):
                while row.state == _PENDING and not caller.gone and not self.is_stopping:
                    left = deadline - loop.time()
                    if left <= 0:
                        break
                    await watch.wait(left)
                    if not caller.gone:
                        row = await self._store.write(prompt.again)
            if row.state == _PENDING and not caller.gone:
                # Whoever decides from here on sends a message; who did before is seen now.
                row = await self._store.write(prompt.again)
        return row

    @contextmanager
    def _told_here(self, number: int) -> Iterator[None]:
        self._approvals.waited_for[number] += 1
        try:
            yield
        finally:
            self._approvals.waited_for[number] -= 1
            if not self._approvals.waited_for[number]:
                del self._approvals.waited_for[number]


class _Prompt:
    """One call's question, and what the store says of it."""

    def __init__(
        self,
        approvals: Approvals,
        actor: Actor,
        proposal: Proposal,
        digest: str,
        key: str | None,
    ) -> None:
        self._approvals = approvals
        self._actor = actor
        self._proposal = proposal
        self._digest = digest
        self._key = key
        self._number = 0
        self.used_at: float | None = None
        """When this call used its yes."""

    def begin(self, work: Writing) -> Row:
        """Find a yes to use or a question that is open, or ask anew."""
        if self._key is not None:
            used = request_keys.answer_to(
                work, self._actor.name, self._key, fingerprint(self._digest)
            )
            if used is not None:
                row = _found(work, used["approval"])
                self.used_at = row.used_at
                return row
        last = rows.latest_unused(work, self._actor.name, self._digest)
        if last is None or not _still_counts(last, work.now):
            self._number = self._approvals.add(work, self._actor, self._proposal)
        else:
            self._number = last.id
        return self.again(work)

    def again(self, work: Writing) -> Row:
        """Look at it, and use its yes if there is one that nobody has used."""
        row = _found(work, self._number)
        if (row.requester, row.digest) != (self._actor.name, self._digest):
            raise ConflictError(
                "A backup of the hive was restored, and what you asked is not in it.",
                "Try the same call again.",
            )
        if row.state not in _YES or row.used_at is not None:
            return row
        rows.use(work, row, self._actor)
        self.used_at = work.now
        if self._key is not None:
            request_keys.remember(
                work,
                self._actor.name,
                self._key,
                fingerprint(self._digest),
                {"approval": row.id},
            )
        return _found(work, self._number)


def _found(work: Writing, number: int) -> Row:
    row = rows.find(work, number)
    if row is None:
        raise NotFoundError("approval", number)
    return row


def _still_counts(row: Row, now: float) -> bool:
    """Whether it is open, or a yes that is fresh enough to be meant for this."""
    if row.state == _PENDING:
        return bool(row.expires_at is None or row.expires_at > now)
    return bool(row.state in _YES and row.decided_at > now - HOLDS_SECONDS)


def _refusal(row: Row) -> str:
    if row.state == _PENDING:
        return (
            f"The operator has not decided yet: approval {row.id} is pending. Do other work or end "
            "your turn, and try exactly the same call again later: a yes is kept for it."
        )
    if row.state in _YES:
        return f"The yes of approval {row.id} was used by a call like this. Try again to ask anew."
    note = f": {row.note}" if row.note else "."
    return f"Approval {row.id} was {row.state} by {row.decided_by}{note}"

"""Messages that hang: those an agent sent which nobody has taken up, or which are dead."""

from typing import Any

from hyperhive.domain.actors import THE_SYSTEM, Actor
from hyperhive.domain.errors import ConflictError, NotFoundError
from hyperhive.domain.messages import WITHDRAWN, MessageState
from hyperhive.domain.threads import SHOWN_MAX, Thread, ThreadKind, summary
from hyperhive.services.agents import Agents
from hyperhive.services.threads import sees_whole_hive
from hyperhive.store import Reading, Row, Store, Writing, audit, messages
from hyperhive.store.messages import Draft


class MessageThreads:
    """The source of the threads of messages.

    What nobody has seen can be taken back; what somebody may have acted on cannot. A dead one is
    the operator's to requeue or drop.
    """

    kind = ThreadKind.MESSAGE

    def __init__(self, store: Store, agents: Agents) -> None:
        self._store = store
        self._agents = agents

    def of(self, asking: Reading, agent: str | None) -> list[Thread]:
        """Give the undelivered and dead messages that an agent sent, or (``None``) all agents."""
        senders = self._agents.roster.members if agent is None else (agent,)
        return [_thread(row) for row in messages.hanging(asking, tuple(senders), SHOWN_MAX + 1)]

    async def cancel(self, actor: Actor, number: int, *, via: str) -> dict[str, Any]:
        """Take a message back that has not been delivered; its sender is told if another does it.

        An agent takes back its own, the manager any agent's, the operator everybody's. What was
        taken back already stays so, and nobody is told again.
        """

        def job(work: Writing) -> dict[str, Any]:
            row = messages.find(work, number)
            if row is None or not self._may(actor, row):
                raise NotFoundError("message of yours", number)
            if not _is_withdrawn(row):
                _require_unseen(row)
                self._withdraw(work, row, actor, via)
            return {"id": number, "state": MessageState.DROPPED.value, "seq": work.seq}

        return await self._store.write(job)

    def _withdraw(self, work: Writing, row: Row, actor: Actor, via: str) -> None:
        messages.withdraw(work, row, actor)
        if actor.is_operator:
            subject = f"message:{row.id}"
            audit.add(work, actor=actor.name, via=via, verb="withdraw", subject=subject)
        if row.sender != actor.name and row.sender in self._agents.roster.members:
            said = f"{actor.name} withdrew your message {row.id} to {row.recipient}, unseen."
            messages.add(work, Draft(THE_SYSTEM, row.sender, said, in_reply_to=row.id))

    def _may(self, actor: Actor, row: Row) -> bool:
        if actor.is_operator or row.sender == actor.name:
            return True
        is_agents = row.sender in self._agents.roster.members
        return is_agents and sees_whole_hive(self._agents, actor)


def _is_withdrawn(row: Row) -> bool:
    return row.state == MessageState.DROPPED and (row.reason or "").startswith(WITHDRAWN)


def _require_unseen(row: Row) -> None:
    """Raise `ConflictError` where somebody may have acted on a message already."""
    remedy = "Send another one that says what holds now."
    if row.state == MessageState.DEAD:
        remedy = "The operator can requeue or drop it."
    if row.state != MessageState.QUEUED or row.redelivered:
        state = "queued again" if row.state == MessageState.QUEUED else row.state
        raise ConflictError(
            f"Message {row.id} cannot be withdrawn: {row.recipient} may have seen it "
            f"(it is {state}).",
            remedy,
        )


def _thread(row: Row) -> Thread:
    lead = "dead" if row.state == MessageState.DEAD else "not yet taken up"
    text = summary(lead, row.body)
    return Thread(ThreadKind.MESSAGE, row.id, text, row.at, row.sender, row.recipient)

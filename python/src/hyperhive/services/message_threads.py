"""Messages that hang: those an agent sent which nobody has taken up, or which are dead."""

from typing import Any

from hyperhive.domain.actors import Actor
from hyperhive.domain.errors import ConflictError, NotFoundError
from hyperhive.domain.messages import MessageState
from hyperhive.domain.threads import SHOWN_MAX, Thread, ThreadKind, summary
from hyperhive.services.agents import Agents
from hyperhive.services.threads import sees_whole_hive
from hyperhive.store import Reading, Row, Store, messages


class MessageThreads:
    """The source of the threads of messages. They are seen, and only seen: what was sent is sent.

    A dead one is the operator's to requeue or drop.
    """

    kind = ThreadKind.MESSAGE

    def __init__(self, store: Store, agents: Agents) -> None:
        self._store = store
        self._agents = agents

    def of(self, asking: Reading, agent: str | None) -> list[Thread]:
        """Give the undelivered and dead messages that an agent sent, or (``None``) all agents."""
        senders = self._agents.roster.members if agent is None else (agent,)
        return [_thread(row) for row in messages.hanging(asking, tuple(senders), SHOWN_MAX + 1)]

    async def cancel(self, actor: Actor, number: int, *, via: str) -> dict[str, Any]:  # noqa: ARG002 - of the port
        """Refuse: a message may be on its way into a turn at any moment."""
        row = await self._store.read(lambda asking: messages.find(asking, number))
        known = row is not None and (
            row.sender == actor.name or sees_whole_hive(self._agents, actor)
        )
        if row is None or not known:
            raise NotFoundError("message of yours", number)
        raise ConflictError(
            f"Message {number} was sent and cannot be withdrawn.",
            "Send another one that says what holds now; a dead one the operator can drop.",
        )


def _thread(row: Row) -> Thread:
    lead = "dead" if row.state == MessageState.DEAD else "not yet taken up"
    text = summary(lead, row.body)
    return Thread(ThreadKind.MESSAGE, row.id, text, row.at, row.sender, row.recipient)

"""What hangs on whom, gathered from whoever owns each kind of it.

An agent sees what hangs on it, the manager and the operator the whole hive's. Nothing is kept
here: a source reads its own rows, and closing a thread is an act of its owner.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from hyperhive.domain.actors import Actor, Role
from hyperhive.domain.errors import InvalidError, NotFoundError
from hyperhive.domain.threads import SHOWN_MAX, Thread, ThreadKind
from hyperhive.services.agents import Agents
from hyperhive.store import Reading, Store, events


class ThreadSource(Protocol):
    """Whoever owns one kind of thread."""

    @property
    def kind(self) -> ThreadKind:
        """What this is the source of."""
        ...

    def of(self, asking: Reading, agent: str | None) -> list[Thread]:
        """Give what is open, oldest first: what hangs on ``agent``, or (``None``) all of it.

        At most one more than `SHOWN_MAX`, so that the list can say that there are more.
        """
        ...

    async def cancel(self, actor: Actor, number: int, *, via: str) -> dict[str, Any]:
        """Withdraw one; the answer has the ``seq`` that it caused.

        The owner decides who may: an agent what is its own, the manager any agent's, the operator
        everything. Raises `NotFoundError` for what the actor may not even know of.
        """
        ...


class Threads:
    """The open threads of the hive."""

    def __init__(self, store: Store, agents: Agents, sources: Sequence[ThreadSource]) -> None:
        self._store = store
        self._agents = agents
        self._sources = {source.kind: source for source in sources}

    async def seen_by(self, actor: Actor) -> dict[str, Any]:
        """List what hangs on an agent; to the manager and the operator, what hangs in the hive."""
        sees_all = sees_whole_hive(self._agents, actor)
        return await self._store.read(lambda asking: self._listed(asking, actor.name, sees_all))

    async def of(self, agent: str | None) -> dict[str, Any]:
        """List what hangs on one agent, the manager like any other, or in the whole hive."""
        if agent is not None and agent not in self._agents.roster.members:
            raise NotFoundError("agent", agent, self._agents.roster.members)
        return await self._store.read(
            lambda asking: self._listed(asking, agent or "", agent is None)
        )

    async def cancel(self, actor: Actor, kind: str, number: int, *, via: str) -> dict[str, Any]:
        """Withdraw what a thread stands for."""
        known = [source.value for source in self._sources]
        try:
            source = self._sources[ThreadKind(kind)]
        except (ValueError, KeyError):
            raise InvalidError(
                f"There is no kind of thread {kind!r}.", f"Known: {', '.join(sorted(known))}."
            ) from None
        return await source.cancel(actor, number, via=via)

    def _listed(self, asking: Reading, agent: str, sees_all: bool) -> dict[str, Any]:  # noqa: FBT001
        threads: list[Thread] = []
        more: list[str] = []
        for source in self._sources.values():
            found = source.of(asking, None if sees_all else agent)
            threads += found[:SHOWN_MAX]
            if len(found) > SHOWN_MAX:
                more.append(source.kind.value)
        threads.sort(key=lambda thread: (thread.since, thread.kind, thread.number))
        return {
            "threads": [thread.as_json() for thread in threads],
            "more": more,
            "seq": events.last(asking),
        }


def sees_whole_hive(agents: Agents, actor: Actor) -> bool:
    """Whether an actor's view and hand reach every agent's threads: the manager, the operator."""
    member = agents.roster.members.get(actor.name) if actor.is_agent else None
    return not actor.is_agent or (member is not None and member.role is Role.MANAGER)

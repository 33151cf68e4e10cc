"""What agents have used of their quotas: rates in memory, counts from the tables.

Only agents are bound; the operator and the hive itself never are. An agent's own ``quotas``
override the hive's, as the declaration says now. Buckets are full after a restart of the server:
what is lost is strictness for a minute, never a message.
"""

from collections.abc import Callable
from typing import Any

from hyperhive.domain.actors import Actor
from hyperhive.domain.errors import NotFoundError
from hyperhive.domain.quotas import TABLE, Bucket, Grant, Measure, Quota, used_up
from hyperhive.services.agents import Agents
from hyperhive.store import Reading, Store, Writing

Counter = Callable[[Reading | Writing, str], int]
"""Counts what is open of an agent's."""


class Quotas:
    """What each agent may still do.

    Buckets change on the writer's thread only; others see them as they were at some moment. Who
    owns what is counted puts its counter into ``counters``.
    """

    def __init__(self, store: Store, agents: Agents) -> None:
        self._store = store
        self._agents = agents
        self._buckets: dict[tuple[str, Quota], Bucket] = {}
        self.counters: dict[Quota, Counter] = {}

    def take(self, work: Writing, actor: Actor, quota: Quota) -> None:
        """Use one of a rate, if the job of the caller is stored; otherwise it is given back.

        Raises `QuotaUsedError` when there is none left.
        """
        if not actor.is_agent:
            return
        key = (actor.name, quota)
        grant = self._grant(actor.name, quota)
        present = self._buckets.get(key) or Bucket.full(grant, work.now)
        self._buckets[key] = present.taken(grant, work.now)
        work.unless_stored(lambda: self._return(key, grant))

    def _return(self, key: tuple[str, Quota], grant: Grant) -> None:
        self._buckets[key] = self._buckets[key].returned(grant)

    def check(
        self,
        actor: Actor,
        quota: Quota,
        used: int,
        *,
        frees_in_seconds: float | None = None,
    ) -> None:
        """Refuse one more of what is counted when ``used`` reaches the limit.

        ``frees_in_seconds`` is when the next of them ends by itself, if any does.
        """
        if not actor.is_agent:
            return
        limit = self.limit(actor.name, quota)
        if used >= limit:
            raise used_up(quota, used, limit, frees_in_seconds)

    def limit(self, agent: str, quota: Quota) -> float:
        """Say what the declaration grants an agent."""
        return self._declared(agent, quota.value)

    async def of(self, agent: str) -> dict[str, Any]:
        """Say what an agent has and has used of every quota; for itself and for the operator."""
        if agent not in self._agents.roster.members:
            raise NotFoundError("agent", agent, self._agents.roster.members)
        return await self._store.read(lambda asking: self.standing(asking, agent))

    def standing(self, asking: Reading, agent: str) -> dict[str, Any]:
        """Say, by quota, the ``limit``; of a rate and a count also what is ``used`` and ``left``.

        Of a rate, ``limit`` is how many can be had at once, ``per_minute`` how many come back in
        a minute, ``frees_in_seconds`` when there is one again (``None``: never).
        """
        return {quota.value: self._shown(asking, agent, quota) for quota in TABLE}

    def _shown(self, asking: Reading, agent: str, quota: Quota) -> dict[str, Any]:
        grant = self._grant(agent, quota)
        match TABLE[quota].measure:
            case Measure.RATE:
                kept = self._buckets.get((agent, quota)) or Bucket.full(grant, asking.now)
                bucket = kept.filled(grant, asking.now)
                return {
                    "limit": grant.size,
                    "used": bucket.used(grant),
                    "left": bucket.left(),
                    "per_minute": grant.limit,
                    "frees_in_seconds": bucket.frees_in(grant),
                }
            case Measure.COUNT:
                counter = self.counters.get(quota)
                used = counter(asking, agent) if counter is not None else 0
                return {
                    "limit": grant.limit,
                    "used": used,
                    "left": max(0, grant.limit - used),
                }
            case Measure.SIZE:
                return {"limit": grant.limit}

    def _grant(self, agent: str, quota: Quota) -> Grant:
        limit = self._declared(agent, quota.value)
        burst = TABLE[quota].burst
        return Grant(quota, limit, limit if burst is None else self._declared(agent, burst))

    def _declared(self, agent: str, key: str) -> float:
        hive = self._agents.hive
        own = hive.agents.get(agent)
        value: float | None = getattr(own.quotas, key) if own is not None else None
        whole: float = getattr(hive.quotas, key)
        return whole if value is None else value

"""Trying a change: the agents that it concerns are restarted with it, and come up or do not.

A trial takes a change for granted and judges it afterwards: whoever began it puts back what was
there before where it failed. Only agents whose boxes this server runs, and which nobody holds,
are tried; a change for the others is simply there at their next start.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hyperhive.bus import LIFECYCLE
from hyperhive.domain.actors import THE_SYSTEM
from hyperhive.domain.instances import Recorded
from hyperhive.domain.trials import Verdict, late, verdict
from hyperhive.services.agents import Agents
from hyperhive.services.conditions import recorded
from hyperhive.services.restarts import Restarts
from hyperhive.store import Store, Writing, lifecycle
from hyperhive.store import agents as rows
from hyperhive.store.transaction import Asking

LOOK_SECONDS = 1.0
"""The longest time between two looks; every commit causes one at once."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Who is tried, and what was recorded of each when that began; ``seq`` is the change's."""

    seq: int
    before: Mapping[str, Recorded] = field(default_factory=dict)


class Trials:
    """Restarts agents for a change and sees what becomes of them."""

    def __init__(self, store: Store, agents: Agents, restarts: Restarts) -> None:
        self._store = store
        self._agents = agents
        self._restarts = restarts
        self.runs_boxes = False
        """Whether this server runs boxes; otherwise nobody is tried."""
        self.runs_as_declared: Callable[[str, str], bool] = _nobody_knows
        """Whether this box of an agent was made from what is declared now."""

    async def begin(
        self, names: Sequence[str], reason: str, change: Callable[[Writing], None]
    ) -> Trial:
        """Make a change and restart these agents with it, once no other restart is under way."""

        def job(work: Writing) -> Trial | None:
            if lifecycle.rollout(work) is not None:
                return None
            return self.begin_within(work, names, reason, change)

        with self._store.bus.watch(LIFECYCLE) as watch:
            while (trial := await self._store.write(job)) is None:
                await watch.wait(LOOK_SECONDS)
        return trial

    def begin_within(
        self, work: Writing, names: Sequence[str], reason: str, change: Callable[[Writing], None]
    ) -> Trial:
        """Make a change and restart these agents with it, in a transaction of the caller's.

        Raises `ConflictError` while another restart is under way.
        """
        found = (rows.find(work, name) for name in names) if self.runs_boxes else ()
        tried = [row for row in found if row is not None and row.present and row.held_by is None]
        change(work)
        running = tuple(row.name for row in tried if row.incarnation is not None)
        if running:
            self._restarts.begin_within(work, THE_SYSTEM, running, reason, via="hive")
        for row in tried:
            if row.incarnation is None:
                # A crash loop or a wait is about what is no longer configured.
                rows.set_crashes(work, row.name, [])
        work.wake(LIFECYCLE)
        return Trial(work.seq, {row.name: recorded(row) for row in tried})

    async def failures(self, trial: Trial) -> dict[str, str]:
        """Wait until everyone who is tried came up or did not; say why of those who did not."""
        deadline = asyncio.get_running_loop().time() + self._patience(len(trial.before))
        waiting, failed = dict(trial.before), dict[str, str]()
        with self._store.bus.watch() as watch:
            while waiting:
                now = await self._store.read(lambda asking: _recorded(asking, tuple(waiting)))
                is_late = asyncio.get_running_loop().time() >= deadline
                for name, before in tuple(waiting.items()):
                    found = self._verdict(name, before, now.get(name))
                    if found is None and is_late:
                        found = late(now.get(name))
                    if found is not None:
                        del waiting[name]
                        if found.failure:
                            failed[name] = found.failure
                if waiting:
                    await watch.wait(LOOK_SECONDS)
        return failed

    def restart_with(
        self, work: Writing, names: Sequence[str], reason: str, change: Callable[[Writing], None]
    ) -> None:
        """Put something back and start these agents anew at once: nothing they do is worth waiting.

        It makes no trial, and does not mind a restart in order that is under way.
        """
        change(work)
        for name in names:
            row = rows.find(work, name)
            if row is not None and row.present and self.runs_boxes:
                rows.set_crashes(work, name, [])
                lifecycle.replace(work, row, reason, THE_SYSTEM)
        work.wake(LIFECYCLE)

    def _verdict(self, name: str, before: Recorded, now: Recorded | None) -> Verdict | None:
        box = None if now is None else now.incarnation
        is_with_change = box is not None and self.runs_as_declared(name, box)
        return verdict(before, now, is_with_change=is_with_change)

    def _patience(self, count: int) -> float:
        """Say how long all of it may take, in seconds: as long as a restart in order may."""
        rules = self._agents.hive.restart.rollout
        rounds = 1 + count // rules.at_once
        return rules.drain_seconds + rounds * rules.manager_ready_seconds


def _nobody_knows(name: str, incarnation: str) -> bool:
    del name, incarnation
    return False


def _recorded(asking: Asking, names: Sequence[str]) -> dict[str, Recorded]:
    found = (rows.find(asking, name) for name in names)
    return {row.name: recorded(row) for row in found if row is not None and row.present}

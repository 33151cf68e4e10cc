"""Keeping the systems of spawned agents built from what is configured now.

A change by approval builds its system itself. What is left is everything else that makes another
system right: a switch of the host, a backup that was restored. Until the new one is built, and
where it cannot be, an agent runs on with the one that it has.
"""

import logging
from functools import partial
from typing import Final

from hyperhive.bus import LIFECYCLE
from hyperhive.domain.errors import HiveError
from hyperhive.domain.ports import Systems
from hyperhive.services.agents import Agents
from hyperhive.store import Store, Writing, alerts

RETRY_SECONDS: Final = 600.0
"""After this long a system that could not be built is tried again."""

_log = logging.getLogger(__name__)


class Building:
    """Builds what is not built yet, one after the other."""

    def __init__(self, store: Store, agents: Agents, systems: Systems) -> None:
        self._store = store
        self._agents = agents
        self._systems = systems
        self._failed: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Look whenever something about agents changed, and now and then, for ever."""
        with self._store.bus.watch(LIFECYCLE) as watch:
            while True:
                try:
                    await self.look()
                except Exception:  # noqa: BLE001 - the loop outlives every error
                    _log.exception("systems could not be looked at; it is tried again")
                if not await watch.wait(RETRY_SECONDS):
                    self._failed.clear()

    def try_again(self) -> None:
        """Forget what failed: the host may be another one now."""
        self._failed.clear()

    async def look(self) -> None:
        """Build the systems that are not as they should be."""
        for name, commit in tuple(self._agents.revisions.items()):
            if (name, commit) not in self._failed and self.is_missing(name):
                await self.build(name)

    def is_missing(self, name: str) -> bool:
        """Whether a system is built for an agent, and the right one is not there."""
        commit = self._agents.revisions.get(name)
        return commit is not None and not self._systems.is_current(name, commit)

    def ask_again(self, work: Writing, name: str) -> None:
        """Take back what was said of a system that could not be built: it is tried again."""
        alerts.clear_alert(work, _key(name))

    async def build(self, name: str) -> bool:
        """Build the system of an agent; whether it is there now, otherwise an alert says why."""
        commit = self._agents.revisions.get(name)
        if commit is None:
            return False
        try:
            await self._systems.build(name, commit)
        except (HiveError, OSError) as error:
            self._failed.add((name, commit))
            await self._tell(name, error)
            return False
        await self._store.write(partial(_done, name=name))
        return True

    async def _tell(self, name: str, error: Exception) -> None:
        _log.warning("the system of %s is not built: %s", name, error)
        text = f"{name} goes on with the system that it has, because the new one fails: {error}"

        def job(work: Writing) -> None:
            alerts.raise_alert(work, _key(name), text, severity="error", agent=name)

        await self._store.write(job)


def _done(work: Writing, name: str) -> None:
    alerts.clear_alert(work, _key(name))
    work.wake(LIFECYCLE)


def _key(name: str) -> str:
    return f"system:{name}"

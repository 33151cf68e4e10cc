"""Making an agent's box anew from what is configured now.

Where a system is built for it and is not there, that is built first, behind the answer: what would
be restarted at once is the system of before.
"""

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from hyperhive.bus import LIFECYCLE
from hyperhive.domain.actors import Actor
from hyperhive.domain.errors import ConflictError, InvalidError
from hyperhive.services.building import Building
from hyperhive.services.restarts import Restarts
from hyperhive.store import Row, Store, Writing, audit
from hyperhive.store import agents as rows

LOOK_SECONDS: Final = 1.0
"""The longest time between two looks while another restart is waited out."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A rebuild whose system is built first; ``incarnation`` is the box that it is to replace."""

    actor: Actor
    name: str
    reason: str
    via: str
    incarnation: str | None


class Rebuilding:
    """Builds what is missing, then restarts."""

    def __init__(self, store: Store, restarts: Restarts, building: Building) -> None:
        self._store = store
        self._restarts = restarts
        self._building = building
        self._wanted: asyncio.Queue[_Wanted] = asyncio.Queue()

    async def begin(self, actor: Actor, name: str, reason: str, *, via: str) -> dict[str, Any]:
        """Begin to make an agent's box anew; the answer's ``order`` says whether it is restarted.

        One that does not run is not: its crashes are forgotten, so that it starts. The operator
        may, and the manager. Raises what `Restarts.begin` raises; a system that cannot be built is
        an alert.
        """
        self._restarts.require_may(actor, (name,))
        is_missing = self._building.is_missing(name)

        def job(work: Writing) -> tuple[dict[str, Any], _Wanted | None]:
            row = rows.find(work, name)
            audit.add(work, actor=actor.name, via=via, verb="rebuild", subject=f"agent:{name}")
            wanted = _Wanted(actor, name, reason, via, row.incarnation if row else None)
            if not is_missing:
                return self._anew(work, wanted), None
            self._building.ask_again(work, name)
            order = [name] if _runs(row) else []
            return {"agent": name, "did": "rebuild", "order": order, "seq": work.seq}, wanted

        answer, wanted = await self._store.write(job)
        if wanted is not None:
            self._wanted.put_nowait(wanted)
        return answer

    async def run(self) -> None:
        """Build and restart what was asked for, one after the other, for ever."""
        while True:
            wanted = await self._wanted.get()
            try:
                if await self._building.build(wanted.name):
                    await self._restart(wanted)
            except Exception:  # noqa: BLE001 - the loop outlives every error
                _log.exception("%s could not be rebuilt", wanted.name)

    async def _restart(self, wanted: _Wanted) -> None:
        """Restart an agent once no other restart is under way, unless its box is another by then.

        Whoever finds that it runs another system than it should makes it anew as well.
        """
        with self._store.bus.watch(LIFECYCLE) as watch:
            while True:
                try:
                    await self._store.write(partial(self._anew, wanted=wanted))
                except ConflictError:
                    await watch.wait(LOOK_SECONDS)
                except InvalidError as error:
                    _log.info("%s is built and not restarted: %s", wanted.name, error)
                    return
                else:
                    return

    def _anew(self, work: Writing, wanted: _Wanted) -> dict[str, Any]:
        row = rows.find(work, wanted.name)
        answer = {"agent": wanted.name, "did": "rebuild", "order": [], "seq": work.seq}
        if row is None or row.incarnation != wanted.incarnation:
            return answer
        if row.incarnation is None and row.held_by is None and row.crashes_json != "[]":
            # A crash loop or a wait is about what is no longer configured.
            rows.set_crashes(work, row.name, [])
            work.wake(LIFECYCLE)
            return answer
        begun = self._restarts.begin_within(
            work, wanted.actor, (wanted.name,), wanted.reason, via=wanted.via
        )
        return {**begun, "did": "rebuild"}


def _runs(row: Row | None) -> bool:
    return row is not None and row.incarnation is not None and row.held_by is None

"""Telling the operator who is not at the page: each thing that waits is posted, at least once.

How far it has told lies in the store, so that a restart neither loses a notice nor repeats the old
ones. At most so many notifications leave a minute; what comes meanwhile goes into the next one,
and so does what could not be delivered.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from hyperhive.domain.errors import UnavailableError
from hyperhive.domain.notices import WEBHOOK_ALERT, Notice, notice_of, notification
from hyperhive.domain.ports import Poster
from hyperhive.services.agents import Agents
from hyperhive.store import Reading, Store, Writing, alerts, events, lifecycle

TOLD: Final = "notices"
"""Where it is kept how far the operator was told."""
READ_AT_ONCE: Final = 500
MINUTE: Final = 60.0
RETRY_SECONDS: Final = 5.0
RETRY_SECONDS_MAX: Final = 300.0

_log = logging.getLogger(__name__)


class Notices:
    """Follows the events and posts what is for the operator."""

    def __init__(
        self, store: Store, agents: Agents, poster: Poster, page_url: Callable[[], str]
    ) -> None:
        self._store = store
        self._agents = agents
        self._poster = poster
        self._page_url = page_url
        self._posted: deque[float] = deque()

    async def run(self) -> None:
        """Tell for ever; an error is logged, and the next try tells of the same again."""
        failures = 0
        with self._store.bus.watch() as watch:
            while not self._store.bus.closed:
                try:
                    wait = await self.tell()
                    failures = 0
                except UnavailableError as error:
                    await self._note_failure(str(error))
                    wait = min(RETRY_SECONDS * 2.0**failures, RETRY_SECONDS_MAX)
                    failures = min(failures + 1, 16)
                except Exception:  # noqa: BLE001 - the loop outlives every error
                    _log.exception("the operator could not be told; it is tried again")
                    wait = RETRY_SECONDS_MAX
                if wait is None:
                    await watch.wait()
                else:
                    await asyncio.sleep(wait)

    async def tell(self) -> float | None:
        """Post what is new, in one notification.

        Returns after how many seconds it is allowed again, or ``None`` when nothing waits. Raises
        `UnavailableError` when it was not taken; then it is still to be told.
        """
        start, reached, notices = await self._store.read(self._fresh)
        if start is None or not notices:
            if start != reached:
                await self._store.write(lambda work: lifecycle.keep(work, TOLD, str(reached)))
            return None
        wait = self._room()
        if wait > 0:
            return wait
        hive = self._agents.hive
        webhook = hive.operator.webhook
        told = notification(
            hive.name,
            self._page_url(),
            notices,
            with_text=webhook is not None and webhook.with_text,
        )
        self._posted.append(self._store.clock())
        await self._poster.post(told)

        def job(work: Writing) -> None:
            lifecycle.keep(work, TOLD, str(reached))
            alerts.clear_alert(work, WEBHOOK_ALERT)

        await self._store.write(job)
        return None

    def _fresh(self, asking: Reading) -> tuple[int | None, int, list[Notice]]:
        """Give from where to where was read, and what is to be told of it.

        The first time nothing is: what happened before somebody wanted to be told is no news.
        """
        kept = lifecycle.kept(asking, TOLD)
        last = events.last(asking)
        if kept is None:
            return None, last, []
        start = min(int(kept), last)
        position, found = start, list[Notice]()
        while fresh := events.after(asking, position, READ_AT_ONCE):
            position = fresh[-1].seq
            found += [notice for event in fresh if (notice := notice_of(event)) is not None]
        return int(kept), position, found

    def _room(self) -> float:
        """Say in how many seconds another notification may leave."""
        now = self._store.clock()
        webhook = self._agents.hive.operator.webhook
        limit = webhook.per_minute if webhook is not None else 1
        # A clock that was set back must not keep the operator uninformed.
        while self._posted and not now - MINUTE < self._posted[0] <= now:
            self._posted.popleft()
        return self._posted[0] + MINUTE - now if len(self._posted) >= limit else 0.0

    async def _note_failure(self, reason: str) -> None:
        text = f"Notifications do not arrive: {reason}"
        await self._store.write(lambda work: alerts.raise_alert(work, WEBHOOK_ALERT, text))

"""What has to be done again and again: overdue leases, a new day, the secret, retention."""

import asyncio
import logging
from typing import Final

from hyperhive.config import Hive
from hyperhive.services import pacing
from hyperhive.services.logins import Logins
from hyperhive.services.messages import Messages
from hyperhive.store import Store, alerts, retention

LEASE_CHECK_SECONDS: Final = 5.0
SECRET_ALERT: Final = "operator-secret"  # noqa: S105 - a key of an alert
RETENTION_SECONDS: Final = 3600.0

_log = logging.getLogger(__name__)


class Upkeep:
    """Keeps the store in order while the hive runs."""

    def __init__(self, store: Store, messages: Messages, logins: Logins | None = None) -> None:
        self._store = store
        self._messages = messages
        self._logins = logins

    async def run(self) -> None:
        """Do it all, for ever; an error is logged and the next round tries again."""
        last_retention = float("-inf")
        loop = asyncio.get_running_loop()
        while True:
            try:
                await self._messages.release_overdue()
                await self.look_at_the_day()
                await self.look_at_the_secret()
                if loop.time() - last_retention >= RETENTION_SECONDS:
                    last_retention = loop.time()
                    await self.retain(self._messages.agents.hive)
            except Exception:  # noqa: BLE001 - the loop outlives every error
                _log.exception("upkeep failed; it is tried again")
            await asyncio.sleep(LEASE_CHECK_SECONDS)

    async def look_at_the_day(self) -> None:
        """Begin a new day of spending once it is midnight."""
        if await self._store.read(pacing.is_another_day):
            hive = self._messages.agents.hive
            await self._store.write(lambda work: pacing.begin_day(hive, work))

    async def look_at_the_secret(self) -> None:
        """Raise an alert while nobody can log in by the operator's secret, and take it back."""
        if self._logins is None:
            return
        fault = await asyncio.to_thread(self._logins.secret_fault)
        standing = await self._store.read(lambda asking: alerts.text_of(asking, SECRET_ALERT))
        if fault is not None and fault != standing:
            await self._store.write(
                lambda work: alerts.raise_alert(work, SECRET_ALERT, fault, severity="error")
            )
        elif fault is None and standing is not None:
            await self._store.write(lambda work: alerts.clear_alert(work, SECRET_ALERT))

    async def retain(self, hive: Hive) -> int:
        """Delete what is past its time, in small steps between which others write."""
        kept = hive.retention
        keep = retention.Keep(kept.messages_days, kept.events_days, kept.transcripts_days)
        total = 0
        while deleted := await self._store.write(lambda work: retention.delete_some(work, keep)):
            total += deleted
        return total

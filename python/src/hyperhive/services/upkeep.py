"""What has to be done again and again: leases, a new day, secrets, retention, backups."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hyperhive.config import Hive
from hyperhive.services import pacing
from hyperhive.services.chores import Chore
from hyperhive.services.logins import Logins
from hyperhive.services.messages import Messages
from hyperhive.store import Store, alerts, retention

LOOK_SECONDS: Final = 5.0
SECRET_ALERT: Final = "operator-secret"  # noqa: S105 - a key of an alert
CREDENTIALS_LOOK_SECONDS: Final = 30.0
RETENTION_SECONDS: Final = 3600.0
BACKUP_LOOK_SECONDS: Final = 300.0
BACKUP_REASON: Final = "scheduled"


class Upkeep:
    """Keeps the store in order while the hive runs."""

    def __init__(self, store: Store, messages: Messages, logins: Logins | None = None) -> None:
        self._store = store
        self._messages = messages
        self._logins = logins

    def chores(self) -> tuple[Chore, ...]:
        """Name what has to be done how often."""

        async def retain() -> None:
            await self.retain(self._messages.agents.hive)

        return (
            Chore("leases", LOOK_SECONDS, self._messages.release_overdue),
            Chore("day", LOOK_SECONDS, self.look_at_the_day),
            Chore("secret", LOOK_SECONDS, self.look_at_the_secret),
            Chore("credentials", CREDENTIALS_LOOK_SECONDS, self.look_at_the_credentials),
            Chore("retention", RETENTION_SECONDS, retain),
            Chore("backups", BACKUP_LOOK_SECONDS, self.look_at_the_backups, at_start=False),
        )

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
        await self._tell(SECRET_ALERT, fault)

    async def look_at_the_credentials(self) -> None:
        """Raise an alert for each agent that has not all its credentials, and take it back."""
        for agent in self._messages.agents.hive.enabled_agents:
            missing = await asyncio.to_thread(_missing, agent.credentials)
            fault = None
            if missing:
                fault = (
                    f"{agent.name} is without a credential: {'; '.join(missing)}. "
                    f"Put it there, or store it by `hyperhive login {agent.name}`."
                )
            await self._tell(f"credential:{agent.name}", fault, agent.name)

    async def _tell(self, key: str, fault: str | None, agent: str | None = None) -> None:
        """Have an alert stand exactly while there is a fault."""
        standing = await self._store.read(lambda asking: alerts.text_of(asking, key))
        if fault is not None and fault != standing:
            await self._store.write(
                lambda work: alerts.raise_alert(work, key, fault, severity="error", agent=agent)
            )
        elif fault is None and standing is not None:
            await self._store.write(lambda work: alerts.clear_alert(work, key))

    async def retain(self, hive: Hive) -> int:
        """Delete what is past its time, in small steps between which others write."""
        kept = hive.retention
        keep = retention.Keep(kept.messages_days, kept.events_days, kept.transcripts_days)
        total = 0
        while deleted := await self._store.write(lambda work: retention.delete_some(work, keep)):
            total += deleted
        return total

    async def look_at_the_backups(self) -> None:
        """Back the database up when the last time is as long ago as declared; keep the newest.

        What was made by hand or before a migration is never removed.
        """
        backups = self._messages.agents.hive.backups
        if not backups.keep:
            return
        made = await asyncio.to_thread(self._backups_made)
        if made and self._store.clock() - made[-1][0] < backups.every_hours * 3600:
            return
        await self._store.backup(BACKUP_REASON)
        for _, old in made[: max(0, len(made) + 1 - backups.keep)]:
            await asyncio.to_thread(old.unlink, missing_ok=True)

    def _backups_made(self) -> list[tuple[float, Path]]:
        """Give times and paths of the backups, oldest first.

        A time to come is of a clock that was wrong: it says nothing, and counts as long ago.
        """
        now = self._store.clock()
        found = [(path.stat().st_mtime, path) for path in self._store.backups(BACKUP_REASON)]
        return sorted((at if at <= now else 0.0, path) for at, path in found)


def _missing(credentials: Mapping[str, Path]) -> list[str]:
    """Say of which credentials there is nothing, and why."""
    found = ((name, path, _fault(path)) for name, path in credentials.items())
    return [f"{name} ({path}: {fault})" for name, path, fault in found if fault is not None]


def _fault(path: Path) -> str | None:
    try:
        return None if path.read_bytes().strip() else "it is empty"
    except OSError as error:
        return (error.strerror or str(error)).lower()

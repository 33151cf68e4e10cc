"""Backups, restores and ways in: what the admin does with the hive as a whole."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hyperhive.domain.actors import OPERATOR
from hyperhive.domain.errors import NotFoundError
from hyperhive.services.logins import Logins
from hyperhive.store import Store, audit
from hyperhive.store.store import position_of


class Vault:
    """Keeps copies of the hive's memory.

    ``settled`` is awaited after a restore: what the restored rows say of agents and turns is of
    another time and has to be brought in line with what runs.
    """

    def __init__(self, store: Store, logins: Logins) -> None:
        self._store = store
        self._logins = logins
        self.base_url = ""
        self.settled: Callable[[], Awaitable[None]] | None = None

    async def backup(self, *, via: str) -> dict[str, Any]:
        """Copy the database as it is now, while work goes on."""
        path = await self._store.backup()
        await self._note("backup", str(path), via)
        seq = await asyncio.to_thread(position_of, path)
        return {"path": str(path), "bytes": path.stat().st_size, "seq": seq}

    async def restore(self, source: Path, *, via: str) -> dict[str, Any]:
        """Put a backup in place of the present database, of which a copy is kept."""
        if not _can_be_named(source):
            raise NotFoundError("backup", source)
        saved = await self._store.restore(source)
        if self.settled is not None:
            await self.settled()
        await self._note("restore", str(source), via)
        return {"epoch": self._store.epoch, "saved": str(saved), "seq": self._store.bus.seq}

    async def login_link(self, *, via: str = "server") -> str:
        """Make a link that logs a browser in once, within ten minutes."""
        token = await self._logins.link()
        await self._note("login_link", OPERATOR, via)
        return f"{self.base_url}/login/{token}"

    async def _note(self, verb: str, subject: str, via: str) -> None:
        await self._store.write(
            lambda work: audit.add(work, actor=OPERATOR, via=via, verb=verb, subject=subject)
        )


def _can_be_named(path: Path) -> bool:
    """Whether the system takes this for the name of a file, there or not."""
    try:
        path.exists()
    except (OSError, ValueError):
        return False
    return True

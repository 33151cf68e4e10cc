"""Shows on the forge what runs of the spawned agents: their applied repositories, mirrored.

The repository below the state directory is the true one; the forge's is for reading. Whatever is
pushed there by somebody who owns it is put back. The token is in git's environment, never in an
address: no repository has a remote of it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from hyperhive.bus import APPROVALS
from hyperhive.domain.errors import HiveError
from hyperhive.domain.forge import RepositoryShape
from hyperhive.domain.forge_plan import CONFIGS_ORG
from hyperhive.domain.forge_port import Forge
from hyperhive.domain.paths import HivePaths
from hyperhive.forge.git import authorization, git
from hyperhive.store import Store, Writing, alerts, spawned

POLL_SECONDS: Final = 60.0
LOOKS_BEFORE_ALL: Final = 10
"""How often only what has changed here is pushed, before all is compared with the forge again."""
ALERT: Final = "mirrors"
SHOWN: Final = ("refs/heads", "refs/tags")

_log = logging.getLogger(__name__)


class Mirrors:
    """Keeps the forge's copies of the applied repositories."""

    def __init__(
        self,
        store: Store,
        paths: HivePaths,
        forge: Forge,
        url: str,
        token: Callable[[], str],
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._paths = paths
        self._forge = forge
        self._url = url
        self._token = token
        self._is_ready = is_ready
        self._pushed: dict[str, bytes] = {}
        self._looks = 0
        # An alert of the last server's may stand.
        self._has_told = True
        self._ring: Callable[[], None] = lambda: None

    def wake(self) -> None:
        """Look now."""
        self._ring()

    async def run(self) -> None:
        """Mirror for ever; what fails is an alert, and is tried again by the next look.

        A forge that is not ready is told of by whoever makes it so, and no look is made.
        """
        with self._store.bus.watch(APPROVALS) as watch:
            self._ring = watch.ring
            while not self._store.bus.closed:
                try:
                    if self._is_ready():
                        await self.look()
                except Exception:  # noqa: BLE001 - the loop outlives every error
                    _log.exception("configurations could not be mirrored; it is tried again")
                await watch.wait(POLL_SECONDS)

    async def look(self) -> None:
        """Push what has changed since the last look, and now and then whatever differs."""
        self._looks = (self._looks + 1) % LOOKS_BEFORE_ALL
        if self._looks == 0:
            self._pushed.clear()
        failed: dict[str, str] = {}
        for row in await self._store.read(spawned.standing):
            try:
                await self._mirror(row.name)
            except HiveError as error:
                failed[row.name] = error.detail
        await self._tell(failed)

    async def _mirror(self, name: str) -> None:
        place = self._paths.applied_of(name)
        if not place.is_dir():
            return
        found = await git("for-each-ref", *SHOWN, cwd=place)
        if found and found != self._pushed.get(name):
            await self._push(name)
            self._pushed[name] = found

    async def _tell(self, failed: Mapping[str, str]) -> None:
        told = "; ".join(f"{name}: {why}" for name, why in sorted(failed.items()))

        def job(work: Writing) -> None:
            if failed:
                said = f"The forge does not show what runs now. {told} It is tried again."
                alerts.raise_alert(work, ALERT, said)
            else:
                alerts.clear_alert(work, ALERT)

        if failed or self._has_told:
            await self._store.write(job)
        self._has_told = bool(failed)

    async def _push(self, name: str) -> None:
        if await self._forge.repository(CONFIGS_ORG, name) is None:
            shape = RepositoryShape(name, f"What runs of {name}. A copy, for reading")
            await self._forge.create_repository(CONFIGS_ORG, shape)
        me = (await self._forge.me()).name
        await git(
            "push", "--quiet", "--prune", f"{self._url}/{CONFIGS_ORG}/{name}.git",
            "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*",
            cwd=self._paths.applied_of(name),
            header=authorization(me, await asyncio.to_thread(self._token)),
        )  # fmt: skip

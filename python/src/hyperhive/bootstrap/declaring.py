"""The declaration while the hive runs: read anew when its file changes, or when asked to.

What changed takes effect for whom it concerns and for nobody else: an agent that comes gets a
socket and a box, one that goes leaves a tombstone, one whose settings changed is restarted. A
file that is wrong changes nothing and is an alert.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from hyperhive import config
from hyperhive.bootstrap.boxes import Boxes, note_missing, sources_of
from hyperhive.bus import LIFECYCLE
from hyperhive.config import DeclarationError, Hive
from hyperhive.domain.confinement import BUBBLEWRAP, NIXOS_CONTAINER
from hyperhive.domain.errors import ConflictError, HiveError
from hyperhive.domain.forge_plan import ForgePlan
from hyperhive.forge.provision import shown_plan
from hyperhive.runtimes import environment
from hyperhive.runtimes.nixos_container import make_directories
from hyperhive.services.agents import Agents
from hyperhive.services.spawning import socket_key
from hyperhive.store import Store, Writing, alerts

WATCH_SECONDS: Final = 1.0
SETTLE_SECONDS: Final = 60.0
"""How long a file that NixOS has rendered is left alone: the switch that changed it is to finish,
and reloads the server when it has."""

_STORE: Final = Path("/nix/store")

_Mark = tuple[int, int, int] | None

_log = logging.getLogger(__name__)


NEXT_START: Final = "next-start"
"""The alert that something declared holds only from the server's next start on."""


async def _nothing() -> None:
    return None


class Declaring:
    """Brings a changed declaration into force."""

    def __init__(self, store: Store, agents: Agents, boxes: Boxes, source: Path | None) -> None:
        self._store = store
        self._agents = agents
        self._boxes = boxes
        self._source = source
        self._seen = self._marks()
        self._begun_with = _read_at_start(agents.hive)
        self._busy = asyncio.Lock()
        self.open_agent: Callable[[str], Awaitable[Path]] | None = None
        self.take_flake: Callable[[], Awaitable[None]] = _nothing
        """Has the systems of spawned agents built from what the host says now."""
        self.plan_forge: Callable[[Hive | None], Awaitable[ForgePlan]] | None = None

    async def watch(self) -> None:
        """Apply the declaration whenever its file has changed, for ever."""
        loop, last, since = asyncio.get_running_loop(), self._seen, 0.0
        await self._store.write(lambda work: alerts.clear_alert(work, NEXT_START))
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            marks = await asyncio.to_thread(self._marks)
            if marks != last:
                last, since = marks, loop.time()
            settled = loop.time() - since >= (SETTLE_SECONDS if self._is_rendered() else 0.0)
            if marks != self._seen and settled:
                try:
                    await self.apply()
                except (ConflictError, DeclarationError) as error:
                    _log.warning("the declaration is not applied: %s", error)
                except Exception:  # noqa: BLE001 - the loop outlives every error
                    _log.exception("the declaration could not be applied")

    async def apply(self) -> dict[str, Any]:
        """Read the declaration anew and bring it into force.

        Raises `DeclarationError` when it is wrong and `ConflictError` when it moves the hive's
        files, both with an alert; then nothing changes.
        """
        async with self._busy:
            self._seen = self._marks()
            hive = await self._read(self._source)
            known = self._agents.hive.agents
            before = set(known)
            await self._agents.declare(hive)
            hive = self._agents.hive
            await asyncio.to_thread(self._boxes.look_up, hive)
            await self.take_flake()
            for name, agent in sorted(hive.agents.items()):
                if name not in known or known[name].runtime is not agent.runtime:
                    await self.let_in(name)
            await note_missing(self._boxes)

            late = [
                key for key, value in _read_at_start(hive).items() if value != self._begun_with[key]
            ]

            def job(work: Writing) -> int:
                alerts.clear_alert(work, "declaration")
                if late:
                    said = f"{', '.join(late)}: holds from the server's next start on."
                    alerts.raise_alert(work, NEXT_START, said)
                else:
                    alerts.clear_alert(work, NEXT_START)
                work.wake(LIFECYCLE)
                return work.seq

            seq = await self._store.write(job)
            gone = sorted(before - set(hive.agents))
            _log.info("the declaration is applied")
            added = sorted(set(hive.agents) - before)
            return {"agents": {"added": added, "removed": gone}, "seq": seq}

    async def plan(self, path: Path | None) -> dict[str, Any]:
        """Say what would be done for the present declaration, or for that of a file."""
        source = path if path is not None else self._source
        hive = await asyncio.to_thread(config.load, source) if source is not None else None
        actions = await self._boxes.planned(hive)
        forge, warnings = await self._planned_on_forge(hive)
        return {
            "actions": [
                {
                    "action": type(action).__name__.lower(),
                    "agent": action.name,
                    "reason": action.reason,
                }
                for action in actions
            ]
            + forge,
            "warnings": (config.unused(hive) if hive is not None else []) + warnings,
        }

    async def _planned_on_forge(self, hive: Hive | None) -> tuple[list[dict[str, Any]], list[str]]:
        """Say what would be done on the forge; one that is down is a warning."""
        if self.plan_forge is None:
            return [], []
        try:
            return shown_plan(await self.plan_forge(hive)), []
        except HiveError as error:
            return [], [f"What is to be done on the forge cannot be said: {error.detail}"]

    async def let_in(self, name: str) -> None:
        """Open an agent's socket, for whoever its box runs as."""
        if self.open_agent is None:
            return
        spec = self._boxes.specs().get(name)
        user = self._boxes.user
        drops = spec is not None and spec.confinement.kind == BUBBLEWRAP
        drops = drops and user is not None and user.dropped_to
        if drops and spec is not None:
            await asyncio.to_thread(environment.make_directories, spec, user)
        elif spec is not None and spec.confinement.kind == NIXOS_CONTAINER:
            # Whichever box starts first may show directories of the others.
            await asyncio.to_thread(make_directories, spec)
        path = await self.open_agent(name)
        if drops and user is not None:
            os.chown(path, user.uid, user.gid)

    async def let_everyone_in(self) -> None:
        """Open every agent's socket, as a server that begins does."""
        names = tuple(self._agents.hive.agents)
        for name in names:
            await self.let_in(name)

        def job(work: Writing) -> None:
            for name in names:
                alerts.clear_alert(work, socket_key(name))

        await self._store.write(job)

    def _marks(self) -> tuple[_Mark, ...]:
        """Tell one state of the files that say what should run from another."""
        return tuple(map(_mark, (self._source, *sources_of(self._agents.declared))))

    def _is_rendered(self) -> bool:
        return self._source is not None and self._source.resolve().is_relative_to(_STORE)

    async def _read(self, path: Path | None) -> Hive:
        if path is None:
            raise ConflictError(
                "This hive was not started from a file.", "Start it by: hyperhive up"
            )
        try:
            hive = await asyncio.to_thread(config.load, path)
            self._refuse_a_move(hive)
        except (ConflictError, DeclarationError) as error:
            text = f"The declaration is not applied: {error}"
            await self._store.write(
                lambda work: alerts.raise_alert(work, "declaration", text, severity="error")
            )
            raise
        return hive

    def _refuse_a_move(self, hive: Hive) -> None:
        """Raise `ConflictError` where the files of the hive would be elsewhere than its server."""
        now = self._agents.hive
        if (hive.state_dir, hive.run_dir) != (now.state_dir, now.run_dir):
            raise ConflictError(
                "stateDir and runDir cannot change while the hive runs.",
                "Stop the hive, move its files, and start it again.",
            )


def _mark(path: Path | None) -> _Mark:
    """Tell one state of a file from another."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read_at_start(hive: Hive) -> dict[str, object]:
    """Give what a server reads when it starts, and never again."""
    return {
        "operator.address": hive.operator.address,
        "operator.port": hive.operator.port,
        "forge.kind": hive.forge.kind,
        "forge.url": hive.forge.url,
        "forge.tokenFile": hive.forge.token_file,
    }

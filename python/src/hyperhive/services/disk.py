"""Room on the disk: an alert when it gets short, a pause of the hive before it is gone.

Below 5 % or 1 GiB free under ``stateDir`` there is an alert; below 2 % or 256 MiB no turn starts,
while messages are still accepted. Both end by themselves when there is room again.
"""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from hyperhive.domain.actors import SYSTEM
from hyperhive.domain.paths import HivePaths
from hyperhive.domain.pauses import Cause, Pause
from hyperhive.services.agents import Agents
from hyperhive.services.trouble import Trouble
from hyperhive.store import Store, Writing, alerts, lifecycle

LOOK_SECONDS: Final = 10.0
USE_SECONDS: Final = 300.0
"""How often each agent's use is measured: it reads every directory."""
GIB: Final = 1024**3
MIB: Final = 1024**2


class Room(NamedTuple):
    """What a disk has, in bytes."""

    total: int
    free: int

    @property
    def is_short(self) -> bool:
        """Whether the operator should know."""
        return self.free < self.total // 20 or self.free < GIB

    @property
    def is_gone(self) -> bool:
        """Whether no further turn should start."""
        return self.free < self.total // 50 or self.free < 256 * MIB


def is_news(told: int | None, size: int) -> bool:
    """Whether another size than the one that was told should be: by 1 MiB, and by a twentieth."""
    return told is None or abs(size - told) >= max(MIB, told // 20)


def room_of(path: Path) -> Room:
    """See how much room there is under a path."""
    found = shutil.disk_usage(path)
    return Room(found.total, found.free)


class Disk:
    """Watches the disk under the state directory."""

    def __init__(
        self, store: Store, agents: Agents, look: Callable[[Path], Room] = room_of
    ) -> None:
        self._store = store
        self._agents = agents
        self._look = look
        self._trouble = Trouble(store, "disk")
        # Not known yet: what the server before this one has said may be over.
        self._told: tuple[bool, bool] | None = None
        self.use: dict[str, int] = {}
        self.room: Room | None = None

    async def run(self) -> None:
        """Watch for ever; what fails, the next look tries again."""
        last_use = float("-inf")
        loop = asyncio.get_running_loop()
        while True:
            async with self._trouble.told():
                await self.look()
                if loop.time() - last_use > USE_SECONDS:
                    last_use = loop.time()
                    await self.measure()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Compare the room with the limits, and say what changed."""
        room = await asyncio.to_thread(self._look, self._store.directory)
        self.room = room
        now = (room.is_short, room.is_gone)
        if now == self._told:
            return
        await self._store.write(lambda work: self._note(work, room))
        self._told = now

    def _note(self, work: Writing, room: Room) -> None:
        names = self._agents.roster.members
        where = self._store.directory
        if room.is_gone:
            text = (
                f"Only {room.free // MIB} MiB are free under {where}: "
                "no turn starts until there is room."
            )
            alerts.raise_alert(work, "disk", text, severity="error")
            lifecycle.pause_hive(
                work, Pause(Cause.DISK, "the disk is full", work.now), names, SYSTEM
            )
            return
        lifecycle.resume_hive(work, Cause.DISK, names, SYSTEM)
        if room.is_short:
            text = f"Only {room.free // MIB} MiB are free under {where}."
            alerts.raise_alert(work, "disk", text)
        else:
            alerts.clear_alert(work, "disk")

    async def measure(self) -> None:
        """Measure what each agent's state and home take; tell where it changed noticeably."""
        paths = HivePaths(self._agents.hive.state_dir, self._agents.hive.run_dir)
        found: dict[str, int] = {}
        for name in self._agents.roster.members:
            places = (paths.state(name), paths.home(name))
            found[name] = await asyncio.to_thread(_bytes_of, places)

        def note(work: Writing) -> None:
            told = lifecycle.measured(work)
            for name, size in found.items():
                if is_news(told.get(name), size):
                    lifecycle.note_measured(work, name, size)

        await self._store.write(note)
        self.use = found


def bytes_below(directory: Path) -> int:
    """Count the bytes of the files below a directory; what cannot be read counts nothing."""
    total = 0
    for place, _, files in os.walk(directory, onerror=None):
        for name in files:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - hot
            except OSError:
                continue
    return total


def _bytes_of(places: tuple[Path, ...]) -> int:
    return sum(map(bytes_below, places))

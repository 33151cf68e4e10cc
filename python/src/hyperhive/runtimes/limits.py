"""What keeps a box to the memory, cores and tasks it was granted, as far as this machine lets us.

Where a systemd manager takes our scopes, its control groups hold all three. Elsewhere the kernel's
resource limits hold the tasks, a watch over the memory in use ends a box that is over its limit,
and nothing holds the cores. A limit on address space is no substitute for the watch: Node reserves
gigabytes that it never uses.
"""

import asyncio
import logging
import resource
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from hyperhive.domain.confinement import Limits
from hyperhive.runtimes import processes
from hyperhive.runtimes.records import BoxRecord
from hyperhive.runtimes.users import User

WATCH_SECONDS: Final = 1.0
"""How often memory is looked at; a box can be over its limit for that long."""

_TRIAL_BYTES: Final = 192 * 1024 * 1024
_TRIAL_SECONDS: Final = 10.0
_OWN_TASKS: Final = 1

_log = logging.getLogger(__name__)


class Holder(Protocol):
    """One way to hold boxes to their limits."""

    @property
    def kind(self) -> str:
        """Name it in a word."""
        ...

    @property
    def held(self) -> Mapping[str, str]:
        """Say for ``memory``, ``cpu`` and ``tasks`` what holds them."""
        ...

    @property
    def holds_memory(self) -> bool:
        """Whether memory needs no watch besides."""
        ...

    def prefix(self, limits: Limits, user: User) -> list[str]:
        """Give what stands before the box's command; if that is anything, it drops to ``user``."""
        ...

    def limit(self, pid: int, limits: Limits, user: User) -> None:
        """Limit a process of ``user`` that is in the box and has not started anything yet."""
        ...


class RlimitHolder:
    """The kernel's resource limits, on any Linux."""

    kind = "watcher"
    holds_memory = False

    @property
    def held(self) -> Mapping[str, str]:
        """Tasks only; the rest is watched or not held at all."""
        return {
            "memory": f"watched every {WATCH_SECONDS:g} s; a box over its limit is ended",
            "cpu": "not held",
            "tasks": "held by a resource limit",
        }

    def prefix(self, limits: Limits, user: User) -> list[str]:  # noqa: ARG002 - part of the port
        """Nothing."""
        return []

    def limit(self, pid: int, limits: Limits, user: User) -> None:
        """Limit the tasks: within its user namespace a box is counted by itself."""
        if limits.tasks is not None:
            most = limits.tasks + _OWN_TASKS
            try:
                resource.prlimit(pid, resource.RLIMIT_NPROC, (most, most))
            except PermissionError:
                # Root in a container may lack the right to limit others; each user may its own.
                _limit_as(user, pid, most)


class SystemdHolder:
    """A transient scope of systemd for each box: the user's manager, or the system's for root."""

    kind = "systemd"
    holds_memory = True

    @property
    def held(self) -> Mapping[str, str]:
        """All of them, by the scope's control group."""
        return dict.fromkeys(("memory", "cpu", "tasks"), "held by a control group")

    def prefix(self, limits: Limits, user: User) -> list[str]:
        """Run the rest in a scope with the limits as its properties."""
        wanted = {
            "MemoryMax": limits.memory_bytes,
            "CPUQuota": None if limits.cores is None else f"{limits.cores * 100:.0f}%",
            "TasksMax": None if limits.tasks is None else limits.tasks + _OWN_TASKS,
        }
        set_here = [f"--property={key}={value}" for key, value in wanted.items() if value]
        if not set_here:
            return []
        if limits.memory_bytes is not None:
            set_here.append("--property=MemorySwapMax=0")
        whose = [f"--uid={user.uid}", f"--gid={user.gid}"] if user.dropped_to else ["--user"]
        return ["systemd-run", "--scope", "--quiet", "--collect", *whose, *set_here, "--"]

    def limit(self, pid: int, limits: Limits, user: User) -> None:
        """The scope does."""

    def works(self, user: User) -> bool:
        """Whether a limit that is asked for is there: it asks for one and reads it back."""
        if shutil.which("systemd-run") is None:
            return False
        show = 'cat "/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/memory.max"'
        asked = [*self.prefix(Limits(memory_bytes=_TRIAL_BYTES), user), "sh", "-c", show]
        try:
            done = subprocess.run(
                asked,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TRIAL_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0 and done.stdout.strip() == str(_TRIAL_BYTES)


def _limit_as(user: User, pid: int, most: int) -> None:
    try:
        done = subprocess.run(
            ["prlimit", f"--pid={pid}", f"--nproc={most}:{most}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TRIAL_SECONDS,
            check=False,
            user=user.uid,
            group=user.gid,
            extra_groups=[],
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(str(error)) from None
    if done.returncode != 0:
        raise PermissionError(f"its tasks cannot be limited: {done.stderr.decode().strip()}")


def best_holder(user: User) -> Holder:
    """Give the holder that holds most on this machine; it tries them."""
    systemd = SystemdHolder()
    return systemd if systemd.works(user) else RlimitHolder()


class MemoryGuard:
    """Ends boxes that use more memory than they may, as long as the server runs.

    ``find`` gives the boxes that run and have a limit, in a thread; ``end`` ends one, given the
    reason. Files in the box's own file systems in memory do not count; those have a size.
    """

    def __init__(
        self,
        find: Callable[[], list[BoxRecord]],
        end: Callable[[BoxRecord, str], Awaitable[None]],
        in_thread: Callable[..., Awaitable[Any]],
    ) -> None:
        self._find = find
        self._end = end
        self._in_thread = in_thread
        self._task: asyncio.Task[None] | None = None

    def ensure_running(self) -> None:
        """Watch from now on."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._watch(), name="memory guard")

    def close(self) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        while True:
            try:
                await self._look()
            except OSError:
                _log.exception("the boxes' memory was not looked at this time")
            await asyncio.sleep(WATCH_SECONDS)

    async def _look(self) -> None:
        records = await self._in_thread(self._find)
        used = await self._in_thread(memory_in_use, [record.pid for record in records])
        for record in records:
            found, most = used[record.pid], record.memory_bytes
            if most is not None and found > most:
                why = f"it used {_mebibytes(found)} of memory, and its limit is {_mebibytes(most)}"
                await self._end(record, why)


def memory_in_use(roots: Iterable[int]) -> dict[int, int]:
    """Add up the memory of each process and all that descend from it, in bytes.

    That is what is in memory and not a file of the disk's: pages of programs are shared between
    boxes and belong to none.
    """
    families = defaultdict(list)
    for pid, parent in processes.parents().items():
        families[parent].append(pid)
    used = {}
    for root in roots:
        found, waiting = 0, [root]
        while waiting:
            pid = waiting.pop()
            waiting += families[pid]
            found += _resident(pid)
        used[root] = found
    return used


def _resident(pid: int) -> int:
    kibibytes = 0
    with suppress(OSError), Path(f"/proc/{pid}/status").open("rb") as status:
        for line in status:
            if line.startswith((b"RssAnon:", b"RssShmem:")):
                kibibytes += int(line.split()[1])
    return kibibytes * 1024


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"

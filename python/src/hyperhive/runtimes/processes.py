"""Processes of this machine as ``/proc`` shows them: who is who, who belongs together, ending them.

A process is known by its id *and* its start time, because ids are used again. A zombie counts as
dead: it runs nothing, and whoever should reap it may never do so. Nothing here waits for long or
needs an event loop; all of it may run in a thread.
"""

import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_ROUND_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Process:
    """One process; ``kernel_start`` is in clock ticks since boot, as in field 22 of its stat."""

    pid: int
    session: int
    kernel_start: int
    is_zombie: bool


def boot_id() -> str:
    """Identify this boot of the machine: ids and start times mean nothing in another one."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def look_up(pid: int) -> Process | None:
    """Give the process that has this id now, or ``None``."""
    try:
        fields = _stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Process(pid, int(fields[3]), int(fields[19]), fields[0] in "ZX")


def is_alive(pid: int, kernel_start: int) -> bool:
    """Whether the process that had this id at that start time still runs."""
    found = look_up(pid)
    return found is not None and found.kernel_start == kernel_start and not found.is_zombie


def open_handle(pid: int, kernel_start: int) -> int | None:
    """Open a descriptor that becomes readable when the process ends; ``None`` where it has ended.

    Raises `OSError` where the kernel has no such descriptors.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    found = look_up(pid)
    if found is None or found.kernel_start != kernel_start:
        os.close(handle)
        return None
    return handle


def send(pid: int, kernel_start: int, number: signal.Signals) -> None:
    """Send a signal to exactly that process; one that has ended is fine."""
    with suppress(ProcessLookupError):
        try:
            handle = open_handle(pid, kernel_start)
        except OSError:
            if is_alive(pid, kernel_start):
                os.kill(pid, number)
            return
        if handle is not None:
            try:
                signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)


def namespaces() -> dict[str, str]:
    """Give the kernel's names of this process's namespaces, by kind."""
    found = {}
    for entry in Path("/proc/self/ns").iterdir():
        with suppress(OSError):
            found[entry.name] = str(entry.readlink())
    return found


def parents() -> dict[int, int]:
    """Give the parent of every process there is, both by id."""
    found = {}
    for name in os.listdir(_PROC):  # noqa: PTH208 - as below
        if name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                found[int(name)] = int(_stat(int(name))[1])
    return found


def children(pid: int) -> list[int]:
    """Give the living and dead children of a process."""
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        # Not every kernel keeps that list.
        return [child for child, parent in parents().items() if parent == pid]


def in_session(session: int) -> Iterator[Process]:
    """Find the living members of a session."""
    return (process for process in _living() if process.session == session)


def belonging(session: int | None, marks: Mapping[str, str]) -> Iterator[Process]:
    """Find the living processes of a session and those started with all of these variables.

    The variables find a process wherever it has gone: detached, in a session of its own, orphaned.
    """
    wanted = [f"{name}={value}".encode() for name, value in marks.items()]
    for process in _living():
        if process.session == session or _has_variables(process.pid, wanted):
            yield process


def first_of_unit(part: str, end: str) -> int | None:
    """Find the oldest process of a unit of systemd, also of one in a container.

    The path of its control group contains ``part`` and ends in ``end``.
    """
    found = (each for each in _living() if _is_of_unit(each.pid, part, end))
    oldest = min(found, key=lambda each: each.kernel_start, default=None)
    return oldest.pid if oldest is not None else None


def environment_of(pid: int) -> dict[str, str]:
    """Give the variables that a process was started with; none of one that is gone."""
    with suppress(OSError):
        pairs = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
        return dict(os.fsdecode(pair).split("=", 1) for pair in pairs if b"=" in pair)
    return {}


def end_all(find: Callable[[], Iterable[Process]], seconds: float) -> tuple[int, ...]:
    """Kill what ``find`` yields and all that descends from it, again and again; give who is left.

    Again, because what is being killed may still start others, and until all of it is gone: a
    process that is ending has lost its environment, and is still there while the kernel ends what
    it was number 1 of. It takes at most ``seconds``.
    """
    deadline = time.monotonic() + seconds
    known: set[Process] = set()
    while left := _with_descendants(find(), known):
        for process in left:
            send(process.pid, process.kernel_start, signal.SIGKILL)
        if time.monotonic() >= deadline:
            return tuple(process.pid for process in left)
        time.sleep(_ROUND_SECONDS)
    return ()


def _with_descendants(found: Iterable[Process], known: set[Process]) -> tuple[Process, ...]:
    """Add what was found, and its descendants, to what is ``known``; give what of that lives."""
    fresh = set(found) - known
    if fresh:
        families = defaultdict(list)
        for pid, parent in parents().items():
            families[parent].append(pid)
        while fresh:
            process = fresh.pop()
            known.add(process)
            if not is_alive(process.pid, process.kernel_start):
                # Its number may be another's by now, with children of its own.
                continue
            fresh |= {made for pid in families[process.pid] if (made := look_up(pid))} - known
    return tuple(one for one in known if is_alive(one.pid, one.kernel_start))


def _stat(pid: int) -> list[str]:
    """Read what follows the command's name, which may itself hold spaces and parentheses."""
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - called for every process
        return file.read().decode(errors="replace").rpartition(")")[2].split()


def _living() -> Iterator[Process]:
    own = os.getpid()
    for name in os.listdir(_PROC):  # noqa: PTH208 - a path object for each process costs as much
        if name.isdigit() and int(name) != own:
            process = look_up(int(name))
            # Threads of the kernel have no session.
            if process is not None and process.session and not process.is_zombie:
                yield process


def _is_of_unit(pid: int, part: str, end: str) -> bool:
    with suppress(OSError):
        groups = (_PROC / str(pid) / "cgroup").read_text().splitlines()
        paths = (line.rsplit(":", 1)[-1] for line in groups)
        return any(part in path and path.endswith(end) for path in paths)
    return False


def _has_variables(pid: int, wanted: Sequence[bytes]) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - as above
            found = b"\0" + file.read()
    except OSError:
        return False
    return all(b"\0" + variable + b"\0" in found for variable in wanted)

"""What a machine must have for a hive, as rules on observed facts.

Pure: each check takes facts and says ``ok``, ``warn`` or ``fail``, and what to do; none looks at
the machine, `hyperhive.cli.machine` does. A thing that only an option needs fails only where that
option is chosen.
"""

import os.path
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

PYTHON_MIN: Final = (3, 11)
SQLITE_MIN: Final = (3, 35, 0)
"""The first with RETURNING, by which a lease is taken in one statement."""

SOCKET_PATH_BYTES_MAX: Final = 107
"""Linux's limit on a Unix socket's path."""

FILES_FOR_SERVER: Final = 256
FILES_PER_AGENT: Final = 20
"""Descriptors of one agent at its busiest: a listener, the harness's three connections, the
bridge's, the pipes of its process, and as many again in hand."""

GIB: Final = 2**30
MIB: Final = 2**20
DISK_WARN: Final = (0.05, GIB)
DISK_FAIL: Final = (0.02, 256 * MIB)
"""Share of the disk, and bytes, below which the hive raises an alert, and pauses."""

_YEAR_2100: Final = 4_102_444_800.0


class Level(StrEnum):
    """How serious a finding is; only ``fail`` keeps the hive from working."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(NamedTuple):
    """One finding: what was looked at, how it is, what was seen, what to do about it."""

    name: str
    level: Level
    said: str
    remedy: str = ""


class Program(NamedTuple):
    """A program the hive may start: where it was found, and who needs it."""

    name: str
    path: str | None
    purpose: str
    is_needed: bool | None
    """Whether the declaration needs it; ``None`` where there is no declaration."""
    remedy: str


def python_check(version: Sequence[int]) -> Check:
    """Judge the interpreter's version."""
    said = _dotted(version)
    if tuple(version) >= PYTHON_MIN:
        return Check("python", Level.OK, said)
    remedy = f"Install Python {_dotted(PYTHON_MIN)} or newer and make the virtual environment anew."
    return Check("python", Level.FAIL, said, remedy)


def sqlite_check(version: Sequence[int], threadsafety: int) -> Check:
    """Judge SQLite's version and how it was compiled for threads (DB-API ``threadsafety``)."""
    said = f"{_dotted(version)}, thread safety level {threadsafety}"
    if tuple(version) < SQLITE_MIN:
        remedy = f"Use a Python that is linked to SQLite {_dotted(SQLITE_MIN)} or newer."
        return Check("sqlite", Level.FAIL, said, remedy)
    if threadsafety < 1:
        remedy = "Use a Python whose SQLite is compiled with SQLITE_THREADSAFE=1."
        return Check("sqlite", Level.FAIL, said, remedy)
    return Check("sqlite", Level.OK, said)


def directory_check(option: str, path: str, fault: str | None) -> Check:
    """Judge a directory of the hive, given why it cannot be written to, if so."""
    if fault is None:
        return Check(option, Level.OK, f"{path} can be written to")
    remedy = f"Make it writable for the user that runs the hive, or set `{option}` to another."
    return Check(option, Level.FAIL, f"{path}: {fault}", remedy)


def socket_path_check(paths: Iterable[str]) -> Check:
    """Judge the longest of the sockets' paths."""
    longest = max(paths, key=lambda path: len(os.fsencode(path)))
    size = len(os.fsencode(longest))
    if size <= SOCKET_PATH_BYTES_MAX:
        return Check("socket paths", Level.OK, f"{size} of {SOCKET_PATH_BYTES_MAX} bytes")
    said = f"{longest} has {size} bytes; a socket's path ends at {SOCKET_PATH_BYTES_MAX}"
    return Check("socket paths", Level.FAIL, said, "Set `runDir` to a shorter path.")


def program_check(program: Program) -> Check:
    """Judge whether a program is there, by whether someone needs it."""
    if program.path is not None:
        return Check(program.name, Level.OK, program.path)
    said = f"not found; for {program.purpose}"
    if program.is_needed:
        return Check(program.name, Level.FAIL, said, program.remedy)
    if program.is_needed is None:
        return Check(program.name, Level.WARN, said, f"If you want that: {program.remedy}")
    return Check(program.name, Level.OK, f"{said}, which this hive does not use")


def boxes_check(fault: str | None, *, is_needed: bool | None) -> Check:
    """Judge why bubblewrap can make no box, if so, by whether somebody needs one."""
    if fault is None:
        return Check("boxes", Level.OK, "bubblewrap makes them here")
    remedy = "Mend that, or choose another `runtime`."
    if is_needed:
        return Check("boxes", Level.FAIL, fault, remedy)
    if is_needed is None:
        return Check("boxes", Level.WARN, fault, f"If you want the runtime bubblewrap: {remedy}")
    return Check("boxes", Level.OK, f"{fault} This hive uses none.")


def disk_check(free_bytes: int, total_bytes: int) -> Check:
    """Judge the room where ``stateDir`` lies, by the bounds the running hive keeps."""
    share = free_bytes / total_bytes if total_bytes else 0.0
    said = f"{free_bytes / GIB:.1f} GiB free, {share:.0%}"
    if share < DISK_FAIL[0] or free_bytes < DISK_FAIL[1]:
        return Check("disk", Level.FAIL, said, "Free some; with so little the hive starts no turn.")
    if share < DISK_WARN[0] or free_bytes < DISK_WARN[1]:
        return Check("disk", Level.WARN, said, "Free some before the hive has to pause.")
    return Check("disk", Level.OK, said)


def open_files_check(soft: int, hard: int, agents: int) -> Check:
    """Judge the limit on open files by the number of agents; -1 means none."""
    needed = FILES_FOR_SERVER + FILES_PER_AGENT * agents
    said = f"{'no limit' if soft < 0 else soft}; {agents} agents need about {needed}"
    if soft < 0 or soft >= needed:
        return Check("open files", Level.OK, said)
    if hard < 0 or hard >= needed:
        remedy = f"Run `ulimit -n {needed}` first, or set LimitNOFILE in the unit."
        return Check("open files", Level.WARN, said, remedy)
    remedy = f"Raise the hard limit to {needed} (limits.conf, or LimitNOFILE in the unit)."
    return Check("open files", Level.FAIL, said, remedy)


def port_check(address: str, port: int, fault: str | None, *, hive_answers: bool) -> Check:
    """Judge the operator's port, given why it cannot be bound, if so."""
    place = f"{address}:{port}"
    if fault is None:
        return Check("port", Level.OK, f"{place} is free")
    if hive_answers:
        return Check("port", Level.OK, f"{place} is in use, and this hive is running")
    remedy = "Stop what uses it, or set `operator.port` (0 takes any free one)."
    return Check("port", Level.FAIL, f"{place}: {fault}", remedy)


def clock_check(now: float, written_at: float) -> Check:
    """Judge the clock by a file of the program: it cannot be older than what is installed."""
    if written_at - 86_400 <= now < _YEAR_2100:
        return Check("clock", Level.OK, "plausible")
    remedy = "Set the clock (timedatectl set-ntp true): leases, reminders and logs depend on it."
    return Check(
        "clock", Level.FAIL, "it is before this program was installed, or after 2099", remedy
    )


def _dotted(version: Sequence[int]) -> str:
    return ".".join(str(part) for part in version[:3])

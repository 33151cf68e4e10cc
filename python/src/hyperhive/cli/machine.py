"""Facts about this machine, looked up and not judged; nothing is made or changed."""

import errno
import os
import resource
import shutil
import socket
import sqlite3
import sys
import time
from pathlib import Path

import hyperhive
from hyperhive.client import OperatorClient
from hyperhive.domain.errors import HiveError

ANSWER_SECONDS = 2.0


def python_version() -> tuple[int, ...]:
    """Give the interpreter's version."""
    return tuple(sys.version_info[:3])


def sqlite_facts() -> tuple[tuple[int, ...], int]:
    """Give SQLite's version and the module's level of thread safety."""
    return sqlite3.sqlite_version_info, sqlite3.threadsafety


def existing_part(path: Path) -> Path:
    """Give the path, or the nearest directory above it that exists."""
    return next(part for part in (path, *path.parents) if part.exists())


def writing_fault(path: Path) -> str | None:
    """Say why files cannot be made in a directory that exists or could be made, or ``None``."""
    try:
        there = existing_part(path)
    except PermissionError as error:
        return f"{error.filename} cannot be looked into"
    if not there.is_dir():
        return f"{there} is no directory"
    if not os.access(there, os.W_OK | os.X_OK):
        return "it cannot be written to" if there == path else f"it cannot be made in {there}"
    return None


def program_path(name: str, path: str | None = None) -> str | None:
    """Find a program as the shell would, in ``path`` or where this process looks."""
    return shutil.which(name, path=path)


def boxes_fault() -> str | None:
    """Say why bubblewrap can make no box here, or ``None``; one is made to find out."""
    from hyperhive.runtimes.bubblewrap import BubblewrapRuntime

    return BubblewrapRuntime.fault()


def disk_room(path: Path) -> tuple[int, int]:
    """Give free and total bytes of the disk where the path lies or would."""
    usage = shutil.disk_usage(existing_part(path))
    return usage.free, usage.total


def open_files_limits() -> tuple[int, int]:
    """Give the soft and the hard limit on open files; -1 means none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    return (-1 if soft == unlimited else soft), (-1 if hard == unlimited else hard)


def binding_fault(address: str, port: int) -> str | None:
    """Say why a TCP port cannot be bound, or ``None``; the port is let go at once."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return "something else uses it" if error.errno == errno.EADDRINUSE else str(error)
    return None


def hive_answers(admin_socket: Path) -> bool:
    """Tell whether a hive answers at its admin socket."""
    try:
        with OperatorClient(admin_socket, timeout_seconds=ANSWER_SECONDS) as hive:
            hive.health()
    except HiveError:
        return False
    return True


def clock_facts() -> tuple[float, float]:
    """Give the time now and the time this program's files were written."""
    return time.time(), Path(hyperhive.__file__).stat().st_mtime

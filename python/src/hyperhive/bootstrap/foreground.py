"""A server in the foreground: until SIGINT or SIGTERM; SIGHUP reads the declaration anew."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TextIO

from hyperhive import config
from hyperhive.bootstrap.forging import Connect
from hyperhive.bootstrap.hive import Running, running
from hyperhive.config import ForgeKind, Hive
from hyperhive.domain.errors import HiveError
from hyperhive.store.store import back_up_offline as _back_up_offline
from hyperhive.store.store import restore_offline as _restore_offline

DESCRIPTORS: Final = 65536
"""How many files and connections a server may have open, if the system lets it."""

_WORDS: Final = {
    "process": "process: no isolation, agents can do what this user can do",
    "bubblewrap": "bubblewrap: each agent in a box of its own",
    "nixos-container": "nixos-container: each agent in a guest of the host's systemd",
}

_log = logging.getLogger(__name__)


def serve(path: Path, *, ready: Callable[[Running], None] | None = None) -> int:
    """Run the server of a hive in the foreground until SIGINT or SIGTERM.

    Boxes that the host itself makes are run; they go on when this ends.
    """
    return _in_foreground(path, with_agents=False, ready=ready)


def up(path: Path, *, ready: Callable[[Running], None] | None = None) -> int:
    """Run the server of a hive and its agents in the foreground until SIGINT or SIGTERM."""
    return _in_foreground(path, with_agents=True, ready=ready)


def _in_foreground(
    path: Path, *, with_agents: bool, ready: Callable[[Running], None] | None
) -> int:
    hive = config.load(path)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for chatty in ("uvicorn", "mcp", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    for line in config.unused(hive):
        _log.warning("%s", line)

    async def main() -> None:
        _allow_many_sockets()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        # Its sockets answer before all of it has begun; who asks for a reload by then gets one.
        early = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, early.set)
        async with running(hive, with_agents=with_agents, source=path, forge=forge_of(hive)) as run:
            loop.add_signal_handler(signal.SIGHUP, lambda: _reload(run))
            if early.is_set():
                _reload(run)
            if ready is not None:
                ready(run)
            else:
                await _announce(run)
            notify("READY=1")
            await stop.wait()
            notify("STOPPING=1")

    asyncio.run(main())
    return 0


def forge_of(hive: Hive) -> Connect | None:
    """Give what makes clients of a forge, where the hive has one: its library is slow to load."""
    if hive.forge.kind is ForgeKind.NONE:
        return None
    from hyperhive.forge.client import ForgeClient

    return ForgeClient


def _reload(run: Running) -> None:
    """Read the declaration anew; what is wrong with it is an alert and a line in the log."""

    async def apply() -> None:
        try:
            await run.declaring.apply()
        except HiveError as error:
            _log.warning("the declaration is not applied: %s", error)

    task = asyncio.ensure_future(apply())
    _reloads.add(task)
    task.add_done_callback(_reloads.discard)


_reloads: set["asyncio.Future[None]"] = set()


async def _announce(run: Running) -> None:
    # Whoever may read a log must not be the operator by that.
    link = "hyperhive login-link" if _is_journal(sys.stdout) else await run.vault.login_link()
    runs = run.boxes.runtime is not None
    agents = f"{len(run.hive.agents)} agents" if runs else "no agents started here"
    sys.stdout.write(
        f"hive {run.hive.name} is up: {agents}\n"
        f"  page           {run.url}\n"
        f"  log in (once)  {link}\n"
        f"  command line   export HYPERHIVE_ADMIN_SOCKET={run.listeners.admin_socket}\n"
    )
    if runs:
        kinds = sorted({spec.runtime for spec in run.boxes.specs().values()})
        sys.stdout.write("".join(f"  boxes          {_WORDS.get(kind, kind)}\n" for kind in kinds))
    sys.stdout.flush()


def _is_journal(stream: TextIO) -> bool:
    """Whether what is written there ends in systemd's journal."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _allow_many_sockets() -> None:
    """Have room for the connections that every socket of a large hive may hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def notify(state: str) -> None:
    """Tell systemd how the service stands, where systemd has asked to be told."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    where = "\0" + address[1:] if address.startswith("@") else address
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_UNIX, kind) as connection, contextlib.suppress(OSError):
        connection.connect(where)
        connection.sendall(state.encode())


def backup_offline(path: Path) -> dict[str, Any]:
    """Copy the database of a hive that does not run, and say where to."""
    made, seq = _back_up_offline(config.load(path).state_dir)
    return {"path": str(made), "bytes": made.stat().st_size, "seq": seq}


def restore_offline(path: Path, backup: Path) -> dict[str, Any]:
    """Put a backup in place of the database of a hive that does not run.

    Says the new epoch, and where the copy of what was replaced lies, if there was anything.
    """
    saved, epoch = _restore_offline(config.load(path).state_dir, backup)
    return {"epoch": epoch, "saved": str(saved) if saved is not None else None}

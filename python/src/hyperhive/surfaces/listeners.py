"""Sockets: one for each agent, one for the admin's command line, one TCP port for the operator.

An agent's socket lies in a directory of its own, which is bound into its box: the directory is
never replaced, only the socket in it. What a crash left behind does not stop the next start.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvicorn

from hyperhive.surfaces.connections import BoundedConnection, PatientConnection
from hyperhive.surfaces.identity import AgentListener

AGENT_SOCKET: Final = "agent.sock"
ADMIN_SOCKET: Final = "admin.sock"
AGENT_SOCKET_MODE: Final = 0o600
BACKLOG: Final = 2048
STOP_SECONDS: Final = 3.0


class Listeners:
    """The sockets of a running hive."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._serving: dict[Path | str, tuple[_Server, asyncio.Task[None]]] = {}
        self._bound: list[Path] = []

    @property
    def admin_socket(self) -> Path:
        """Where the admin's command line reaches the hive."""
        return self.run_dir / ADMIN_SOCKET

    def agent_socket(self, agent: str) -> Path:
        """Where an agent reaches the hive."""
        return self.run_dir / "agents" / agent / AGENT_SOCKET

    async def open_unix(self, path: Path, app: Any, *, mode: int) -> None:
        """Serve ``app`` on a socket file with these permissions."""
        await self.close_unix(path)
        listening = _bind(path, mode)
        self._bound.append(path)
        await self._serve(path, app, listening)

    async def close_unix(self, path: Path) -> None:
        """Stop serving a socket file and remove it; one that is not served is left alone."""
        served = self._serving.pop(path, None)
        if served is None:
            return
        server, task = served
        server.stop()
        await asyncio.wait({task}, timeout=2 * STOP_SECONDS)
        task.cancel()
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - one entry of a directory in memory
        self._bound.remove(path)

    async def open_agent(self, agent: str, app: Any) -> Path:
        """Serve ``app`` on an agent's socket, and give its path."""
        path = self.agent_socket(agent)
        await self.open_unix(path, AgentListener(app, agent), mode=AGENT_SOCKET_MODE)
        return path

    async def open_tcp(
        self, address: str, port: int, app: Any, *, patient: bool = False
    ) -> tuple[str, int]:
        """Serve ``app`` on a TCP port (0: a free one) and return where it is.

        A ``patient`` one takes and gives bodies that last, as long as they go on.
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        # Only of what is named TCP does asyncio send small answers at once (TCP_NODELAY).
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((address, port))
        except OSError:
            listening.close()
            raise
        where = listening.getsockname()[:2]
        connection = PatientConnection if patient else BoundedConnection
        await self._serve(f"{where[0]}:{where[1]}", app, listening, connection)
        return str(where[0]), int(where[1])

    async def _serve(
        self,
        key: Path | str,
        app: Any,
        listening: socket.socket,
        connection: type[BoundedConnection] = BoundedConnection,
    ) -> None:
        listening.setblocking(False)
        config = uvicorn.Config(
            app,
            http=connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(STOP_SECONDS),
            h11_max_incomplete_event_size=64 * 1024,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]), name=f"listener {key}")
        while not server.started:
            if task.done():
                await task
            await asyncio.sleep(0.001)
        self._serving[key] = (server, task)

    async def close(self, while_closing: Callable[[], None] | None = None) -> None:
        """Stop accepting, let requests end within a few seconds, and remove the socket files."""
        for server, _ in self._serving.values():
            server.stop()
        if while_closing is not None:
            while_closing()
        tasks = [task for _, task in self._serving.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=2 * STOP_SECONDS)
            for task in late:
                task.cancel()
        for path in self._bound:
            path.unlink(missing_ok=True)
        self._serving.clear()
        self._bound.clear()


class _Server(uvicorn.Server):
    """A server that leaves the process's signals to whoever runs the hive.

    It waits to be told to stop. Looking ten times a second, as its parent does, would cost an
    idle hive of 50 agents more than all else together.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Stop accepting, and end when the requests have."""
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        """Serve until told to stop."""
        await self._stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Capture none."""
        yield


def _bind(path: Path, mode: int) -> socket.socket:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~mode)
    try:
        listening.bind(str(path))
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(before)
    return listening

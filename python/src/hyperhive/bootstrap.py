"""Where concrete classes meet: a hive is put together here and nowhere else.

`running` is the whole life of a server: it claims the state directory, opens the store, settles
what the last run left, listens, and takes all of it down again in the opposite order. `serve`
and `up` are that in the foreground, without and with the agents' processes.
"""

import asyncio
import contextlib
import logging
import os
import resource
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hyperhive import config
from hyperhive.bus import Bus
from hyperhive.config import Agent, Hive, RestartPolicy
from hyperhive.domain.backoff import RestartRules
from hyperhive.domain.errors import UnavailableError
from hyperhive.domain.instances import BoxSpec
from hyperhive.domain.paths import HivePaths
from hyperhive.reconcile.loop import Reconciler
from hyperhive.runtimes.clocks import SystemClock
from hyperhive.runtimes.process import ProcessRuntime
from hyperhive.services.agents import Agents
from hyperhive.services.briefing import briefing
from hyperhive.services.conditions import RecordedConditions
from hyperhive.services.feed import Feed
from hyperhive.services.logins import Logins
from hyperhive.services.messages import Messages
from hyperhive.services.recovery import Recovery
from hyperhive.services.sessions import Sessions
from hyperhive.services.snapshot import Snapshots
from hyperhive.services.turns import Turns
from hyperhive.services.upkeep import Upkeep
from hyperhive.services.vault import Vault
from hyperhive.store import Store
from hyperhive.store.store import back_up_offline as _back_up_offline
from hyperhive.store.store import locked
from hyperhive.store.store import restore_offline as _restore_offline
from hyperhive.surfaces.agent_app import AgentApp
from hyperhive.surfaces.http.api import Services
from hyperhive.surfaces.http.app import operator_app
from hyperhive.surfaces.http.gate import Gate
from hyperhive.surfaces.http.harness import HarnessEndpoint
from hyperhive.surfaces.identity import AdminListener, AgentListener
from hyperhive.surfaces.listeners import Listeners
from hyperhive.surfaces.mcp.endpoint import McpEndpoint
from hyperhive.surfaces.mcp.server import McpServer
from hyperhive.surfaces.mcp.tools import Toolbox

HARNESS: Final = (sys.executable, "-P", "-m", "hyperhive.harness")
SECRET_FILE: Final = "operator-secret"  # noqa: S105 - a file's name
AGENT_SOCKET_MODE: Final = 0o600
ADMIN_SOCKET_MODE: Final = 0o660
DESCRIPTORS: Final = 65536

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Running:
    """A hive that runs in this process."""

    hive: Hive
    store: Store
    agents: Agents
    messages: Messages
    turns: Turns
    sessions: Sessions
    snapshots: Snapshots
    listeners: Listeners
    feed: Feed
    vault: Vault
    toolbox: Toolbox
    reconciler: Reconciler | None = None
    url: str = ""


@asynccontextmanager
async def running(
    hive: Hive,
    *,
    with_agents: bool,
    clock: Callable[[], float] = time.time,
    stop_agents: bool = True,
) -> AsyncIterator[Running]:
    """Run a hive until the block is left.

    ``with_agents`` also runs their processes, and ends them at the end if ``stop_agents``;
    otherwise they go on and the next server finds them. Raises `ConflictError` when another
    server has the state directory, `UnavailableError` when a socket or port cannot be had.
    """
    lock = await asyncio.to_thread(locked, hive.state_dir)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(os.close, lock)
        bus = Bus()
        store = await Store.open(hive.state_dir, bus, clock=clock)
        stack.push_async_callback(store.close)
        agents = Agents(store, hive)
        await agents.declare(hive)
        messages = Messages(store, agents)
        turns = Turns(store, agents)
        sessions = Sessions(store, agents)
        recovery = Recovery(store, agents, turns, sessions)
        logins = Logins(store, await asyncio.to_thread(_secret_file, hive))
        vault = Vault(store, logins)
        toolbox = Toolbox(store, agents, messages)
        snapshots = Snapshots(store, agents)

        async def settled() -> None:
            await recovery.start_over()
            await snapshots.begin()

        vault.settled = settled
        feed = Feed(store)
        services = Services(store, agents, messages, turns, snapshots, feed, vault)
        operator = operator_app(services, logins)
        mcp = McpServer(toolbox)
        await stack.enter_async_context(mcp.running())
        agent_app = AgentApp(
            McpEndpoint(mcp, messages),
            HarnessEndpoint(sessions, turns, lambda name: briefing(agents.hive, name)),
        )
        left_over = await recovery.begin()
        await snapshots.begin()
        listeners = Listeners(hive.run_dir)
        gate = Gate(operator, logins)
        run = Running(
            hive=hive,
            store=store,
            agents=agents,
            messages=messages,
            turns=turns,
            sessions=sessions,
            snapshots=snapshots,
            listeners=listeners,
            feed=feed,
            vault=vault,
            toolbox=toolbox,
        )

        async def close() -> None:
            await recovery.stopping()
            sessions.close()
            await listeners.close(while_closing=bus.close)

        stack.push_async_callback(close)
        run.url = await _listen(hive, listeners, agent_app, operator, gate)
        vault.base_url = run.url
        await _task(stack, recovery.settle(left_over), "settling")
        await _task(stack, Upkeep(store, messages).run(hive), "upkeep")
        if with_agents:
            run.reconciler = await _agents(stack, run, stop_agents=stop_agents)
        yield run


async def _listen(
    hive: Hive, listeners: Listeners, agent_app: AgentApp, operator: object, gate: Gate
) -> str:
    """Open every socket and return the address of the operator's page."""
    where = hive.operator
    try:
        for name in hive.agents:
            await listeners.open_unix(
                listeners.agent_socket(name),
                AgentListener(agent_app, name),
                mode=AGENT_SOCKET_MODE,
            )
        await listeners.open_unix(
            listeners.admin_socket, AdminListener(operator), mode=ADMIN_SOCKET_MODE
        )
        address, port = await listeners.open_tcp(where.address, where.port, gate)
    except OSError as error:
        raise UnavailableError(
            f"A socket of the hive cannot be opened: {error}.",
            f"See that {hive.run_dir} can be written and that port {where.port} of "
            f"{where.address} is free, or set operator.port.",
        ) from error
    gate.guard(address, port, where.hosts)
    shown = f"[{address}]" if ":" in address else address
    return f"http://{shown}:{port}"


async def _agents(
    stack: contextlib.AsyncExitStack, run: Running, *, stop_agents: bool
) -> Reconciler:
    clock = SystemClock()
    runtime = ProcessRuntime(HivePaths(run.hive.state_dir, run.hive.run_dir), clock)
    stack.callback(runtime.close)
    reconciler = Reconciler(
        runtime,
        RecordedConditions(run.store, run.agents),
        lambda: box_specs(run.agents.hive),
        clock,
    )
    if stop_agents:
        stack.push_async_callback(reconciler.stop_all, "the hive stops")
    await _task(stack, reconciler.run(), "reconciler")
    return reconciler


def box_specs(hive: Hive) -> Mapping[str, BoxSpec]:
    """Say what should run for each enabled agent.

    An agent that is declared for a box this version cannot make does not run at all: never in
    less of a box than its declaration says.
    """
    return {
        agent.name: BoxSpec(
            name=agent.name,
            role=agent.role,
            argv=HARNESS,
            state_dir=hive.state_dir,
            run_dir=hive.run_dir,
            environment=agent.environment,
            restart=restart_rules(hive, agent),
        )
        for agent in hive.enabled_agents
        if agent.runtime in config.RUNNABLE_RUNTIMES
    }


def restart_rules(hive: Hive, agent: Agent) -> RestartRules:
    """Say when an agent that ended by itself is started again: its own rules before the hive's."""
    own, common = agent.restart, hive.restart
    never = own.policy is RestartPolicy.NEVER
    return RestartRules(
        first_delay_seconds=own.backoff_seconds or common.backoff_seconds,
        longest_delay_seconds=own.backoff_max_seconds or common.backoff_max_seconds,
        loop_crashes=1 if never else own.crash_limit or common.crash_limit,
        loop_window_seconds=own.crash_window_seconds or common.crash_window_seconds,
    )


async def _task(stack: contextlib.AsyncExitStack, work: object, name: str) -> None:
    """Run a coroutine beside the others until the hive stops."""
    task: asyncio.Task[None] = asyncio.create_task(work, name=name)  # type: ignore[arg-type]  # a coroutine

    async def end() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)


def _secret_file(hive: Hive) -> Path:
    """Give the operator's secret file; one of our own is made when none is declared."""
    if hive.operator.secret_file is not None:
        return hive.operator.secret_file
    path = hive.state_dir / SECRET_FILE
    if not path.exists():
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    return path


def serve(path: Path, *, ready: Callable[[Running], None] | None = None) -> int:
    """Run the server of a hive in the foreground until SIGINT or SIGTERM."""
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
        async with running(hive, with_agents=with_agents) as run:
            if ready is not None:
                ready(run)
            else:
                await _announce(run, with_agents=with_agents)
            notify("READY=1")
            await stop.wait()
            notify("STOPPING=1")

    asyncio.run(main())
    return 0


async def _announce(run: Running, *, with_agents: bool) -> None:
    link = await run.vault.login_link()
    agents = f"{len(run.hive.agents)} agents" if with_agents else "no agents started here"
    sys.stdout.write(
        f"hive {run.hive.name} is up: {agents}\n"
        f"  page           {run.url}\n"
        f"  log in (once)  {link}\n"
        f"  command line   export HYPERHIVE_ADMIN_SOCKET={run.listeners.admin_socket}\n"
    )
    if with_agents:
        sys.stdout.write("  isolation      none: agents can do what this user can do\n")
    sys.stdout.flush()


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

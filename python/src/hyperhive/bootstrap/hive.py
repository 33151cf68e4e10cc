"""The life of a server: it claims the state directory, opens the store, settles what the last run
left, listens, watches, and takes all of it down again in the opposite order.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hyperhive.bootstrap.boxes import Boxes, begin, outlives_server, user_of_boxes
from hyperhive.bootstrap.clockwork import ticking
from hyperhive.bootstrap.declaring import Declaring
from hyperhive.bootstrap.forging import Connect, Forging
from hyperhive.bus import Bus
from hyperhive.config import ForgeKind, Hive, RuntimeKind
from hyperhive.domain.approvals import ApprovalKind
from hyperhive.domain.errors import UnavailableError
from hyperhive.domain.paths import HivePaths
from hyperhive.domain.ports import Inputs, Systems
from hyperhive.git.repositories import GitRepositories
from hyperhive.nix.flakes import FlakeInputs, NoInputs
from hyperhive.nix.parsing import NixParser
from hyperhive.nix.systems import NixSystems, NoSystems
from hyperhive.notices.webhook import Webhook
from hyperhive.reconcile.loop import Reconciler
from hyperhive.reconcile.specs import HARNESS
from hyperhive.runtimes.processes import namespaces
from hyperhive.services.agents import Agents
from hyperhive.services.approval_threads import ApprovalThreads
from hyperhive.services.approvals import Approvals, Consent
from hyperhive.services.briefing import briefing
from hyperhive.services.building import Building
from hyperhive.services.carrying import Carrying
from hyperhive.services.control import Control
from hyperhive.services.deliveries import Deliveries
from hyperhive.services.deploying import Deploying
from hyperhive.services.disk import Disk
from hyperhive.services.feed import Feed
from hyperhive.services.forge import ForgeDesk
from hyperhive.services.inputs import UpdatingInputs
from hyperhive.services.logins import Logins
from hyperhive.services.message_threads import MessageThreads
from hyperhive.services.messages import Messages
from hyperhive.services.notices import Notices
from hyperhive.services.permissions import WAIT_SECONDS, Permissions
from hyperhive.services.pulls import Pulls
from hyperhive.services.questions import Questions
from hyperhive.services.quotas import Quotas
from hyperhive.services.rebuilding import Rebuilding
from hyperhive.services.recovery import Recovery
from hyperhive.services.recurring import Recurring
from hyperhive.services.reminders import Reminders
from hyperhive.services.restarts import Restarts
from hyperhive.services.sessions import Sessions
from hyperhive.services.snapshot import Snapshots
from hyperhive.services.spawning import Spawning
from hyperhive.services.stalls import Stalls
from hyperhive.services.threads import Threads
from hyperhive.services.trials import Trials
from hyperhive.services.turns import Turns
from hyperhive.services.upkeep import Upkeep
from hyperhive.services.vault import Vault
from hyperhive.services.walls import Walls
from hyperhive.store import Store
from hyperhive.store.store import locked
from hyperhive.surfaces.agent_app import AgentApp
from hyperhive.surfaces.http.api import Services
from hyperhive.surfaces.http.app import operator_app
from hyperhive.surfaces.http.gate import Gate
from hyperhive.surfaces.http.harness import HarnessEndpoint
from hyperhive.surfaces.http.lifecycle import Lifecycle
from hyperhive.surfaces.identity import AdminListener
from hyperhive.surfaces.listeners import Listeners
from hyperhive.surfaces.mcp.endpoint import McpEndpoint
from hyperhive.surfaces.mcp.managing import Hands
from hyperhive.surfaces.mcp.permissions import permission_tool
from hyperhive.surfaces.mcp.server import McpServer
from hyperhive.surfaces.mcp.spawning import spawning_tools
from hyperhive.surfaces.mcp.tools import Toolbox

SECRET_FILE: Final = "operator-secret"  # noqa: S105 - a file's name
ADMIN_SOCKET_MODE: Final = 0o660


@dataclass(slots=True)
class Patience:
    """How long this server waits before it acts on what does not happen, in seconds."""

    stall: float = 60.0
    hello: float = 90.0
    look: float = 5.0
    permission: float = WAIT_SECONDS


@dataclass(slots=True)
class Running:
    """A hive that runs in this process."""

    hive: Hive
    store: Store
    agents: Agents
    quotas: Quotas
    messages: Messages
    questions: Questions
    threads: Threads
    turns: Turns
    sessions: Sessions
    snapshots: Snapshots
    control: Control
    approvals: Approvals
    permissions: Permissions
    reminders: Reminders
    deliveries: Deliveries
    spawning: Spawning
    deploying: Deploying
    building: Building
    inputs: UpdatingInputs
    carrying: Carrying
    restarts: Restarts
    rebuilding: Rebuilding
    trials: Trials
    stalls: Stalls
    disk: Disk
    listeners: Listeners
    feed: Feed
    vault: Vault
    toolbox: Toolbox
    boxes: Boxes
    declaring: Declaring
    forge: ForgeDesk
    pulls: Pulls
    url: str = ""

    @property
    def reconciler(self) -> Reconciler | None:
        """What keeps the boxes as declared, where this process runs them."""
        return self.boxes.reconciler


@dataclass(slots=True)
class _Tasks:
    """What runs beside everything else until the hive stops."""

    stack: contextlib.AsyncExitStack
    running: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.keep(asyncio.create_task(work, name=name))

    def keep(self, task: asyncio.Task[None]) -> None:
        async def end() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self.stack.push_async_callback(end)


@asynccontextmanager
async def running(
    hive: Hive,
    *,
    with_agents: bool,
    clock: Callable[[], float] = time.time,
    stop_agents: bool = True,
    source: Path | None = None,
    harness: tuple[str, ...] = HARNESS,
    patience: Patience | None = None,
    forge: Connect | None = None,
) -> AsyncIterator[Running]:
    """Run a hive until the block is left.

    ``with_agents`` also runs their boxes, and ends them at the end if ``stop_agents``; otherwise
    they go on and the next server finds them. Boxes that the host itself makes are run in any
    case, and without ``with_agents`` they go on. ``source`` is the declaration's file, which is
    read anew when it changes. ``forge`` makes a client of the forge; without it, or where none is
    declared, the hive has no forge. Raises `ConflictError` when another server has the state
    directory, `UnavailableError` when a socket or port cannot be had.
    """
    lock = await asyncio.to_thread(locked, hive.state_dir)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(os.close, lock)
        bus = Bus()
        store = await Store.open(hive.state_dir, bus, clock=clock)
        stack.push_async_callback(store.close)
        run, recovery, logins = await _assemble(
            hive, store, source, harness, patience, with_forge=forge is not None
        )
        gate, agent_app, operator = await _surfaces(stack, run, logins)
        left_over = await recovery.begin()
        await run.snapshots.begin()

        async def close() -> None:
            await recovery.stopping()
            run.sessions.close()
            await run.listeners.close(while_closing=bus.close)

        stack.push_async_callback(close)
        run.declaring.open_agent = lambda name: run.listeners.open_agent(name, agent_app)
        run.spawning.let_in = run.declaring.let_in
        run.declaring.take_flake = lambda: _take_flake(run)
        run.spawning.awaits_hello = with_agents or outlives_server(hive)
        run.trials.runs_boxes = run.spawning.awaits_hello
        run.trials.runs_as_declared = run.boxes.run_as_declared
        run.url = await _listen(hive, run, operator, gate)
        run.vault.base_url = run.url
        tasks = _Tasks(stack)
        tasks.start(recovery.settle(left_over), "settling")
        chores = Upkeep(store, run.messages, logins).chores()
        await stack.enter_async_context(ticking(store, chores, run.deliveries))
        tasks.start(run.questions.run(), "questions")
        tasks.start(run.disk.run(), "disk")
        _tell_operator(run, tasks)
        tasks.start(run.restarts.run(), "restarts")
        tasks.start(run.carrying.run(), "approvals")
        tasks.start(run.deploying.run(), "tags of decisions")
        tasks.start(run.building.run(), "systems")
        tasks.start(run.rebuilding.run(), "rebuilds")
        if forge is not None and run.forge.kind is not None:
            await Forging(
                store,
                run.agents,
                run.forge,
                run.pulls,
                run.listeners,
                run.declaring,
                run.boxes.user,
            ).begin(stack, tasks.start, forge)
        if with_agents or outlives_server(hive):
            where = run.url.removeprefix("http://")
            stop_agents = with_agents and stop_agents
            tasks.keep(
                await begin(
                    stack,
                    run.boxes,
                    operator=where,
                    stop_agents=stop_agents,
                    in_order=run.restarts.begin_changed,
                    again=run.restarts.begin_lost,
                    own=with_agents,
                )
            )
            tasks.start(run.stalls.run((patience or Patience()).look), "stalls")
        if source is not None:
            tasks.start(run.declaring.watch(), "declaration")
        yield run


async def _assemble(
    hive: Hive,
    store: Store,
    source: Path | None,
    harness: tuple[str, ...],
    patience: Patience | None,
    *,
    with_forge: bool,
) -> tuple[Running, Recovery, Logins]:
    """Build the services of a hive."""
    waits = patience or Patience()
    agents = Agents(store, hive)
    await agents.declare(hive)
    quotas = Quotas(store, agents)
    messages, turns, sessions = (
        Messages(store, agents, quotas),
        Turns(store, agents),
        Sessions(store, agents),
    )
    questions = Questions(store, agents, quotas)
    approvals = Approvals(store, agents, quotas)
    approvals.executors |= {
        ApprovalKind.ACTION: Consent(),
        ApprovalKind.RECURRING_REMINDER: Recurring(store),
    }
    reminders = Reminders(store, agents, quotas, approvals)
    pulls = Pulls(store, agents)
    sources = (
        questions,
        ApprovalThreads(approvals),
        reminders,
        pulls,
        MessageThreads(store, agents),
    )
    threads = Threads(store, agents, sources)
    kind = hive.forge.kind
    forge = ForgeDesk(store, kind.value if with_forge and kind is not ForgeKind.NONE else None)
    recovery = Recovery(store, agents, turns, sessions)
    logins = Logins(store, await asyncio.to_thread(_secret_file, hive))
    vault, snapshots = Vault(store, logins), Snapshots(store, agents, forge)
    boxes = Boxes(store, agents, harness=harness, user=user_of_boxes())
    await asyncio.to_thread(boxes.look_up, hive)
    listeners = Listeners(hive.run_dir)
    owner = owner_of_proposals(hive)
    kept = GitRepositories(HivePaths(hive.state_dir, hive.run_dir), owner)
    systems = await _systems(boxes, kept)
    building = Building(store, agents, systems)
    spawning = Spawning(store, agents, approvals, kept, systems)
    restarts = Restarts(store, agents, sessions)
    trials = Trials(store, agents, restarts)
    deploying = Deploying(store, agents, approvals, kept, trials, NixParser(), systems)
    updating = UpdatingInputs(store, agents, approvals, _inputs(hive), trials, systems)
    approvals.executors |= {
        ApprovalKind.SPAWN: spawning,
        ApprovalKind.CONFIG_CHANGE: deploying,
        ApprovalKind.INPUT_UPDATE: updating,
    }
    carrying = Carrying(store, approvals)

    async def settled() -> None:
        await recovery.start_over()
        await carrying.settle()
        await deploying.settle_trials()
        await snapshots.begin()

    vault.settled = settled
    run = Running(
        hive=hive,
        store=store,
        agents=agents,
        quotas=quotas,
        messages=messages,
        questions=questions,
        threads=threads,
        turns=turns,
        sessions=sessions,
        snapshots=snapshots,
        control=Control(store, agents, sessions),
        approvals=approvals,
        permissions=Permissions(store, approvals, wait_seconds=waits.permission),
        reminders=reminders,
        deliveries=Deliveries(store, agents),
        spawning=spawning,
        deploying=deploying,
        building=building,
        inputs=updating,
        carrying=carrying,
        restarts=restarts,
        rebuilding=Rebuilding(store, restarts, building),
        trials=trials,
        stalls=Stalls(
            store, agents, sessions, turns, stall_seconds=waits.stall, hello_seconds=waits.hello
        ),
        disk=Disk(store, agents),
        listeners=listeners,
        feed=Feed(store),
        vault=vault,
        toolbox=Toolbox(store, agents, messages, quotas, questions, threads, reminders),
        boxes=boxes,
        declaring=Declaring(store, agents, boxes, source),
        forge=forge,
        pulls=pulls,
    )
    return run, recovery, logins


async def _surfaces(
    stack: contextlib.AsyncExitStack, run: Running, logins: Logins
) -> tuple[Gate, AgentApp, object]:
    """Build what answers requests."""
    services = Services(
        run.store,
        run.agents,
        run.messages,
        run.turns,
        run.snapshots,
        run.feed,
        run.vault,
        run.quotas,
        run.threads,
        run.questions,
        run.approvals,
        run.reminders,
        run.forge,
    )
    lifecycle = Lifecycle(
        control=run.control,
        restarts=run.restarts,
        rebuilding=run.rebuilding,
        disk=run.disk,
        plan=run.declaring.plan,
        apply=run.declaring.apply,
        logs=run.boxes.logs,
        forget=lambda name: _forget(run, name),
        refresh=run.boxes.refresh,
        spawning=run.spawning,
        deploying=run.deploying,
        inputs=run.inputs,
    )
    operator = operator_app(services, logins, lifecycle)
    run.toolbox.add(spawning_tools(run.spawning, run.deploying))
    hands = Hands(
        run.approvals,
        run.control,
        run.restarts,
        run.rebuilding,
        run.inputs,
        run.declaring.apply,
        run.boxes.logs,
        run.boxes.refresh,
    )
    run.toolbox.add((*hands.tools(), permission_tool(run.permissions)))
    mcp = McpServer(run.toolbox)
    await stack.enter_async_context(mcp.running())
    walls = Walls(run.store, run.boxes.specs, namespaces())
    agent_app = AgentApp(
        McpEndpoint(mcp, run.messages),
        HarnessEndpoint(
            run.sessions,
            run.turns,
            lambda name: briefing(run.agents.hive, name, run.forge.url),
            looked_into=walls.judge,
        ),
    )
    return Gate(operator, logins), agent_app, operator


async def _listen(hive: Hive, run: Running, operator: object, gate: Gate) -> str:
    """Open every socket and return the address of the operator's page."""
    where = hive.operator
    listeners = run.listeners
    try:
        await run.declaring.let_everyone_in()
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


def _tell_operator(run: Running, tasks: _Tasks) -> None:
    """Post what waits for the operator, where a webhook is declared."""
    webhook = run.hive.operator.webhook
    if webhook is None:
        return
    notices = Notices(run.store, run.agents, Webhook(webhook.url_file), lambda: run.url)
    tasks.start(notices.run(), "notices")


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


def owner_of_proposals(hive: Hive) -> tuple[int, int] | None:
    """Give the user and group that the manager runs as, where that is not the server's own user."""
    if hive.agents[hive.manager_name].runtime is not RuntimeKind.BUBBLEWRAP:
        return None
    user = user_of_boxes()
    return (user.uid, user.gid) if user is not None and user.dropped_to else None


async def _systems(boxes: Boxes, kept: GitRepositories) -> Systems:
    """Give what builds the systems of spawned agents, where they are containers of NixOS."""
    agents, hive = boxes.agents, boxes.agents.declared
    if hive.agents[hive.manager_name].runtime is not RuntimeKind.NIXOS_CONTAINER:
        return NoSystems()
    paths = HivePaths(hive.state_dir, hive.run_dir)
    systems = NixSystems(paths, kept, lambda: agents.declared.spawned.flake)
    await asyncio.to_thread(systems.take_flake)
    boxes.built = systems
    return systems


async def _take_flake(run: Running) -> None:
    """Build from what the host says now; what could not be built before is tried again."""
    if isinstance(run.boxes.built, NixSystems):
        await asyncio.to_thread(run.boxes.built.take_flake)
    run.building.try_again()


def _inputs(hive: Hive) -> Inputs:
    """Give what spawned agents are built from: a flake, where they are containers of NixOS."""
    if hive.agents[hive.manager_name].runtime is not RuntimeKind.NIXOS_CONTAINER:
        return NoInputs()
    return FlakeInputs(HivePaths(hive.state_dir, hive.run_dir).flake)


async def _forget(run: Running, name: str) -> None:
    """Close the socket of an agent that is gone, and remove its files."""
    await run.listeners.close_unix(run.listeners.agent_socket(name))
    await run.boxes.forget(name)
    await run.spawning.forget(name)
    paths = HivePaths(run.hive.state_dir, run.hive.run_dir)

    def remove() -> None:
        for place in (paths.state(name).parent, paths.home(name), paths.run(name)):
            shutil.rmtree(place, ignore_errors=True)
        paths.log(name).unlink(missing_ok=True)

    await asyncio.to_thread(remove)

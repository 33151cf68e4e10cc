"""The part of a server that runs boxes: which runtimes there are here, and what they should run.

A kind of box that this machine cannot make costs an alert and the agents that are declared for
it; they do not run in less of a box instead, and the others are not held up.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from hyperhive.bus import LIFECYCLE
from hyperhive.config import Hive, RuntimeKind
from hyperhive.domain.errors import ConflictError, HiveError, NotFoundError
from hyperhive.domain.instances import BoxSpec
from hyperhive.domain.paths import HivePaths
from hyperhive.domain.plan import Action, plan
from hyperhive.domain.ports import Runtime, Systems
from hyperhive.nix.systems import NoSystems
from hyperhive.reconcile.loop import Reconciler
from hyperhive.reconcile.specs import HARNESS, box_specs
from hyperhive.runtimes import environment
from hyperhive.runtimes.bubblewrap import BubblewrapRuntime
from hyperhive.runtimes.choosing import ChoosingRuntime
from hyperhive.runtimes.clocks import SystemClock
from hyperhive.runtimes.limits import best_holder
from hyperhive.runtimes.nixos_container import (
    CONFIGURED,
    NixosContainerRuntime,
    configured,
    source_of,
)
from hyperhive.runtimes.process import ProcessRuntime
from hyperhive.runtimes.users import User, box_user
from hyperhive.services.agents import Agents
from hyperhive.services.conditions import RecordedConditions
from hyperhive.store import Store, Writing, alerts

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Boxes:
    """The boxes of a hive, as this process runs them; without ``kinds`` it runs none."""

    store: Store
    agents: Agents
    harness: tuple[str, ...] = HARNESS
    kinds: dict[str, Runtime] = field(default_factory=dict)
    user: User | None = None
    runtime: ChoosingRuntime | None = None
    reconciler: Reconciler | None = None
    faults: dict[str, str] = field(default_factory=dict)
    """Why the kinds of box that cannot be made here cannot."""
    systems: dict[str, str] = field(default_factory=dict)
    """What the host has configured for the boxes that it makes itself, by agent; `look_up`."""
    built: Systems = field(default_factory=NoSystems)
    """The systems of spawned agents."""

    def specs(
        self, hive: Hive | None = None, systems: Mapping[str, str] | None = None
    ) -> Mapping[str, BoxSpec]:
        """Say what should run for a declaration, the present one if none is given."""
        declared = hive if hive is not None else self.agents.hive
        known = list(self.kinds) or [kind.value for kind in RuntimeKind]
        taken = self.systems if systems is None else systems
        built = {
            name: self.built.built(name, commit) for name, commit in self.agents.revisions.items()
        }
        return box_specs(declared, known, harness=self.harness, systems=taken, built=built)

    def look_up(self, hive: Hive) -> None:
        """See anew what the host has configured for the boxes of this declaration.

        Only here: while a system is switched its files change before the units that use them.
        """
        self.systems = self._configured(hive)

    def run_as_declared(self, name: str, incarnation: str) -> bool:
        """Whether this box of an agent was made from what is declared now."""
        return self.reconciler is not None and self.reconciler.runs_as_declared(name, incarnation)

    async def planned(self, hive: Hive | None) -> tuple[Action, ...]:
        """Say what would be done now if this were the declaration."""
        runtime = self._running()
        conditions = RecordedConditions(self.store, self.agents)
        recorded, observed = await conditions.recorded(), await runtime.observe()
        if self.reconciler is not None:
            self.reconciler.wake()
        declared = self.agents.hive if hive is None else self.agents.whole(hive)
        specs = self.specs(declared, await asyncio.to_thread(self._configured, declared))
        return plan(specs, recorded, observed, now=self.store.clock())

    async def logs(self, name: str, lines: int) -> list[str]:
        """Give what an agent's box printed last."""
        if name not in self.agents.hive.agents:
            raise NotFoundError("agent", name, self.agents.roster.members)
        return await self._running().logs(name, lines)

    async def refresh(self, name: str) -> None:
        """Hand an agent's box its credentials as they are now, if it has any."""
        spec = self.specs().get(name)
        if spec is not None and spec.credentials and spec.paths.credentials(name).is_dir():
            await asyncio.to_thread(environment.write_credentials, spec, self.user)

    async def forget(self, name: str) -> None:
        """Have the host take away what it has configured for an agent that is gone for good."""
        containers = self.kinds.get(RuntimeKind.NIXOS_CONTAINER.value)
        if isinstance(containers, NixosContainerRuntime):
            await containers.forget(name)

    def _configured(self, hive: Hive) -> dict[str, str]:
        spawned = self.agents.revisions
        names = (name for name in _of_the_host(hive) if name not in spawned)
        found = {name: configured(name) for name in names}
        return {name: system for name, system in found.items() if system is not None}

    def _running(self) -> ChoosingRuntime:
        if self.runtime is None:
            raise ConflictError(
                "This server runs no boxes.", "Ask the one that was started by `hyperhive up`."
            )
        return self.runtime


def user_of_boxes() -> User | None:
    """Give the user that boxes run as, or ``None`` where there is nobody to drop to."""
    try:
        return box_user()
    except HiveError:
        return None


def sources_of(hive: Hive) -> list[Path]:
    """Give the files in which the host says what it has configured for boxes of this hive."""
    return [source_of(name) for name in _of_the_host(hive)]


def outlives_server(hive: Hive) -> bool:
    """Whether the host itself runs boxes of this hive: those are never this process's own."""
    return any(True for _ in _of_the_host(hive))


async def begin(
    stack: AsyncExitStack,
    boxes: Boxes,
    *,
    operator: str,
    stop_agents: bool,
    in_order: Callable[[tuple[str, ...]], Awaitable[None]],
    again: Callable[[tuple[str, ...]], Awaitable[None]],
    own: bool = True,
) -> asyncio.Task[None]:
    """Start to run the boxes of a hive; the task goes on until it is cancelled.

    ``in_order`` restarts those whose declaration changed, ``again`` starts those whose boxes went
    away while no server ran. Without ``own`` only those that the host
    makes are run, none that would be this process's.
    """
    clock = SystemClock()
    paths = HivePaths(boxes.agents.hive.state_dir, boxes.agents.hive.run_dir)
    if own:
        await _begin_own(stack, boxes, paths, clock, operator)
    else:
        said = "This server runs no boxes of its own; start the hive by `hyperhive up`."
        boxes.faults |= dict.fromkeys(
            (RuntimeKind.PROCESS.value, RuntimeKind.BUBBLEWRAP.value), said
        )
    _begin_containers(stack, boxes, paths, clock)
    boxes.runtime = ChoosingRuntime(boxes.kinds)
    await note_missing(boxes)
    reconciler = Reconciler(
        boxes.runtime,
        RecordedConditions(boxes.store, boxes.agents),
        boxes.specs,
        clock,
        in_order=in_order,
        again=again,
    )
    boxes.reconciler = reconciler
    if stop_agents:
        stack.push_async_callback(reconciler.stop_all, "the hive stops")
    return asyncio.create_task(_run(boxes.store, reconciler), name="reconciler")


async def _begin_own(
    stack: AsyncExitStack, boxes: Boxes, paths: HivePaths, clock: SystemClock, operator: str
) -> None:
    process = ProcessRuntime(paths, clock, operator=operator)
    stack.callback(process.close)
    boxes.kinds[RuntimeKind.PROCESS.value] = process
    fault = await asyncio.to_thread(BubblewrapRuntime.fault)
    if fault is None:
        holder = await asyncio.to_thread(lambda: best_holder(box_user()))
        walls = BubblewrapRuntime(paths, clock, operator=operator, holder=holder)
        stack.callback(walls.close)
        boxes.kinds[RuntimeKind.BUBBLEWRAP.value] = walls
    else:
        boxes.faults[RuntimeKind.BUBBLEWRAP.value] = fault


def _begin_containers(
    stack: AsyncExitStack, boxes: Boxes, paths: HivePaths, clock: SystemClock
) -> None:
    kind = RuntimeKind.NIXOS_CONTAINER.value
    fault = NixosContainerRuntime.fault()
    if fault is None and not CONFIGURED.is_dir():
        fault = f"No container is configured on this machine: there is no {CONFIGURED}."
    if fault is not None:
        boxes.faults[kind] = fault
        return
    containers = NixosContainerRuntime(paths, clock)
    stack.callback(containers.close)
    boxes.kinds[kind] = containers


async def note_missing(boxes: Boxes) -> None:
    """Tell of the agents that are declared for a kind of box that cannot be made here.

    A server that runs no boxes has nothing to tell.
    """
    if boxes.runtime is None:
        return
    missing = {
        agent.name: agent.runtime.value
        for agent in boxes.agents.hive.enabled_agents
        if agent.runtime.value not in boxes.kinds
    }
    text = ", ".join(f"{name} ({kind})" for name, kind in sorted(missing.items()))
    if missing:
        _log.warning("these agents do not run here: %s", text)

    def job(work: Writing) -> None:
        if missing:
            why = " ".join(boxes.faults.get(kind, "") for kind in sorted(set(missing.values())))
            said = f"These agents do not run, for their boxes cannot be made here: {text}. {why}"
            alerts.raise_alert(work, "boxes", said, severity="error")
        else:
            alerts.clear_alert(work, "boxes")

    await boxes.store.write(job)


def _of_the_host(hive: Hive) -> Iterator[str]:
    for agent in hive.enabled_agents:
        if agent.runtime is RuntimeKind.NIXOS_CONTAINER:
            yield agent.name


async def _run(store: Store, reconciler: Reconciler) -> None:
    """Reconcile, and look at once when something about agents was recorded."""

    async def wake() -> None:
        with store.bus.watch(LIFECYCLE) as watch:
            while True:
                await watch.wait()
                reconciler.wake()

    async with asyncio.TaskGroup() as group:
        group.create_task(wake())
        group.create_task(reconciler.run())

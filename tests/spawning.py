"""A desk with all that spawning and deploying need, and boxes that come up or do not."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hyperhive.domain import actors
from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.agents import AgentState
from hyperhive.domain.approvals import ApprovalKind
from hyperhive.domain.instances import Crash
from hyperhive.domain.paths import HivePaths
from hyperhive.domain.ports import Inputs, Systems
from hyperhive.git.repositories import GitRepositories
from hyperhive.nix.flakes import NoInputs
from hyperhive.nix.parsing import NixParser
from hyperhive.nix.systems import NoSystems
from hyperhive.services.approvals import Approvals
from hyperhive.services.carrying import Carrying
from hyperhive.services.conditions import RecordedConditions
from hyperhive.services.deploying import Deploying
from hyperhive.services.inputs import UpdatingInputs
from hyperhive.services.restarts import Restarts
from hyperhive.services.spawning import Spawning
from hyperhive.services.trials import Trials
from tests import proposals
from tests.builders import Desk, a_desk

QUEEN: Final = actors.agent("queen")


@dataclass(slots=True)
class Bench:
    """A desk whose operator decides."""

    desk: Desk
    kept: GitRepositories
    approvals: Approvals
    carrying: Carrying
    spawning: Spawning
    deploying: Deploying
    updating: UpdatingInputs
    trials: Trials
    restarts: Restarts
    directory: Path

    async def redeployed(self, name: str) -> None:
        """Wait until what was begun to bring an agent to an earlier state is over."""
        tasks = asyncio.all_tasks()
        await asyncio.gather(*(task for task in tasks if task.get_name() == f"redeploying {name}"))

    async def approve(self, number: int) -> dict[str, Any]:
        """Say yes and have it carried out; give the approval then."""
        shown = await self.approvals.show(number)
        await self.approvals.approve(THE_OPERATOR, number, shown["digest"], via="test")
        await self.carrying.carry(number)
        return await self.approvals.show(number)

    async def spawn(self, name: str = "carol") -> dict[str, Any]:
        """Have an agent asked for, approved and made."""
        asked = await self.spawning.request(QUEEN, name, "sings")
        return await self.approve(asked["id"])

    async def propose(self, *, nix: str | None = None, **settings: Any) -> str:
        """Commit a configuration of carol's as the manager does."""
        repository = HivePaths(self.directory, self.directory).config("carol")
        files = {"agent_json": json.dumps(settings)} | ({"agent_nix": nix} if nix else {})
        return proposals.commit(repository, **files)


@asynccontextmanager
async def a_bench(
    directory: Path,
    hive: Mapping[str, object] | None = None,
    inputs: Inputs | None = None,
    systems: Systems | None = None,
) -> AsyncIterator[Bench]:
    """Wire the services as the server does; no boxes run."""
    async with a_desk(directory, hive=hive) as desk:
        kept = GitRepositories(HivePaths(directory, directory / "run"))
        approvals = Approvals(desk.store, desk.agents, desk.quotas)
        built = systems or NoSystems()
        spawning = Spawning(desk.store, desk.agents, approvals, kept, built)
        restarts = Restarts(desk.store, desk.agents, desk.sessions)
        trials = Trials(desk.store, desk.agents, restarts)
        deploying = Deploying(desk.store, desk.agents, approvals, kept, trials, NixParser(), built)
        updating = UpdatingInputs(
            desk.store, desk.agents, approvals, inputs or NoInputs(), trials, built
        )
        approvals.executors |= {
            ApprovalKind.SPAWN: spawning,
            ApprovalKind.CONFIG_CHANGE: deploying,
            ApprovalKind.INPUT_UPDATE: updating,
        }
        carrying = Carrying(desk.store, approvals)
        yield Bench(
            desk,
            kept,
            approvals,
            carrying,
            spawning,
            deploying,
            updating,
            trials,
            restarts,
            directory,
        )


class Boxes:
    """What a host would do: whoever is to be made anew comes up, or does not.

    ``refused`` are descriptions whose agent's box ends at its start, ``silent`` those whose
    harness never says hello. Its runs are numbered, so that one is told from the next.
    """

    def __init__(self, bench: Bench) -> None:
        self.refused: set[str] = set()
        self.silent: set[str] = set()
        self.late: dict[str, str] = {}
        """By agent, what its next box is made from, though something else is configured by then."""
        self.started: list[tuple[str, str]] = []
        """Each start, as name and description."""
        self._bench = bench
        self._conditions = RecordedConditions(bench.desk.store, bench.desk.agents)
        self._runs = 0
        self._made: dict[str, str] = {}

    async def start(self, name: str) -> None:
        """Run a box as it is configured now."""
        agents = self._bench.desk.agents
        described = self.late.pop(name, agents.hive.agents[name].description)
        self.started.append((name, described))
        self._runs += 1
        incarnation = f"{name}-{self._runs}"
        self._made[incarnation] = described
        if described in self.refused:
            await self._conditions.note_incarnation(name, None)
            await agents.set_state(name, AgentState.BACKING_OFF, "it exited with status 1")
            crash = Crash(self._bench.desk.store.clock(), incarnation, "it exited with status 1")
            await self._conditions.record_crash(name, crash)
            return
        await self._conditions.note_incarnation(name, incarnation)
        state = AgentState.STARTING if described in self.silent else AgentState.READY
        await agents.set_state(name, state)

    @asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator["Boxes"]:
        """Run these agents, and make anew whatever is asked for or does not run."""
        self._bench.trials.runs_boxes = True
        self._bench.trials.runs_as_declared = self._runs_as_declared
        for name in names:
            await self.start(name)
        work = (asyncio.create_task(each) for each in (self._make(), self._bench.restarts.run()))
        tasks = tuple(work)
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    def _runs_as_declared(self, name: str, incarnation: str) -> bool:
        return self._made[incarnation] == self._bench.desk.agents.hive.agents[name].description

    async def _make(self) -> None:
        with self._bench.desk.store.bus.watch() as watch:
            while True:
                for name, each in (await self._conditions.recorded()).items():
                    is_down = each.incarnation is None and not each.crashes and not each.held
                    is_known = any(name == known for known, _ in self.started)
                    if each.replace is not None or (is_down and is_known):
                        await self.start(name)
                await watch.wait()

"""Making a box anew from what is configured: what is missing is built first, behind the answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from hyperhive.domain import actors
from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.agents import AgentState
from hyperhive.domain.errors import ForbiddenError, InvalidError, NotFoundError
from hyperhive.domain.instances import Crash
from hyperhive.nix.systems import NoSystems
from hyperhive.services.building import Building
from hyperhive.services.conditions import RecordedConditions
from hyperhive.services.control import Control
from hyperhive.services.rebuilding import Rebuilding
from hyperhive.store import alerts, audit, lifecycle
from tests.builders import an_actor
from tests.spawning import QUEEN, Bench, a_bench

pytestmark = pytest.mark.anyio


class LateSystems(NoSystems):
    """A system that is there once it was built, which waits until it is let."""

    def __init__(self) -> None:
        self.is_there = True
        self.refuses = ""
        self.let = asyncio.Event()

    def is_current(self, agent: str, commit: str) -> bool:
        return self.is_there

    async def build(self, agent: str, commit: str, *, lock: str | None = None) -> None:
        if not self.is_there:
            await self.let.wait()
        if self.refuses:
            raise InvalidError(self.refuses)
        self.is_there = True


@pytest.fixture
async def systems() -> LateSystems:
    return LateSystems()


@pytest.fixture
async def bench(tmp_path: Path, systems: LateSystems) -> AsyncIterator[Bench]:
    async with a_bench(tmp_path, systems=systems) as bench:
        await bench.spawn()
        yield bench


@asynccontextmanager
async def at_work(bench: Bench, systems: LateSystems) -> AsyncIterator[Rebuilding]:
    building = Building(bench.desk.store, bench.desk.agents, systems)
    rebuilding = Rebuilding(bench.desk.store, bench.restarts, building)
    task = asyncio.create_task(rebuilding.run())
    try:
        yield rebuilding
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def conditions_of(bench: Bench) -> RecordedConditions:
    return RecordedConditions(bench.desk.store, bench.desk.agents)


async def runs(bench: Bench, *names: str) -> None:
    """Have these agents' boxes run, and be ready."""
    for name in names:
        await conditions_of(bench).note_incarnation(name, f"{name}-1")
        await bench.desk.agents.set_state(name, AgentState.READY)


async def under_way(bench: Bench) -> list[str]:
    """Name whom the restart is about that is under way."""
    record = await bench.desk.store.read(lifecycle.rollout)
    return [] if record is None else list(record["order"])


async def seen(bench: Bench, *names: str) -> None:
    """Wait for a restart of these agents."""
    with bench.desk.store.bus.watch() as watch:
        while await under_way(bench) != list(names):
            await watch.wait(1.0)


async def audited(bench: Bench) -> list[tuple[str, str, str]]:
    found = await bench.desk.store.read(lambda asking: audit.search(asking, before=None, limit=9))
    return [(each["actor"], each["verb"], each["subject"]) for each in found]


@pytest.mark.parametrize("actor", [THE_OPERATOR, QUEEN])
async def test_an_agent_is_restarted_at_once_where_nothing_is_to_be_built(
    bench: Bench, systems: LateSystems, actor: actors.Actor
) -> None:
    await runs(bench, "carol", "alice")
    async with at_work(bench, systems) as rebuilding:
        done = await rebuilding.begin(actor, "carol", "it is rebuilt", via="test")

    assert (done["did"], done["order"]) == ("rebuild", ["carol"])
    assert await under_way(bench) == ["carol"]
    assert (actor.name, "rebuild", "agent:carol") in await audited(bench)


async def test_a_system_that_is_not_there_is_built_before_the_restart(
    bench: Bench, systems: LateSystems
) -> None:
    await runs(bench, "carol")
    systems.is_there = False
    async with at_work(bench, systems) as rebuilding:
        done = await rebuilding.begin(THE_OPERATOR, "carol", "it is rebuilt", via="test")

        assert (done["did"], done["order"]) == ("rebuild", ["carol"])
        assert await under_way(bench) == []
        systems.let.set()
        await seen(bench, "carol")
        assert systems.is_there


async def test_a_system_that_cannot_be_built_is_an_alert_and_nothing_restarts(
    bench: Bench, systems: LateSystems
) -> None:
    await runs(bench, "carol")
    systems.is_there, systems.refuses = False, "the store is full"
    read = partial(alerts.text_of, key="system:carol")
    async with at_work(bench, systems) as rebuilding:
        for _ in range(2):
            systems.let.clear()
            # Each time anew, also where the same one stands already: somebody waits for it.
            await rebuilding.begin(THE_OPERATOR, "carol", "it is rebuilt", via="test")
            assert await bench.desk.store.read(read) is None
            systems.let.set()
            with bench.desk.store.bus.watch() as watch:
                while await bench.desk.store.read(read) is None:
                    await watch.wait(1.0)

    assert await under_way(bench) == []


async def test_a_restart_after_a_build_waits_for_the_one_that_is_under_way(
    bench: Bench, systems: LateSystems
) -> None:
    await runs(bench, "carol", "alice")
    systems.is_there = False
    async with at_work(bench, systems) as rebuilding:
        await rebuilding.begin(THE_OPERATOR, "carol", "it is rebuilt", via="test")
        await bench.restarts.begin(THE_OPERATOR, ("alice",), "another", via="test")
        systems.let.set()
        with bench.desk.store.bus.watch() as watch:
            while not systems.is_there:
                await watch.wait(1.0)
        assert await under_way(bench) == ["alice"]

        await bench.desk.store.write(lambda work: lifecycle.set_rollout(work, None))
        await seen(bench, "carol")


@pytest.mark.parametrize("is_there", [True, False])
async def test_one_that_crashed_too_often_starts_again_and_not_in_order(
    bench: Bench, systems: LateSystems, is_there: bool
) -> None:
    await conditions_of(bench).record_crash("carol", Crash(1.0, "carol-1", "it exited"))
    systems.is_there = is_there
    systems.let.set()
    async with at_work(bench, systems) as rebuilding:
        done = await rebuilding.begin(THE_OPERATOR, "carol", "it is rebuilt", via="test")
        with bench.desk.store.bus.watch() as watch:
            while (await conditions_of(bench).recorded())["carol"].crashes:
                await watch.wait(1.0)

    assert done["order"] == []
    assert await under_way(bench) == []


async def test_one_that_is_held_stays_so(bench: Bench, systems: LateSystems) -> None:
    await conditions_of(bench).record_crash("carol", Crash(1.0, "carol-1", "it exited"))
    control = Control(bench.desk.store, bench.desk.agents, bench.desk.sessions)
    await control.stop(THE_OPERATOR, "carol", via="test")
    async with at_work(bench, systems) as rebuilding:
        with pytest.raises(InvalidError, match="Start them instead"):
            await rebuilding.begin(THE_OPERATOR, "carol", "it is rebuilt", via="test")
    assert (await conditions_of(bench).recorded())["carol"].crashes


async def test_only_operator_and_manager_rebuild_and_only_who_is_there(
    bench: Bench, systems: LateSystems
) -> None:
    async with at_work(bench, systems) as rebuilding:
        with pytest.raises(ForbiddenError):
            await rebuilding.begin(an_actor("alice"), "carol", "it is rebuilt", via="test")
        with pytest.raises(NotFoundError):
            await rebuilding.begin(THE_OPERATOR, "nobody", "it is rebuilt", via="test")

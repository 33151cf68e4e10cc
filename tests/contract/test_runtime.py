"""What every runtime promises, asked of each one in the same words."""

import asyncio
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hyperhive.domain.actors import Role
from hyperhive.domain.confinement import (
    BUBBLEWRAP,
    NIXOS_CONTAINER,
    OPEN,
    PROCESS,
    Confinement,
)
from hyperhive.domain.errors import ConflictError, UnavailableError
from hyperhive.domain.instances import BoxSpec, Instance, Phase
from hyperhive.domain.paths import HivePaths
from hyperhive.domain.ports import Runtime
from hyperhive.runtimes.bubblewrap import BubblewrapRuntime
from hyperhive.runtimes.choosing import ChoosingRuntime
from hyperhive.runtimes.clocks import SystemClock
from hyperhive.runtimes.memory import MemoryRuntime
from hyperhive.runtimes.nixos_container import NixosContainerRuntime, configured
from hyperhive.runtimes.process import ProcessRuntime
from tests.walls import open_directory, require_walls

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 30.0

HARNESS = """
import signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(3))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("first line", "second line", "ready", sep="\\n", flush=True)
while True:
    time.sleep(60)
"""

CONTAINERS = "HYPERHIVE_TEST_CONTAINERS"

NEEDED = Path("/var/lib/hyperhive/needed")
"""What alice's container mounts, and cannot start without."""

GUEST = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("first line", "second line", "ready", sep="\\n", flush=True)
open("ready", "w").close()
while not os.path.exists("end"):
    time.sleep(0.02)
os.unlink("end")
sys.exit(3)
"""


class Bench(ABC):
    """A runtime, and what the world does to its boxes."""

    runtime: Runtime
    python: str = sys.executable
    confinement: Confinement = OPEN
    isolation: str = "none"

    def __init__(self, directory: Path) -> None:
        self.paths = HivePaths(directory / "state", directory / "run")

    def spec(self, name: str = "alice") -> BoxSpec:
        """Declare a box that runs until it is told otherwise."""
        argv = (self.python, "-S", "-E", "-c", HARNESS)
        state_dir, run_dir = self.paths.state_dir, self.paths.run_dir
        return BoxSpec(name, Role.WORKER, argv, state_dir, run_dir, confinement=self.confinement)

    @abstractmethod
    def spec_that_cannot_start(self) -> BoxSpec:
        """Declare a box whose start fails."""

    @abstractmethod
    async def end_with_status_three(self, name: str) -> None:
        """Let a running box end by itself."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what the bench holds."""

    async def box(self, name: str = "alice") -> Instance | None:
        """See one box."""
        return (await self.runtime.observe()).get(name)

    async def phase(self, name: str = "alice") -> Phase | None:
        """See how one box is."""
        box = await self.box(name)
        return None if box is None else box.phase

    async def started(self, name: str = "alice") -> Instance:
        """Start a box, wait for its output, and see it."""
        await self.runtime.start(self.spec(name))
        await self.says_ready(name)
        box = await self.box(name)
        assert box is not None
        return box

    @abstractmethod
    async def says_ready(self, name: str) -> None:
        """Wait until the box has written its three lines."""

    async def failed(self, name: str = "alice") -> Instance:
        """Wait until a box is seen as failed."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (box := await self.box(name)) is None or box.phase is not Phase.FAILED:
                await self.runtime.changed()
        return box


class MemoryBench(Bench):
    runtime: MemoryRuntime

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.runtime = MemoryRuntime(SystemClock())

    def spec_that_cannot_start(self) -> BoxSpec:
        self.runtime.refuse("alice", "no such program")
        return self.spec()

    async def says_ready(self, name: str) -> None:
        for line in ("first line", "second line", "ready"):
            self.runtime.say(name, line)

    async def end_with_status_three(self, name: str) -> None:
        self.runtime.end(name, 3)

    def close(self) -> None:
        pass


class LocalBench(Bench):
    """A runtime whose boxes are processes of this machine."""

    def spec_that_cannot_start(self) -> BoxSpec:
        return replace(self.spec(), argv=("/nonexistent/harness",))

    async def says_ready(self, name: str) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "ready" not in await self.runtime.logs(name, 1):  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.01)

    async def end_with_status_three(self, name: str) -> None:
        box = await self.box(name)
        assert box is not None
        assert box.pid is not None
        os.kill(box.pid, signal.SIGUSR1)


class ProcessBench(LocalBench):
    runtime: ProcessRuntime

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.runtime = ProcessRuntime(self.paths, SystemClock())

    def close(self) -> None:
        self.runtime.close()


class BubblewrapBench(LocalBench):
    runtime: BubblewrapRuntime
    isolation = "bubblewrap"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        walls = require_walls()
        self.python, self.confinement = walls.python, Confinement(BUBBLEWRAP)
        self.runtime = walls.runtime(self.paths)

    def close(self) -> None:
        self.runtime.close()


class ChoosingBench(LocalBench):
    """A runtime that has another beside the one its boxes go to."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._process = ProcessRuntime(self.paths, SystemClock())
        self.runtime = ChoosingRuntime(
            {BUBBLEWRAP: MemoryRuntime(SystemClock()), PROCESS: self._process}
        )

    def close(self) -> None:
        self._process.close()


class ContainerBench(Bench):
    """The runtime of NixOS, in a host that has systemd, polkit and these containers.

    `tests/systemd` makes that host, says so by `CONTAINERS`, and runs this there as the server's
    user. The guests run `GUEST`.
    """

    runtime: NixosContainerRuntime
    confinement = Confinement(NIXOS_CONTAINER)
    isolation = NIXOS_CONTAINER

    def __init__(self, directory: Path) -> None:
        if CONTAINERS not in os.environ:
            pytest.skip("containers need a host of their own: tests/systemd runs this in one")
        super().__init__(directory)
        self.paths = HivePaths(Path("/var/lib/hyperhive"), Path("/run/hyperhive"))
        NEEDED.mkdir(exist_ok=True)
        self.runtime = NixosContainerRuntime(self.paths, SystemClock())

    def spec(self, name: str = "alice") -> BoxSpec:
        return replace(super().spec(name), argv=(), system=configured(name) or "")

    def spec_that_cannot_start(self) -> BoxSpec:
        NEEDED.rmdir()
        return self.spec()

    async def started(self, name: str = "alice") -> Instance:
        self._state(name, "ready").unlink(missing_ok=True)
        return await super().started(name)

    async def says_ready(self, name: str) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self._state(name, "ready").exists():  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.01)
            while await self.runtime.logs(name, 1) != ["ready"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def end_with_status_three(self, name: str) -> None:
        self._state(name, "end").touch()

    def close(self) -> None:
        self.runtime.close()

    def _state(self, name: str, file: str) -> Path:
        return self.paths.state(name) / file


BENCHES: dict[str, type[Bench]] = {
    "memory": MemoryBench,
    "process": ProcessBench,
    "bubblewrap": BubblewrapBench,
    "choosing": ChoosingBench,
    "nixos-container": ContainerBench,
}


@pytest.fixture(params=BENCHES)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    with open_directory() as directory:
        bench = BENCHES[request.param](directory)
        yield bench
        for name in await bench.runtime.observe():
            await bench.runtime.stop(name, 0)
        bench.close()


async def test_nothing_is_there_before_anything_was_started(bench: Bench) -> None:
    assert await bench.runtime.observe() == {}


async def test_a_started_box_runs_under_the_digest_of_its_declaration(bench: Bench) -> None:
    await bench.runtime.start(bench.spec())
    box = await bench.box()
    assert box is not None
    assert (box.phase, box.digest) == (Phase.RUNNING, bench.spec().digest)


async def test_starting_what_runs_changes_nothing(bench: Bench) -> None:
    before = await bench.started()
    await bench.runtime.start(bench.spec())
    assert await bench.box() == before


async def test_starting_from_another_declaration_what_runs_is_refused(bench: Bench) -> None:
    before = await bench.started()
    with pytest.raises(ConflictError):
        await bench.runtime.start(replace(bench.spec(), environment={"A": "1"}))
    assert await bench.box() == before


async def test_a_box_that_cannot_be_started_says_so_and_leaves_nothing(bench: Bench) -> None:
    with pytest.raises(UnavailableError, match="'alice' cannot be started"):
        await bench.runtime.start(bench.spec_that_cannot_start())
    assert await bench.runtime.observe() == {}


async def test_a_stopped_box_is_no_longer_there(bench: Bench) -> None:
    await bench.started()
    await bench.runtime.stop("alice", PATIENCE_SECONDS)
    assert await bench.box() is None


async def test_stopping_twice_is_fine(bench: Bench) -> None:
    await bench.started()
    await bench.runtime.stop("alice", PATIENCE_SECONDS)
    await bench.runtime.stop("alice", PATIENCE_SECONDS)
    assert await bench.box() is None


async def test_stopping_what_was_never_started_is_fine(bench: Bench) -> None:
    await bench.runtime.stop("nobody", PATIENCE_SECONDS)
    assert await bench.runtime.observe() == {}


async def test_a_box_does_not_count_as_failed_while_it_is_stopped(bench: Bench) -> None:
    await bench.started()
    stopping = asyncio.create_task(bench.runtime.stop("alice", PATIENCE_SECONDS))
    seen = set()
    while not stopping.done():
        seen.add(await bench.phase())
        await asyncio.sleep(0)
    await stopping
    assert Phase.FAILED not in seen


async def test_stopping_one_box_leaves_the_others(bench: Bench) -> None:
    await bench.started("alice")
    bob = await bench.started("bob")
    await bench.runtime.stop("alice", PATIENCE_SECONDS)
    assert await bench.runtime.observe() == {"bob": bob}


async def test_a_box_that_ends_by_itself_has_failed_with_its_status(bench: Bench) -> None:
    await bench.started()
    await bench.end_with_status_three("alice")
    assert (await bench.failed()).exit_status == 3


async def test_a_failed_box_stays_failed_however_often_one_looks(bench: Bench) -> None:
    await bench.started()
    await bench.end_with_status_three("alice")
    first = await bench.failed()
    assert await bench.box() == first


async def test_a_failed_box_is_forgotten_when_it_is_stopped(bench: Bench) -> None:
    await bench.started()
    await bench.end_with_status_three("alice")
    await bench.failed()
    await bench.runtime.stop("alice", PATIENCE_SECONDS)
    assert await bench.box() is None


async def test_a_failed_box_that_is_started_runs_as_another_incarnation(bench: Bench) -> None:
    before = await bench.started()
    await bench.end_with_status_three("alice")
    await bench.failed()
    after = await bench.started()
    assert after.phase is Phase.RUNNING
    assert after.incarnation != before.incarnation


async def test_a_change_before_the_wait_is_not_missed(bench: Bench) -> None:
    await bench.started()
    await bench.runtime.stop("alice", PATIENCE_SECONDS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await bench.runtime.changed()


async def test_without_a_change_the_wait_goes_on(bench: Bench) -> None:
    await bench.started()
    waiting = asyncio.create_task(bench.runtime.changed())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


async def test_a_cancelled_wait_loses_no_change(bench: Bench) -> None:
    await bench.started()
    waiting = asyncio.create_task(bench.runtime.changed())
    await asyncio.sleep(0)
    waiting.cancel()
    await bench.end_with_status_three("alice")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await bench.runtime.changed()


async def test_logs_are_the_last_lines_oldest_first(bench: Bench) -> None:
    await bench.started()
    assert await bench.runtime.logs("alice", 2) == ["second line", "ready"]


async def test_logs_outlive_the_box(bench: Bench) -> None:
    await bench.started()
    await bench.runtime.stop("alice", PATIENCE_SECONDS)
    assert await bench.runtime.logs("alice", 1) == ["ready"]


@pytest.mark.parametrize("name", ["nobody", "../alice"])
async def test_nobody_has_no_logs(bench: Bench, name: str) -> None:
    await bench.started()
    assert await bench.runtime.logs(name, 10) == []


async def test_starts_and_stops_at_the_same_time_end_in_one_clear_state(bench: Bench) -> None:
    async def repeat(name: str) -> None:
        for _ in range(3):
            await bench.runtime.start(bench.spec(name))
            await bench.runtime.stop(name, 0)

    await asyncio.gather(repeat("alice"), repeat("bob"), repeat("alice"))
    assert await bench.runtime.observe() == {}


async def test_a_runtime_says_what_keeps_boxes_apart(bench: Bench) -> None:
    assert bench.runtime.isolation == bench.isolation

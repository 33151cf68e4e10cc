"""Bubblewrap boxes for tests: whom they run as, which Python they can read, where a hive may lie.

As root, boxes run as an ordinary user: ``hyperhive`` if there is one, else ``hivetest``, which CI
creates. That user may be unable to read the Python of the tests, or pytest's own directories; then
the system's Python serves, and a hive lies in a directory that everyone can pass through.
"""

import asyncio
import json
import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import hyperhive
from hyperhive.domain.actors import Role
from hyperhive.domain.confinement import BUBBLEWRAP, Confinement
from hyperhive.domain.errors import HiveError
from hyperhive.domain.instances import BoxSpec, Instance, Phase
from hyperhive.domain.paths import HivePaths
from hyperhive.runtimes.bubblewrap import BubblewrapLauncher, BubblewrapRuntime
from hyperhive.runtimes.clocks import SystemClock
from hyperhive.runtimes.closures import Closure, of_interpreter
from hyperhive.runtimes.limits import RlimitHolder
from hyperhive.runtimes.local import LocalRuntime
from hyperhive.runtimes.users import User, box_user

PATIENCE_SECONDS = 20.0
TEST_USERS = ("hyperhive", "hivetest")
SYSTEM_PYTHON = "/usr/bin/python3"
SOURCES = Path(hyperhive.__file__).parent.parent


@dataclass(frozen=True)
class Walls:
    """What makes boxes here, or ``fault``, why nothing does."""

    user: str | None = None
    python: str = sys.executable
    closure: Closure = field(default_factory=Closure)
    fault: str | None = None

    def runtime(self, paths: HivePaths, operator: str = "") -> BubblewrapRuntime:
        """Give a runtime whose boxes can run `python`."""
        return BubblewrapRuntime(
            paths, SystemClock(), user=self.user, closure=self.closure, operator=operator
        )

    @property
    def identity(self) -> User:
        """Whom its boxes run as."""
        return box_user(self.user)

    def module(self, name: str, *arguments: str) -> tuple[str, ...]:
        """Give the command that runs a module of Hyperhive in a box."""
        return ("env", f"PYTHONPATH={SOURCES}", self.python, "-P", "-m", name, *arguments)


@cache
def walls() -> Walls:
    """Find out what makes boxes on this machine."""
    names = [entry.pw_name for entry in pwd.getpwall()]
    user = None
    if os.geteuid() == 0:
        user = next((name for name in TEST_USERS if name in names), None)
        if user is None:
            return Walls(fault=f"root needs an ordinary user for boxes: {' or '.join(TEST_USERS)}")
    own = of_interpreter()
    packages = tuple(path for path in own.paths if path.name in {"hyperhive", "h11"})
    candidates = (
        Walls(user, sys.executable, own),
        Walls(user, SYSTEM_PYTHON, replace(own, paths=packages, search=())),
    )
    fault = None
    for made in candidates:
        try:
            launcher = BubblewrapLauncher(made.identity, made.closure, RlimitHolder())
            launcher.try_out(made.python)
        except (HiveError, OSError) as error:
            fault = fault or str(error)
        else:
            return made
    return Walls(fault=fault)


def require_walls() -> Walls:
    """Give what makes boxes, or skip the test with the reason."""
    found = walls()
    if found.fault is not None:
        pytest.skip(found.fault)
    return found


class Boxes:
    """A hive's directories, and boxes in them that run a script each."""

    def __init__(self, walls: Walls, directory: Path) -> None:
        self.walls = walls
        self.directory = directory
        self.paths = HivePaths(directory / "state", directory / "run")
        self.runtime: LocalRuntime = walls.runtime(self.paths)

    def spec(self, name: str, *argv: str, role: Role = Role.WORKER, **confinement: Any) -> BoxSpec:
        """Declare a box."""
        closed = Confinement(BUBBLEWRAP, **confinement)
        return BoxSpec(
            name, role, argv, self.paths.state_dir, self.paths.run_dir, confinement=closed
        )

    def python(self, script: str, *arguments: str) -> tuple[str, ...]:
        """Give the command that runs a script."""
        return (self.walls.python, "-S", "-E", "-c", script, *arguments)

    async def tells(self, name: str, script: str, *arguments: str, **declared: Any) -> Any:
        """Run a script in a box to its end, and give what its last line says in JSON."""
        return await self.says(self.spec(name, *self.python(script, *arguments), **declared))

    async def says(self, spec: BoxSpec) -> Any:
        """Run a box to its end, and give what its last line says in JSON."""
        await self.runtime.start(spec)
        await self.failed(spec.name)
        said = await self.runtime.logs(spec.name, 20)
        await self.runtime.stop(spec.name, 0)
        try:
            return json.loads(said[-1])
        except (IndexError, ValueError):
            raise AssertionError("\n".join(said)) from None

    async def failed(self, name: str) -> Instance:
        """Wait until a box has ended by itself."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (box := (await self.runtime.observe())[name]).phase is not Phase.FAILED:
                await self.runtime.changed()
        return box

    async def line(self, name: str) -> str:
        """Wait for a box's first line of output."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (lines := await self.runtime.logs(name, 1)):  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.01)
        return lines[0]

    def operate(self, operator: str) -> None:
        """Let the boxes that start from now on be told where the operator's page is."""
        self.runtime.close()
        self.runtime = self.walls.runtime(self.paths, operator)

    async def close(self) -> None:
        """End all boxes."""
        for name in await self.runtime.observe():
            await self.runtime.stop(name, 0)
        self.runtime.close()


@asynccontextmanager
async def some_boxes() -> AsyncIterator[Boxes]:
    """Give a hive's directories with nothing in them; skips where no box can be made."""
    walls = require_walls()
    with open_directory() as directory:
        boxes = Boxes(walls, directory)
        try:
            yield boxes
        finally:
            await boxes.close()


@contextmanager
def open_directory() -> Iterator[Path]:
    """Give a directory that an ordinary user can pass through, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="hyperhive-", dir="/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)

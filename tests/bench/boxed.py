"""Hives that start their agents themselves: `hyperhive up`, in processes or in bubblewrap boxes.

Boxes run as an ordinary user, so where that is needed he runs the whole hive, as the demo's tests
have it. What no box can be made for is `Skipped`, with the reason.
"""

import os
import pwd
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from hyperhive.client import OperatorClient
from hyperhive.domain.paths import HivePaths
from hyperhive.runtimes import processes
from hyperhive.runtimes.records import Records
from tests.bench.hives import Declared, declared
from tests.bench.measure import Skipped
from tests.demos import Player, boxed_player

KINDS: Final = ("process", "bubblewrap")
READY_SECONDS: Final = 180.0
STOP_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.02
_ROOMS: Final = ExitStack()


@dataclass(frozen=True, slots=True)
class Upped:
    """A hive whose server runs its agents; ``begun`` is when it was started, since the epoch."""

    hive: Declared
    pid: int
    begun: float

    def ready(self) -> dict[str, float]:
        """Wait until every agent is ready, and give when each became so."""
        ends = time.monotonic() + READY_SECONDS
        with OperatorClient(self.hive.admin_socket) as operator:
            while time.monotonic() < ends:
                agents = operator.state()["agents"]
                if all(agent["state"] == "ready" for agent in agents):
                    return {agent["name"]: agent["since"] for agent in agents}
                if any(agent["state"] in ("backing_off", "crashed") for agent in agents):
                    break
                time.sleep(LOOK_SECONDS * 5)
        states = ", ".join(f"{a['name']} {a['state']} ({a['reason']})" for a in agents)
        raise RuntimeError(f"Not all became ready: {states}.")

    def box(self, agent: str) -> list[int]:
        """Give all processes of an agent's box, those that make its walls included."""
        paths = HivePaths(self.hive.state_dir, self.hive.run_dir)
        record = Records(paths.records).read(agent)
        if record is None or not record.pid:
            raise RuntimeError(f"{agent} has no box.")
        parents = processes.parents()
        found = [record.pid]
        for one in found:
            found += [child for child, parent in parents.items() if parent == one]
        return found


@contextmanager
def up(agents: int, where: Path, kind: str) -> Iterator[Upped]:
    """Start a new hive and its agents; it has said that it is up, until the block is left."""
    player = Player() if kind == "process" else _player()
    with (
        declared(agents, where, runtime=kind, command=["true"]) as hive,
        (hive.path.parent / "up.log").open("w+") as log,
    ):
        begun = time.time()
        process = _start(player, hive, log.fileno())
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                process.wait(STOP_SECONDS)
                log.seek(0)
                raise RuntimeError(f"The hive did not start: {log.read()[-2000:]}")
            yield Upped(hive, process.pid, begun)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def _start(player: Player, hive: Declared, log: int) -> subprocess.Popen[str]:
    place = hive.path.parent
    user = None if player.user is None else pwd.getpwnam(player.user)
    if user is not None:
        os.chown(place, user.pw_uid, user.pw_gid)
    return subprocess.Popen(
        [player.python, "-m", "hyperhive.cli.main", "up", "--config", str(hive.path)],
        cwd="/",
        env={**os.environ, **({"HOME": str(place)} if user is not None else {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        user=None if user is None else user.pw_uid,
        group=None if user is None else user.pw_gid,
        extra_groups=None if user is None else [],
    )


@cache
def _player() -> Player:
    room = Path(_ROOMS.enter_context(tempfile.TemporaryDirectory(prefix="player-")))
    room.chmod(0o755)
    try:
        return boxed_player(room)
    except pytest.skip.Exception as reason:
        raise Skipped(str(reason)) from None

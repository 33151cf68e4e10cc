"""FORGE: the embedded forge provisioned for 50 agents, and looked at again with nothing to do; a
push of 100 MB, and 50 clones at once of what was pushed.

Bars: 20 s from nothing, 2 s for the second pass; the server has 150 MiB at most meanwhile.
"""

import asyncio
import json
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from hyperhive import config
from hyperhive.bootstrap import running
from hyperhive.client import OperatorClient
from hyperhive.config import Forge, ForgeKind
from hyperhive.domain.paths import HivePaths
from hyperhive.forge.client import ForgeClient
from tests.bench.hives import Running, declared, served
from tests.bench.measure import MEBIBYTE, Figure, Scale, peak_bytes

AGENTS: Final = 50
PATIENCE_SECONDS: Final = 120.0


def figures(scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    agents = scale.pick(AGENTS, 3)
    with declared(agents, where) as hive:
        first, second = asyncio.run(_provision(hive.path))
    megabytes, clones = scale.pick(100, 5), scale.pick(50, 5)
    with declared(2, where) as hive:
        with hive.path.open("a") as file:
            file.write('[forge]\nkind = "embedded"\n')
        with served(hive) as server:
            push, clone, peak = _git(server, megabytes, clones)
    return [
        Figure("FORGE", f"{agents} agents from nothing", first, "s", at_most=20),
        Figure("FORGE", f"{agents} agents, nothing to do", second, "s", at_most=2),
        Figure("FORGE", f"a push of {megabytes} MB", push, "s"),
        Figure("FORGE", f"{clones} clones of it at once", clone, "s"),
        Figure("FORGE", "server, at most meanwhile", peak, "MiB", at_most=150),
    ]


def _git(server: Running, megabytes: int, clones: int) -> tuple[float, float, float]:
    """Push so much, clone it so often at once: seconds of both, and the server's peak in MiB."""
    paths = HivePaths(server.hive.state_dir, server.hive.run_dir)
    agent, room = server.hive.agents[0], server.hive.path.parent / "git"
    with OperatorClient(paths.admin_socket) as operator:
        until = time.monotonic() + PATIENCE_SECONDS
        while (found := operator.forge()["forge"]) is None or found["state"] != "ready":
            if time.monotonic() > until:
                raise RuntimeError(f"The forge is not ready: {found}")
            time.sleep(0.05)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(room),
        "GIT_CONFIG_SYSTEM": str(paths.run(agent) / "gitconfig"),
        "GIT_TERMINAL_PROMPT": "0",
    }

    def git(*arguments: str, place: str = "") -> None:
        subprocess.run(
            ["git", *arguments], cwd=room / place, env=environment, check=True, capture_output=True
        )

    room.mkdir()
    docs = json.loads((paths.run(agent) / "forge.json").read_text())["url"] + "/org-shared/docs"
    git("clone", "-q", docs, "work")
    (room / "work" / "big").write_bytes(os.urandom(megabytes * 1_000_000))
    git("add", "big", place="work")
    git("commit", "-q", "-m", "big", place="work")
    begun = time.perf_counter()
    git("push", "-q", "origin", "HEAD:big", place="work")
    pushed = time.perf_counter() - begun

    def clone(number: int) -> None:
        git("clone", "-q", "-b", "big", docs, f"clone-{number}")
        shutil.rmtree(room / f"clone-{number}")

    begun = time.perf_counter()
    with ThreadPoolExecutor(clones) as pool:
        list(pool.map(clone, range(clones)))
    return pushed, time.perf_counter() - begun, peak_bytes(server.pid) / MEBIBYTE


async def _provision(path: Path) -> tuple[float, float]:
    begun, hive = time.perf_counter(), config.load(path)
    hive = hive.model_copy(update={"forge": Forge(kind=ForgeKind.EMBEDDED)})
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        running(hive, with_agents=False, forge=ForgeClient) as run,
    ):
        while run.forge.state == "starting":  # noqa: ASYNC110 - nothing rings
            await asyncio.sleep(0.01)
        if run.forge.state != "ready":
            raise RuntimeError(f"The forge is {run.forge.state}: {run.forge.reason}")
        first, begun = time.perf_counter() - begun, time.perf_counter()
        assert run.declaring.plan_forge is not None
        if (await run.declaring.plan_forge(None)).actions:
            raise RuntimeError("A forge that was just provisioned needs something.")
        return first, time.perf_counter() - begun

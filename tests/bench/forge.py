"""FORGE: the embedded forge provisioned for 50 agents, and looked at again with nothing to do.

Bars: 20 s from nothing, 2 s for the second pass.
"""

import asyncio
import time
from pathlib import Path
from typing import Final

from hyperhive import config
from hyperhive.bootstrap import running
from hyperhive.config import Forge, ForgeKind
from hyperhive.forge.client import ForgeClient
from tests.bench.hives import declared
from tests.bench.measure import Figure, Scale

AGENTS: Final = 50
PATIENCE_SECONDS: Final = 120.0


def figures(scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    agents = scale.pick(AGENTS, 3)
    with declared(agents, where) as hive:
        first, second = asyncio.run(_provision(hive.path))
    return [
        Figure("FORGE", f"{agents} agents from nothing", first, "s", at_most=20),
        Figure("FORGE", f"{agents} agents, nothing to do", second, "s", at_most=2),
    ]


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

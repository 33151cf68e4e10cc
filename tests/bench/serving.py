"""``python -m tests.bench.serving --config FILE``: the server with one more tool, ``noop``.

What ``noop`` costs is what any tool call costs: the baseline for those that do something.
"""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

from hyperhive import config
from hyperhive.bootstrap import forge_of, running
from hyperhive.surfaces.mcp.calls import Call
from hyperhive.surfaces.mcp.tool import Tool
from hyperhive.surfaces.mcp.tools import Nothing


async def _noop(_call: Call, _given: Nothing) -> dict[str, Any]:
    return {}


async def _serve(path: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    hive = config.load(path)
    async with running(hive, with_agents=False, forge=forge_of(hive)) as run:
        run.toolbox.tools["noop"] = Tool("noop", "Do nothing.", Nothing, _noop)
        print("ready", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[sys.argv.index("--config") + 1])))

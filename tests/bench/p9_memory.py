"""P9: memory of the server with 50 agents, and of a harness.

Fifty harnesses are connected and wait for work; every agent has listed its tools and sent 40
messages over MCP, and the page's snapshot has been taken. The harness is a real one, after a turn
with the `command` driver. Resident memory counts, shared libraries included; the proportional
share (PSS) is beside it where many harnesses share their pages. In a bubblewrap box the harness
counts with the processes that make its walls.

Bars: 150 MB and 40 MB, in MiB; the harness's holds for a whole box, too.
"""

import asyncio
import subprocess
from pathlib import Path

from hyperhive.client import OperatorClient
from tests.bench.boxed import up
from tests.bench.harnesses import connected
from tests.bench.hives import Running, box_environment, declared, program, served, worker
from tests.bench.measure import (
    MEBIBYTE,
    Figure,
    Scale,
    Skipped,
    proportional_bytes,
    resident_bytes,
    total_bytes,
)
from tests.bench.wires import Wire, tool_call

AGENTS = 50
SENDS = 40


def figures(scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    with declared(AGENTS, where) as hive, served(hive) as server:
        started = resident_bytes(server.pid)
        busy = asyncio.run(_work(server, scale.pick(SENDS, 5)))
    with declared(2, where) as hive, served(hive) as server:
        harness, share = _harness(server)
    return [
        Figure("P9", f"server, {AGENTS} agents connected, after work", busy, "MiB", at_most=150),
        Figure("P9", "server, just started", started / MEBIBYTE, "MiB"),
        Figure("P9", "harness, after a turn", harness, "MiB", at_most=40),
        Figure("P9", "harness, its proportional share", share, "MiB"),
        _boxed(where),
    ]


async def _work(server: Running, sends: int) -> float:
    hive = server.hive
    send = tool_call("send", {"to": "operator", "body": "x" * 500})

    async def work(agent: str) -> None:
        wire = await Wire.open(hive.socket(agent))
        await wire.call(b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}')
        for _ in range(sends):
            await wire.call(send)
        wire.close()

    async with connected(hive):
        await asyncio.gather(*(work(agent) for agent in hive.agents))
        with OperatorClient(hive.admin_socket) as operator:
            await asyncio.to_thread(operator.state)
        return resident_bytes(server.pid) / MEBIBYTE


def _harness(server: Running) -> tuple[float, float]:
    """Run a harness for one turn and give its resident memory and its share, in MiB."""
    with OperatorClient(server.hive.admin_socket) as operator:
        state = operator.state()
        harness = subprocess.Popen(
            [*program(), "agent"],
            stderr=subprocess.DEVNULL,
            env=box_environment(server.hive, worker(1)),
        )
        try:
            _run_turn(operator, state["seq"], state["epoch"])
            pid = harness.pid
            return resident_bytes(pid) / MEBIBYTE, proportional_bytes(pid) / MEBIBYTE
        finally:
            harness.terminate()
            harness.wait()


def _boxed(where: Path) -> Figure:
    what = "a whole bubblewrap box, after a turn"
    try:
        with up(2, where, "bubblewrap") as started:
            started.ready()
            with OperatorClient(started.hive.admin_socket) as operator:
                state = operator.state()
                _run_turn(operator, state["seq"], state["epoch"])
            pids = started.box(worker(1))
            used = total_bytes(pids) / MEBIBYTE
            return Figure("P9", f"{what}: {len(pids)} processes", used, "MiB", at_most=40)
    except Skipped as reason:
        return Figure.skip("P9", what, reason)


def _run_turn(operator: OperatorClient, seq: int, epoch: str) -> None:
    operator.send(worker(1), "Do nothing, and end well.")
    for event in operator.events(after=seq, epoch=epoch):
        if event["kind"] == "turn_ended":
            if event["data"]["outcome"] != "ok":
                raise RuntimeError(f"The turn did not end well: {event['data']}.")
            return

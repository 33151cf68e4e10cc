"""P3: from ``send`` to the return of a ``recv`` that waits, with 100 agents waiting.

Each of 100 agents holds a ``recv`` open on its own socket. The manager sends to one after the
other; timed is from before the request is written until the receiver has its message, commit,
wake-up and lease in between. The receiver confirms and waits again, and has the time of another
call to do so before the next message is sent. Baseline: `echoing`, a bare asyncio server on Unix
sockets, where a line on one connection sets an event that one of 100 others waits for.

Bar: p50 at most 5 ms, p99 at most 20 ms.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.hives import MANAGER, ROOT, Declared, declared, served
from tests.bench.measure import Figure, Scale, milliseconds, undisturbed
from tests.bench.wires import Answer, Wire, result, tool_call

WAITING = 100
RECV = tool_call("recv", {"wait_seconds": 50})
LOOK = tool_call("whoami", {})


def figures(scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    rounds = scale.pick(3000, 100)
    with declared(WAITING + 1, where) as hive, served(hive):
        ours = asyncio.run(_wakeups(hive, rounds))
    bare = _bare(rounds, where)
    return [
        Figure(
            "P3",
            f"send to a waiting recv, {WAITING} waiting, p50 (baseline: bare asyncio)",
            milliseconds(ours, 0.5),
            "ms",
            milliseconds(bare, 0.5),
            at_most=5,
        ),
        Figure(
            "P3",
            "the same, p99",
            milliseconds(ours, 0.99),
            "ms",
            milliseconds(bare, 0.99),
            at_most=20,
        ),
    ]


async def _wakeups(hive: Declared, rounds: int) -> list[float]:
    sender = await Wire.open(hive.socket(MANAGER))
    workers = hive.agents[1:]
    wires = [await Wire.open(hive.socket(name)) for name in workers]
    waiting = [asyncio.create_task(_timed(wire)) for wire in wires]
    for _ in workers:
        await sender.call(LOOK)
    times: list[float] = []
    with undisturbed():
        for number in range(rounds):
            at = number % WAITING
            send = tool_call("send", {"to": workers[at], "body": f"message {number}"})
            begun = time.perf_counter()
            sending = asyncio.create_task(sender.call(send))
            answer, arrived = await waiting[at]
            times.append(arrived - begun)
            await sending
            if result(answer)["messages"][0]["body"] != f"message {number}":
                raise RuntimeError("A message went astray.")
            await wires[at].confirm(answer)
            waiting[at] = asyncio.create_task(_timed(wires[at]))
            await sender.call(LOOK)
    for task in waiting:
        task.cancel()
    for wire in (sender, *wires):
        wire.close()
    return times


async def _timed(wire: Wire) -> tuple[Answer, float]:
    answer = await wire.call(RECV)
    return answer, time.perf_counter()


def _bare(rounds: int, where: Path) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="bare-", dir=where) as directory:
        socket = Path(directory) / "bare.sock"
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.echoing", str(socket)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            process.stdout.readline()
            return asyncio.run(_bare_wakeups(socket, rounds))
        finally:
            process.terminate()
            process.communicate()


async def _bare_wakeups(socket: Path, rounds: int) -> list[float]:
    waiting = []
    for number in range(WAITING):
        reader, writer = await asyncio.open_unix_connection(str(socket))
        writer.write(b"wait %d\n" % number)
        await reader.readline()
        waiting.append((reader, writer))
    _, sender = await asyncio.open_unix_connection(str(socket))
    times: list[float] = []
    with undisturbed():
        for number in range(rounds):
            begun = time.perf_counter()
            sender.write(b"ring %d\n" % (number % WAITING))
            await waiting[number % WAITING][0].readline()
            times.append(time.perf_counter() - begun)
    for _, writer in waiting:
        writer.close()
    sender.close()
    return times

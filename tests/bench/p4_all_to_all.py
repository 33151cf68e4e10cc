"""P4: 30 agents send 5 messages each at once, all to all, over MCP.

Every agent has two connections: on one it sends to five others, one message after the other, on
the other it waits with ``recv`` and confirms what it gets, as a bridge does. Timed is each message
from before its request is written until its receiver has it. All agents begin together, so the
server has 30 sends to do at any time; rounds are repeated for a percentile that means something,
after one that does not count.

Bar: 150 of 150 arrive, p99 at most 100 ms. (A published peer's took 6.8 s.)
"""

import asyncio
import time
from pathlib import Path

from tests.bench.hives import Declared, declared, served
from tests.bench.measure import Figure, Scale, milliseconds, undisturbed
from tests.bench.wires import Wire, result, tool_call

AGENTS = 30
EACH = 5
RECV = tool_call("recv", {"wait_seconds": 50, "max": 32})
ROUND_SECONDS = 60.0


def figures(scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    rounds = scale.pick(20, 1)
    with declared(AGENTS, where) as hive, served(hive):
        times, calls = asyncio.run(_rounds(hive, rounds))
    lost = rounds * AGENTS * EACH - len(times)
    return [
        Figure(
            "P4",
            f"messages of {AGENTS * EACH} that did not arrive, {rounds} rounds",
            lost,
            "lost",
            at_most=0,
        ),
        Figure(
            "P4", "send to received, all to all, p99", milliseconds(times, 0.99), "ms", at_most=100
        ),
        Figure("P4", "the same, p50", milliseconds(times, 0.5), "ms"),
        Figure("P4", "the send's own answer, p99", milliseconds(calls, 0.99), "ms"),
    ]


async def _rounds(hive: Declared, rounds: int) -> tuple[list[float], list[float]]:
    senders = [await Wire.open(hive.socket(name)) for name in hive.agents]
    receivers = [await Wire.open(hive.socket(name)) for name in hive.agents]
    times: list[float] = []
    calls: list[float] = []
    sent: dict[str, float] = {}
    got = asyncio.Event()

    async def send(agent: int, turn: int) -> None:
        for number in range(EACH):
            to = hive.agents[(agent + 1 + turn + number * 5) % AGENTS]
            to = to if to != hive.agents[agent] else hive.agents[(agent + 1) % AGENTS]
            body = f"{turn}-{agent}-{number}"
            request = tool_call("send", {"to": to, "body": body})
            sent[body] = time.perf_counter()
            await senders[agent].call(request)
            calls.append(time.perf_counter() - sent[body])

    async def receive(wire: Wire) -> None:
        while True:
            answer = await wire.call(RECV)
            now = time.perf_counter()
            times.extend(now - sent.pop(m["body"]) for m in result(answer)["messages"])
            got.set()
            await wire.confirm(answer)

    with undisturbed():
        async with asyncio.TaskGroup() as group:
            receiving = [group.create_task(receive(wire)) for wire in receivers]
            for turn in range(-1, rounds):
                async with asyncio.timeout(ROUND_SECONDS):
                    await asyncio.gather(*(send(agent, turn) for agent in range(AGENTS)))
                    while sent:
                        got.clear()
                        await got.wait()
                if turn < 0:
                    times.clear()
                    calls.clear()
            for task in receiving:
                task.cancel()
    for wire in (*senders, *receivers):
        wire.close()
    return times, calls

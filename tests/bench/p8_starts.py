"""P8: cold starts, each a new process, from its start until it is of use.

`hyperhive --help` until it has ended; the bridge until it has answered `tools/list` from a running
server; the harness until the server counts its agent as ready; the server, with 50 agents and a
new state directory, until it has printed the page's address. Baseline: bare Python that does
nothing. They take turns; the medians count. Files are in the system's cache.

And an agent that the hive itself starts, from the operator's word until it is ready, in a
bubblewrap box; baseline: the same in a process.

Bars: 0.2 s, 0.15 s, 0.3 s, 3 s; the harness's holds in a box, too.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hyperhive.client import OperatorClient
from tests.bench.boxed import LOOK_SECONDS, READY_SECONDS, Upped, up
from tests.bench.hives import Declared, box_environment, declared, program, served, worker
from tests.bench.measure import Figure, Scale, Skipped

SERVER_AGENTS = 50
LIST_TOOLS = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}\n'


def figures(scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    runs = scale.pick(20, 2)
    with declared(2, where) as hive, served(hive):
        starts: dict[str, Callable[[], float]] = {
            "bare": _bare,
            "help": _help,
            "bridge": lambda: _bridge(hive),
            "harness": lambda: _harness(hive),
        }
        for start in starts.values():
            start()
        times = {name: list[float]() for name in starts}
        for _ in range(runs):
            for name, start in starts.items():
                times[name].append(start())
    servers = [_server(where) for _ in range(scale.pick(5, 1))]
    bare = statistics.median(times["bare"])
    return [
        Figure("P8", f"start: {what}", statistics.median(took), "s", bare, at_most=bar)
        for what, took, bar in (
            ("hyperhive --help (baseline: bare Python)", times["help"], 0.2),
            ("bridge, first answer", times["bridge"], 0.15),
            ("harness, agent ready", times["harness"], 0.3),
            (f"server, {SERVER_AGENTS} agents, new database", servers, 3),
        )
    ] + [_boxed(where, scale.pick(10, 1))]


def _boxed(where: Path, runs: int) -> Figure:
    what = "start: an agent in a bubblewrap box, ready (baseline: in a process)"
    try:
        with up(2, where, "bubblewrap") as boxed, up(2, where, "process") as bare:
            boxed.ready()
            bare.ready()
            took = [(_agent(boxed), _agent(bare)) for _ in range(runs)]
    except Skipped as reason:
        return Figure.skip("P8", what, reason)
    in_box, in_process = (statistics.median(times) for times in zip(*took, strict=True))
    return Figure("P8", what, in_box, "s", in_process, at_most=0.3)


def _agent(started: Upped) -> float:
    """Stop a worker, start it, and give the seconds from then until it is ready."""
    with OperatorClient(started.hive.admin_socket) as operator:
        operator.stop(worker(1))
        _since(operator, "stopped")
        begun = time.time()
        operator.start(worker(1))
        return _since(operator, "ready") - begun


def _since(operator: OperatorClient, state: str) -> float:
    ends = time.monotonic() + READY_SECONDS
    while time.monotonic() < ends:
        found = next(a for a in operator.state()["agents"] if a["name"] == worker(1))
        if found["state"] == state:
            return float(found["since"])
        time.sleep(LOOK_SECONDS)
    raise RuntimeError(f"{worker(1)} did not become {state}, but is {found['state']}.")


def _bare() -> float:
    return _until_ended([sys.executable, "-c", "pass"])


def _help() -> float:
    return _until_ended([*program(), "--help"])


def _until_ended(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def _bridge(hive: Declared) -> float:
    begun = time.perf_counter()
    bridge = subprocess.Popen(
        [*program(), "mcp"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=box_environment(hive, worker(1)),
    )
    assert bridge.stdin is not None
    assert bridge.stdout is not None
    bridge.stdin.write(LIST_TOOLS)
    bridge.stdin.flush()
    line = bridge.stdout.readline()
    took = time.perf_counter() - begun
    bridge.communicate()
    if b'"tools"' not in line:
        raise RuntimeError(f"The bridge answered {line!r}.")
    return took


def _harness(hive: Declared) -> float:
    with OperatorClient(hive.admin_socket) as operator:
        state = operator.state()
        begun = time.perf_counter()
        harness = subprocess.Popen(
            [*program(), "agent"],
            stderr=subprocess.DEVNULL,
            env=box_environment(hive, worker(1)),
        )
        took = 0.0
        for event in operator.events(after=state["seq"], epoch=state["epoch"]):
            if event["kind"] == "agent_state_changed":
                if event["data"]["state"] == "ready":
                    took = time.perf_counter() - begun
                    harness.terminate()
                elif took:
                    break
        harness.wait()
    return took


def _server(where: Path) -> float:
    with declared(SERVER_AGENTS, where) as hive:
        begun = time.perf_counter()
        with served(hive):
            return time.perf_counter() - begun

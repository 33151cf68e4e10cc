"""Hives to measure: a declaration in a directory of its own, and its server as a process.

The server is the product's own, started as an operator starts it; `serving` is the same with a
tool that does nothing. It is ready when its page's address has been printed.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
MANAGER: Final = "queen"
SERVE: Final = ("-m", "hyperhive.cli.main", "serve")
SERVE_WITH_NOOP: Final = (
    "-m",
    "tests.bench.serving",
)
START_SECONDS: Final = 60.0
NOTHING: Final = (sys.executable, "-c", "0")


def program() -> list[str]:
    """Give the installed command, or the module it runs where that is not beside Python."""
    beside = Path(sys.executable).parent / "hyperhive"
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "hyperhive.cli.main"]


def worker(number: int) -> str:
    """Name a worker."""
    return f"w{number:03}"


@dataclass(frozen=True, slots=True)
class Declared:
    """A declaration on disk: a manager and some workers."""

    path: Path
    state_dir: Path
    run_dir: Path
    agents: tuple[str, ...]

    @property
    def admin_socket(self) -> Path:
        """Where the operator's API is."""
        return self.run_dir / "admin.sock"

    def socket(self, agent: str) -> Path:
        """Where an agent reaches the hive."""
        return self.run_dir / "agents" / agent / "agent.sock"


@dataclass(frozen=True, slots=True)
class Running:
    """A hive whose server runs as a process."""

    hive: Declared
    pid: int


@contextmanager
def declared(
    agents: int, where: Path, *, runtime: str = "process", command: Sequence[str] = NOTHING
) -> Iterator[Declared]:
    """Declare a hive of so many agents in a new directory below ``where``.

    Their turns run a program that does nothing.
    """
    with tempfile.TemporaryDirectory(prefix="hive-", dir=where) as made:
        directory = Path(made)
        names = (MANAGER, *(worker(number) for number in range(1, agents)))
        lines = [
            'stateDir = "state"\nrunDir = "run"\n[operator]\nport = 0\n',
            # What is measured is how fast the hive is, not how much it grants.
            "[quotas]\nmessagesPerMinute = 1000000\nbroadcastsPerMinute = 1000000\n",
            *(_agent(name, runtime, command) for name in names),
        ]
        path = directory / "hive.toml"
        path.write_text("".join(lines))
        yield Declared(path, directory / "state", directory / "run", names)


@contextmanager
def served(hive: Declared, command: Sequence[str] = SERVE) -> Iterator[Running]:
    """Run a hive's server, ready, until the block is left."""
    process = subprocess.Popen(
        [sys.executable, *command, "--config", str(hive.path)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            _, said = process.communicate()
            raise RuntimeError(f"The server did not start: {said[-2000:]}")
        yield Running(hive, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def box_environment(hive: Declared, agent: str) -> dict[str, str]:
    """Give the environment in which a harness or a bridge of this agent runs."""
    state = hive.state_dir / "bench" / agent
    state.mkdir(parents=True, exist_ok=True)
    return {
        **os.environ,
        "HYPERHIVE_SOCKET": str(hive.socket(agent)),
        "HYPERHIVE_AGENT": agent,
        "HYPERHIVE_STATE": str(state),
    }


def _agent(name: str, runtime: str, command: Sequence[str]) -> str:
    role = "manager" if name == MANAGER else "worker"
    return (
        f'[agents.{name}]\nrole = "{role}"\nruntime = "{runtime}"\n'
        f'driver = {{ kind = "command", command = {json.dumps(command)} }}\n'
    )

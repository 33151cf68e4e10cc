"""A fake hive on a socket, and the processes under test, ended with each test."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.fake_server import WAIT_SECONDS, FakeServer

BRIDGE = [sys.executable, "-P", "-m", "hyperhive.harness.bridge"]
HARNESS = [sys.executable, "-P", "-m", "hyperhive.harness"]


@pytest.fixture
def box() -> Iterator[Path]:
    """A directory with a path short enough for a socket in it."""
    directory = Path(tempfile.mkdtemp(prefix="hh-"))
    (directory / "state").mkdir()
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def environment(box: Path) -> dict[str, str]:
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("HYPERHIVE_")},
        "HYPERHIVE_SOCKET": str(box / "socket"),
        "HYPERHIVE_AGENT": "alice",
        "HYPERHIVE_STATE": str(box / "state"),
        "HOME": str(box),
    }


@pytest.fixture
def hive(box: Path) -> Iterator[FakeServer]:
    server = FakeServer(box / "socket")
    server.start()
    yield server
    server.stop()


class BridgeClient:
    """An MCP client with a bridge of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            BRIDGE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        self._buffer = b""

    def write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)

    def send(self, method: str, id: object = None, **params: Any) -> None:  # noqa: A002
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        self.write(json.dumps(message | ({} if id is None else {"id": id})).encode() + b"\n")

    def answer(self, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """Return the next line, parsed."""
        assert self.process.stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = max(0.0, until - time.monotonic())
            assert select.select([self.process.stdout], [], [], left)[0], "no answer in time"
            chunk = os.read(self.process.stdout.fileno(), 65536)
            assert chunk, "the bridge ended"
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> int:
        """Close standard input and return the exit status."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            return self.process.wait(WAIT_SECONDS)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


@pytest.fixture
def bridge(environment: dict[str, str]) -> Iterator[BridgeClient]:
    client = BridgeClient({**environment, "HYPERHIVE_TURN": "42"})
    yield client
    client.close()


StartHarness = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def start_harness(environment: dict[str, str], box: Path) -> Iterator[StartHarness]:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        with (box / "harness.log").open("ab") as log:
            process = subprocess.Popen(HARNESS, env=environment, stderr=log)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(WAIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    sys.stdout.write((box / "harness.log").read_text() if started else "")

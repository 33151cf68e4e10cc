"""A hive of real processes: servers, harnesses and bridges that a test starts, kills and awaits.

Every process started here is kept and ended by its id. What a server or a harness started in its
turn is found by the hive's directory, which no other hive has, in its environment or on its
command line, and what runs in a box by its descent from the process that holds the box together.
"""

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from hyperhive import config
from hyperhive.bootstrap import HARNESS, box_specs
from hyperhive.client import AgentClient, OperatorClient
from hyperhive.client.answers import MessageDetail
from hyperhive.domain.errors import HiveError
from hyperhive.domain.paths import HivePaths
from hyperhive.runtimes import environment, processes
from tests.demos import Player

T = TypeVar("T")

WAIT_SECONDS: Final = 60.0
"""How long a test waits for what should take a moment: the machine may be doing other things."""
_POLL_SECONDS: Final = 0.01
_COMMAND: Final = ("-P", "-m", "hyperhive.cli.main")
_BRIDGE: Final = (sys.executable, "-P", "-m", "hyperhive.harness.bridge")


def until(condition: Callable[[], T | None], what: str, seconds: float = WAIT_SECONDS) -> T:
    """Wait until a condition gives something true, and return that; at most ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(_POLL_SECONDS)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


class Bridge:
    """An MCP client on standard input and output of a real ``hyperhive mcp``."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._last_id = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        client = {"name": "faults", "version": "1"}
        self.request(
            "initialize",
            {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client},
        ).result(WAIT_SECONDS)

    def request(self, method: str, params: Mapping[str, Any]) -> "Future[dict[str, Any]]":
        """Ask, and give what will be the whole JSON-RPC answer."""
        self._last_id += 1
        answer = self._waiting[self._last_id] = Future[dict[str, Any]]()
        asked = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked).encode() + b"\n")
        return answer

    def call(self, tool: str, **arguments: Any) -> "Future[dict[str, Any]]":
        """Use a tool; see `result_of`."""
        return self.request("tools/call", {"name": tool, "arguments": arguments})

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in iter(self.process.stdout.readline, b""):
            answer = json.loads(line)
            # A second answer to a request raises here and leaves the others unanswered.
            self._waiting[answer["id"]].set_result(answer)

    def close(self) -> None:
        """Let the bridge end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(WAIT_SECONDS)
        self.process.kill()
        self.process.wait()
        self._reader.join(WAIT_SECONDS)
        self.process.stdout.close()


def result_of(answer: "Future[dict[str, Any]]", seconds: float = WAIT_SECONDS) -> dict[str, Any]:
    """Wait for a tool's structured result; a refusal fails the test."""
    told = answer.result(seconds)
    assert "result" in told, told
    assert not told["result"].get("isError"), told["result"]
    found: dict[str, Any] = told["result"]["structuredContent"]
    return found


class HiveOfProcesses:
    """A declared hive in a directory of its own; leave the block and nothing of it is left.

    ``drivers`` gives each agent's driver as a TOML table; the first agent is the manager. With a
    ``player`` the server runs as that user and its agents in boxes of bubblewrap; ``settings`` are
    further tables of the declaration. What the processes wrote is in ``output``, and printed when
    the block is left by an error.
    """

    def __init__(
        self, drivers: Mapping[str, str], *, player: Player | None = None, settings: str = ""
    ) -> None:
        # Short, because the path of a socket has room for 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="faults-"))
        self.paths = HivePaths(self.directory / "state", self.directory / "run")
        self.config = self.directory / "hive.toml"
        self.player = player if player is not None else Player()
        self._runtime = "process" if player is None else "bubblewrap"
        if self.player.user is not None:
            os.chown(self.directory, pwd.getpwnam(self.player.user).pw_uid, -1)
        self.declare(drivers, settings)
        self.output = self.directory / "output"
        self._started: list[subprocess.Popen[bytes]] = []
        self._bridges: list[Bridge] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
        until(self._no_stragglers, "the hive's processes are gone")
        for bridge in self._bridges:
            bridge.close()
        if kind is not None:
            self.print_output()
        shutil.rmtree(self.directory)

    def print_output(self) -> None:
        """Show the end of what the processes wrote."""
        for log in (self.output, *sorted(self.paths.logs.glob("*.log"))):
            if log.exists():
                sys.stdout.write(f"--- {log.name}\n{log.read_text(errors='replace')[-20_000:]}\n")

    def serve(self) -> subprocess.Popen[bytes]:
        """Start the server alone."""
        return self.command("serve")

    def up(self) -> subprocess.Popen[bytes]:
        """Start the server with the agents."""
        return self.command("up")

    def command(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start ``hyperhive`` for this hive, as whoever runs it."""
        start = [self.player.python, *_COMMAND, "--config", str(self.config), *arguments]
        return self.run(start, **self.identity())

    def identity(self) -> dict[str, Any]:
        """Say as whom a process of the server is started, in the words of `run`."""
        user = self.player.user
        if user is None:
            return {}
        own = {"HOME": str(self.directory), "PYTHONDONTWRITEBYTECODE": "1"}
        return {"env": {**os.environ, **own}, "user": user}

    def declare(self, drivers: Mapping[str, str], settings: str = "") -> None:
        """Write the declaration, at once, so that nobody reads half of it."""
        new = self.config.with_suffix(".new")
        new.write_text(self._declaration(drivers, settings))
        new.replace(self.config)

    def harness(self, agent: str) -> subprocess.Popen[bytes]:
        """Start an agent's harness as a service manager would, in a session of its own."""
        spec = box_specs(config.load(self.config))[agent]
        environment.make_directories(spec)
        return self.run(
            HARNESS,
            env=environment.environment_of(spec, os.environ),
            cwd=self.paths.state(agent),
            session=True,
        )

    def bridge(self, agent: str) -> Bridge:
        """Start a bridge to an agent's socket, for a client without a harness."""
        with self.output.open("ab") as output:
            process = subprocess.Popen(
                _BRIDGE,
                env={"PATH": os.defpath, "HYPERHIVE_SOCKET": str(self.paths.socket(agent))},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                bufsize=0,
            )
        self._started.append(process)
        self._bridges.append(Bridge(process))
        return self._bridges[-1]

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        session: bool = False,
        user: str | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process that is ended with the hive."""
        with self.output.open("ab") as output:
            process = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd or self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=session,
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
            )
        self._started.append(process)
        return process

    def ready(self, is_running: Callable[[], bool]) -> None:
        """Wait until a server answers on the admin socket, as long as it runs."""
        until(lambda: self._answers(is_running), "the server answers")

    def started(self, server: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Wait until a server that was just started answers, and give it back."""
        self.ready(lambda: server.poll() is None)
        return server

    def operator(self) -> OperatorClient:
        """Give a client of the operator's API, over the admin socket."""
        return OperatorClient(self.paths.admin_socket)

    def agent(
        self, name: str, *, turn: int | None = None, patience_seconds: float = WAIT_SECONDS
    ) -> AgentClient:
        """Give a client of an agent's tools, which outlasts the restarts of a test."""
        socket = self.paths.socket(name)
        return AgentClient(socket, turn=turn, patience_seconds=patience_seconds)

    def state_of(self, agent: str) -> str:
        """Say what the operator sees an agent doing."""
        with self.operator() as operator:
            shown = {each["name"]: str(each["state"]) for each in operator.state()["agents"]}
        return shown[agent]

    def message(self, number: int) -> MessageDetail:
        """Give a message as the operator sees it."""
        with self.operator() as operator:
            return operator.message(number)

    def send(self, to: str, body: str) -> int:
        """Send as the operator and return the message's number."""
        with self.operator() as operator:
            sent = operator.send(to, body)["id"]
        assert sent is not None
        return sent

    def file(self, agent: str, name: str) -> Path:
        """Name a file in an agent's state, where its driver's program runs."""
        return self.paths.state(agent) / name

    def text_of(self, agent: str, name: str) -> str:
        """Wait for a line in such a file and give the file's text."""
        path = self.file(agent, name)
        return until(
            lambda: path.read_text().strip() if path.exists() else "", f"{agent} writes {name}"
        )

    def note_of(self, agent: str) -> dict[str, Any] | None:
        """Read the note of an agent's box; ``None`` where there is none."""
        try:
            found: dict[str, Any] = json.loads((self.paths.records / f"{agent}.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found

    def harness_of(self, agent: str) -> int:
        """Wait for the harness that ``up`` runs for an agent, and give its process."""

        def find() -> int | None:
            note = self.note_of(agent)
            pid = int(note.get("harness_pid") or note["pid"]) if note is not None else 0
            return pid if pid and is_alive(pid) else None

        return until(find, f"the harness of {agent} runs")

    def family_of(self, agent: str) -> set[int]:
        """Find all that lives in an agent's box, and what holds the box together."""
        note = self.note_of(agent)
        return _family({int(note["pid"])}) if note is not None and note["pid"] else set()

    def kill(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a process of this hive, and to no other."""
        assert pid in self.processes()
        os.kill(pid, number)

    def processes(self) -> set[int]:
        """Find the living processes of this hive, however they were started."""
        mark = str(self.directory).encode()
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                    if mark in told and is_alive(int(entry.name)):
                        found.add(int(entry.name))
        return _family(found)

    def sockets(self) -> list[Path]:
        """Find the sockets that lie about."""
        return [path for path in self.paths.run_dir.rglob("*") if path.is_socket()]

    def _answers(self, is_running: Callable[[], bool]) -> bool:
        assert is_running(), f"the server ended: {self.output.read_text()[-3000:]}"
        with contextlib.suppress(HiveError), self.operator() as operator:
            return operator.health()["status"] == "ok"
        return False

    def _no_stragglers(self) -> bool:
        left = self.processes()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    def _declaration(self, drivers: Mapping[str, str], settings: str) -> str:
        lines = [
            'name = "faults"',
            f'stateDir = "{self.paths.state_dir}"',
            f'runDir = "{self.paths.run_dir}"',
            "operator = { port = 0 }",
            "quotas = { messagesPerMinute = 1000000, broadcastsPerMinute = 1000000 }",
            settings,
        ]
        for name, driver in drivers.items():
            role = "worker" if name != next(iter(drivers)) else "manager"
            lines += [f"[agents.{name}]", f'role = "{role}"', f"driver = {driver}"]
            lines += [f'runtime = "{self._runtime}"']
        return "\n".join(lines) + "\n"


def _family(pids: set[int]) -> set[int]:
    """Add the living processes that descend from some."""
    parents = processes.parents()
    found, fresh = set(pids), set(pids)
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return {pid for pid in found if is_alive(pid)}


class Follower:
    """A dashboard: follows the operator's stream through every restart, from the beginning."""

    def __init__(self, hive: HiveOfProcesses) -> None:
        self.seqs: list[int] = []
        self.connections = 1
        self.error: BaseException | None = None
        self._hive = hive
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self) -> None:
        """Begin to follow; a server must be there until this returns."""
        self._thread.start()
        until(lambda: self.reached(1), "the stream has begun")

    def reached(self, seq: int) -> bool:
        """Whether it has seen the event at ``seq``."""
        assert self.error is None, self.error
        return bool(self.seqs) and self.seqs[-1] >= seq

    def stop(self) -> None:
        """Stop following; call this before the last server goes."""
        self._stopping.set()

    def end(self) -> None:
        """Return when it has stopped; the server must have gone."""
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()
        assert self.error is None, self.error

    def _follow(self) -> None:
        try:
            with self._hive.operator() as operator:
                for event in operator.events(0, on_disconnect=self._disconnected):
                    self.seqs.append(event["seq"])
        except _StoppedError:
            return
        except Exception as error:  # noqa: BLE001 - shown by the test
            self.error = error

    def _disconnected(self, _error: HiveError) -> None:
        if self._stopping.is_set():
            raise _StoppedError
        self.connections += 1


class _StoppedError(Exception):
    """Ends a follower."""


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process in its tracks for the length of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)

"""A hive with one agent that runs a real program against a scripted model.

The server runs in the test's own process, the harness as a process of its own, as in a box; the
program is started by the harness and speaks to the model over the loopback.
"""

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hyperhive import config
from hyperhive.bootstrap import Running, box_specs, running
from hyperhive.bootstrap.hive import Patience
from hyperhive.client import OperatorClient
from hyperhive.demo.model.script import parse_script
from hyperhive.demo.model.server import ScriptedModel, scripted_model
from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.runtimes import environment

WAIT_SECONDS: Final = 90.0
"""How long a test waits for what takes a few seconds: the machine may be doing other things."""

_DECLARATION: Final = """
name = "clients"
stateDir = "{directory}/state"
runDir = "{directory}/run"
operator = {{ port = 0 }}
[agents.queen]
role = "manager"
driver = {{ kind = "command", command = ["true"] }}
[agents.alice]
systemPrompt = "You are the one who is tested."
{agent}
[agents.alice.extraMcpServers]
{servers}
[agents.alice.driver]
{driver}
"""


@dataclass
class Stage:
    """A hive whose agent ``alice`` runs the program."""

    run: Running
    model: ScriptedModel
    directory: Path
    environment: dict[str, str]
    """What alice's harness is started with."""
    _harness: asyncio.subprocess.Process | None = None

    @property
    def home(self) -> Path:
        return Path(self.environment["HOME"])

    async def start(self) -> None:
        """Start alice's harness."""
        with (self.directory / "harness.log").open("ab") as log:
            self._harness = await asyncio.create_subprocess_exec(
                *box_specs(self.run.hive)["alice"].argv,
                env=self.environment,
                cwd=self.environment["HYPERHIVE_STATE"],
                stdin=asyncio.subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    async def stop(self) -> None:
        """End alice's harness and all it started."""
        harness, self._harness = self._harness, None
        if harness is None or harness.returncode is not None:
            return
        harness.terminate()
        try:
            await asyncio.wait_for(harness.wait(), WAIT_SECONDS)
        except TimeoutError:
            harness.kill()
            await harness.wait()

    def cancel(self, reason: str) -> None:
        """Tell alice's harness to cancel its turn, as the operator would."""
        session = self.run.sessions.of("alice")
        assert session is not None
        session.tell({"type": "command", "verb": "cancel", "turn": None, "reason": reason})

    def programs(self) -> list[str]:
        """The command lines of what runs within a turn of alice."""
        home = f"HOME={self.home}"
        return [
            line
            for line, variables in _processes()
            if home in variables and any(each.startswith("HYPERHIVE_TURN=") for each in variables)
        ]

    async def send(self, body: str) -> int:
        """Send alice a message from the operator and give its id."""
        sent = await self.run.messages.send(THE_OPERATOR, "alice", body)
        number: int = sent["id"]
        return number

    async def operator(self, do: Callable[[OperatorClient], dict[str, Any]]) -> dict[str, Any]:
        """Do one thing as the operator, over the API."""

        def call() -> dict[str, Any]:
            with OperatorClient(self.run.listeners.admin_socket) as client:
                return do(client)

        return await asyncio.to_thread(call)

    async def approval(self) -> dict[str, Any]:
        """Wait until alice has asked the operator for a yes."""

        async def look() -> dict[str, Any] | None:
            found = (await self.run.approvals.listing())["approvals"]
            return found[0] if found else None

        asked: dict[str, Any] = await self._until(look, "an approval was asked for")
        return asked

    async def resume(self) -> None:
        """Let alice go on at once, as the operator can after a rate limit."""
        await self.run.control.resume(THE_OPERATOR, "alice", via="test")

    async def turns(self, count: int) -> list[dict[str, Any]]:
        """Wait until so many turns of alice have ended; oldest first."""
        ended: list[dict[str, Any]] = await self._until(
            lambda: self._ended(count), f"{count} turns ended"
        )
        return ended

    async def turn(self) -> dict[str, Any]:
        """Wait until alice's first turn has ended."""
        return (await self.turns(1))[0]

    async def asked(self, count: int = 1) -> None:
        """Wait until the model has been asked so often."""
        news = asyncio.Event()
        self.model.tell = lambda request: news.set()
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.model.requests) < count:
                news.clear()
                await news.wait()

    async def message(self, number: int) -> dict[str, Any]:
        """A message with its history."""
        return await self.run.messages.show(number)

    async def steps(self, number: int) -> list[str]:
        """What happened to a message, in order."""
        return [event["kind"] for event in (await self.message(number))["history"]]

    async def to_operator(self) -> list[str]:
        """What alice wrote to the operator, oldest first."""
        page = await self.run.messages.page(before=None, limit=50, agent="alice", state=None)
        return [sent["preview"] for sent in reversed(page["messages"]) if sent["from"] == "alice"]

    async def transcript(self, turn: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
        """The data of a turn's events of one kind."""
        page = await self.run.turns.transcript(turn["id"], after=-1, limit=500)
        return [event["data"] for event in page["events"] if event["kind"] == kind]

    async def alert(self, turn: Mapping[str, Any]) -> dict[str, Any]:
        """The first note of a turn that the operator should be told of."""
        notes = await self.transcript(turn, "note")
        return next(note for note in notes if note.get("alert"))

    async def _ended(self, count: int) -> list[dict[str, Any]] | None:
        page = await self.run.turns.page("alice", before=None, limit=50)
        ended = [turn for turn in reversed(page["turns"]) if turn["ended_at"] is not None]
        return ended if len(ended) >= count else None

    async def _until(self, look: Any, what: str) -> Any:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    with self.run.store.bus.watch() as watch:
                        if (found := await look()) is not None:
                            return found
                        await watch.wait()
        except TimeoutError:
            log = (self.directory / "harness.log").read_text()
            raise AssertionError(f"not within {WAIT_SECONDS:g} s: {what}\n{log}") from None


@asynccontextmanager
async def stage(
    script: str,
    driver: Mapping[str, Any],
    variables: Mapping[str, str],
    *,
    credentials: Mapping[str, str] | None = None,
    servers: str = "",
    agent: str = "",
    patience: Patience | None = None,
) -> AsyncIterator[Stage]:
    """Set up a hive and a model; ``{url}`` in a value of either stands for the model's address.

    ``servers`` are lines of TOML that declare further MCP servers, ``agent`` what else is declared
    of alice.
    """
    # Short, because the path of a socket has room for 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="hh-"))
    try:
        async with scripted_model(parse_script(script)) as model:
            values = json.loads(json.dumps(dict(driver)).replace("{url}", model.url))
            lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
            declared = directory / "hive.toml"
            declared.write_text(
                _DECLARATION.format(directory=directory, driver=lines, servers=servers, agent=agent)
            )
            hive = config.load(declared)
            async with running(hive, with_agents=False, patience=patience) as run:
                box = box_environment(hive, directory, credentials or {})
                box |= {name: value.format(url=model.url) for name, value in variables.items()}
                played = Stage(run, model, directory, box)
                await played.start()
                try:
                    yield played
                finally:
                    await played.stop()
                    sys.stdout.write((directory / "harness.log").read_text())
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def box_environment(
    hive: config.Hive, directory: Path, credentials: Mapping[str, str]
) -> dict[str, str]:
    """Make alice's directories and return the environment of her box."""
    spec = box_specs(hive)["alice"]
    environment.make_directories(spec)
    variables = environment.environment_of(spec, os.environ)
    with contextlib.suppress(KeyError):
        # Where the tests run from a tree that is not installed, so does the harness.
        variables["PYTHONPATH"] = os.environ["PYTHONPATH"]
    secrets = directory / "credentials"
    secrets.mkdir(mode=0o700)
    for name, value in credentials.items():
        (secrets / name).write_text(f"{value}\n")
    return {**variables, "HYPERHIVE_CREDENTIALS": str(secrets)}


def command_lines() -> list[str]:
    """The command lines of all processes of this user."""
    return [line for line, _ in _processes()]


def _processes() -> Iterator[tuple[str, set[str]]]:
    """The command line and the environment of each process of this user."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            variables = (entry / "environ").read_text(errors="replace").split("\0")
            yield (entry / "cmdline").read_text(errors="replace"), set(variables)

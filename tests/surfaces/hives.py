"""Whole hives on real sockets, and clients that say exactly what a test wants said.

A hive here is the server as it is shipped, in the test's own process, with nobody in its boxes:
the test is the agents, the operator and whoever attacks them.
"""

import asyncio
import itertools
import json
import logging
import re
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import h11

from hyperhive import bootstrap
from hyperhive.bootstrap import Running
from hyperhive.config import Hive
from hyperhive.surfaces.http.app import operator_app
from tests.builders import a_hive

PATIENCE_SECONDS: Final = 60.0
"""No wait of a test is longer; on a busy machine one may be nearly as long."""

Where = Path | tuple[str, int]
"""A Unix socket, or an address and a port."""

Result = TypeVar("Result")

_requests = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said to one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: tuple[str, ...] = ()

    def json(self) -> Any:
        """Read the body."""
        return json.loads(self.body)

    @property
    def kind(self) -> str:
        """The media type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0]


class Wire:
    """One connection to a server, driven by hand; requests on it follow one another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._http = h11.Connection(h11.CLIENT)

    @classmethod
    async def to(cls, where: Where) -> Self:
        """Connect."""
        if isinstance(where, Path):
            return cls(*await asyncio.open_unix_connection(where))
        return cls(*await asyncio.open_connection(*where))

    async def say(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def hear_all(self) -> bytes:
        """Read until the server closes; a reset ends it, too."""
        heard = bytearray()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with suppress(ConnectionError):
                while part := await self.reader.read(65536):
                    heard += part
        return bytes(heard)

    async def begin(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> tuple[int, Mapping[str, str], tuple[str, ...]]:
        """Send a request and read the head of its answer; `parts` gives the rest."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        fields = {"host": "hyperhive", "content-length": str(len(body)), **(headers or {})}
        given = [(name.encode(), value.encode("latin-1")) for name, value in fields.items()]
        head = h11.Request(method=method, target=target, headers=given)
        sent = [self._http.send(event) or b"" for event in (head, h11.Data(data=body))]
        await self.say(b"".join(sent) + (self._http.send(h11.EndOfMessage()) or b""))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not isinstance(event := await self._event(), h11.Response):
                if isinstance(event, h11.ConnectionClosed):
                    raise ConnectionError("the server closed without an answer")
        got = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
        cookies = tuple(value for name, value in got if name == "set-cookie")
        return event.status_code, dict(got), cookies

    async def parts(self) -> AsyncIterator[bytes]:
        """Give the body of the answer as it comes."""
        while True:
            async with asyncio.timeout(PATIENCE_SECONDS):
                event = await self._event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                return

    async def ask(self, method: str, target: str, **given: Any) -> Answer:
        """Send a request and read its whole answer."""
        status, headers, cookies = await self.begin(method, target, **given)
        body = b"".join([part async for part in self.parts()])
        return Answer(status, headers, body, cookies)

    async def close(self) -> None:
        """Go away."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _event(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self.reader.read(65536))
        return event


async def ask(
    where: Where,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    data: Any = None,
) -> Answer:
    """Ask one thing on a connection of its own; ``data`` is sent as JSON."""
    fields = dict(headers or {})
    if data is not None:
        body = json.dumps(data).encode()
        fields.setdefault("content-type", "application/json")
    async with await Wire.to(where) as wire:
        return await wire.ask(method, target, headers=fields, body=body)


@dataclass(slots=True)
class Called:
    """What a tool said: its result, or the sentence of its refusal."""

    answer: Answer
    result: dict[str, Any]
    refusal: str | None
    delivery: str | None


@dataclass(slots=True)
class Box:
    """An agent's end of its socket: what its harness, its bridge or its malware would say."""

    name: str
    socket: Path

    async def ask(self, method: str, target: str, **given: Any) -> Answer:
        """Ask one thing."""
        return await ask(self.socket, method, target, **given)

    async def rpc(
        self, method: str, params: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Make one JSON-RPC request of the MCP endpoint."""
        message = {"jsonrpc": "2.0", "id": next(_requests), "method": method}
        if params is not None:
            message["params"] = params
        return await self.ask("POST", "/mcp", headers={**MCP, **(headers or {})}, data=message)

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        turn: int | None = None,
        request: str | None = None,
        **named: Any,
    ) -> Called:
        """Call a tool as the bridge does."""
        headers = {"hyperhive-request": request or f"r{next(_requests)}"}
        if turn is not None:
            headers["hyperhive-turn"] = str(turn)
        given = dict(arguments or named)
        answer = await self.rpc("tools/call", {"name": tool, "arguments": given}, headers=headers)
        assert answer.status == 200, answer
        result = answer.json()["result"]
        text = result["content"][0]["text"]
        refused = bool(result.get("isError"))
        if not refused:
            assert json.loads(text) == result["structuredContent"]
        return Called(
            answer,
            {} if refused else result["structuredContent"],
            text if refused else None,
            answer.headers.get("hyperhive-delivery"),
        )

    async def confirm(self, delivery: str) -> Answer:
        """Confirm what a call has delivered."""
        return await self.ask("POST", f"/deliveries/{delivery}/confirm")

    async def harness(self, step: str, **body: Any) -> Answer:
        """Make one request of the harness's."""
        return await self.ask("POST", f"/harness/{step}", data=body)


MCP: Final = {
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
}


@dataclass(slots=True)
class Presence:
    """A harness's connection: it is there as long as this is open."""

    wire: Wire
    welcome: dict[str, Any]
    _lines: AsyncIterator[dict[str, Any]]

    async def command(self) -> dict[str, Any] | None:
        """Give the next line that is no ping; ``None`` when the server ended the stream."""
        async for line in self._lines:
            if line["type"] != "ping":
                return line
        return None


@asynccontextmanager
async def a_harness(box: Box, session: str = "session-1") -> AsyncIterator[Presence]:
    """Say hello for an agent and stay until the block is left."""
    body = json.dumps({"session": session, "pid": 1, "version": "test"}).encode()
    async with await Wire.to(box.socket) as wire:
        status, headers, _ = await wire.begin("POST", "/harness/session", body=body)
        assert status == 200, headers
        lines = _json_lines(wire)
        welcome = await anext(lines)
        yield Presence(wire, welcome, lines)


async def _json_lines(wire: Wire) -> AsyncIterator[dict[str, Any]]:
    buffer = b""
    async for part in wire.parts():
        *lines, buffer = (buffer + part).split(b"\n")
        for line in lines:
            yield json.loads(line)


@dataclass(frozen=True, slots=True)
class Sent:
    """One server-sent event, or a comment, whose name is empty."""

    name: str
    id: str | None
    data: Any


class Live:
    """A client of the live stream."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._sent = self._read()

    async def next(self) -> Sent:
        """Wait for the next event or comment."""
        return await anext(self._sent)

    async def until(self, seq: int) -> list[dict[str, Any]]:
        """Give the hive's events as they come, up to and with the one at ``seq``."""
        events: list[dict[str, Any]] = []
        while not events or events[-1]["seq"] < seq:
            sent = await self.next()
            if sent.name == "event":
                assert sent.id is not None
                assert sent.id.endswith(f":{sent.data['seq']}")
                events.append(sent.data)
        return events

    async def rest(self) -> list[Sent]:
        """Give what comes until the server ends the stream."""
        return [sent async for sent in self._sent]

    async def _read(self) -> AsyncIterator[Sent]:
        buffer = ""
        async for part in self.wire.parts():
            *blocks, buffer = (buffer + part.decode()).split("\n\n")
            for block in blocks:
                yield _sent(block)


def _sent(block: str) -> Sent:
    if block.startswith(":"):
        return Sent("", None, block)
    fields = dict(line.split(": ", 1) for line in block.split("\n"))
    return Sent(fields.get("event", "message"), fields.get("id"), json.loads(fields["data"]))


@dataclass(slots=True)
class Operator:
    """The operator's client, on the admin socket or logged in on the port by the secret."""

    where: Where
    headers: dict[str, str] = field(default_factory=dict)

    async def ask(self, method: str, target: str, **given: Any) -> Answer:
        """Ask one thing."""
        headers = {**self.headers, **given.pop("headers", {})}
        return await ask(self.where, method, target, headers=headers, **given)

    async def get(self, target: str) -> Any:
        """Get what must be there."""
        answer = await self.ask("GET", target)
        assert answer.status == 200, answer
        return answer.json()

    async def post(self, target: str, data: Any = None) -> Any:
        """Do what must work."""
        answer = await self.ask("POST", target, data={} if data is None else data)
        assert answer.status < 300, answer
        return answer.json()

    async def send(self, to: str, body: str = "hello") -> int:
        """Send a message and return its id."""
        return int((await self.post("/api/messages", {"to": to, "body": body}))["id"])

    @asynccontextmanager
    async def live(self, query: str = "", **headers: str) -> AsyncIterator[Live]:
        """Follow the stream until the block is left."""
        async with await Wire.to(self.where) as wire:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            fields = {**self.headers, **named}
            status, given, _ = await wire.begin("GET", f"/dashboard/stream{query}", headers=fields)
            assert status == 200, given
            assert given["content-type"].startswith("text/event-stream")
            yield Live(wire)


@dataclass(slots=True)
class Whole:
    """A hive that runs, and its ways in."""

    run: Running
    secret: str
    port: int

    @property
    def tcp(self) -> tuple[str, int]:
        """Where the operator's port is."""
        return ("127.0.0.1", self.port)

    @property
    def host(self) -> str:
        """The name under which the operator's port answers."""
        return f"127.0.0.1:{self.port}"

    @property
    def admin(self) -> Operator:
        """The operator on the admin socket."""
        return Operator(self.run.listeners.admin_socket)

    @property
    def operator(self) -> Operator:
        """The operator on the port, with the secret in every request."""
        return Operator(self.tcp, {"host": self.host, "authorization": f"Bearer {self.secret}"})

    @property
    def stranger(self) -> Operator:
        """Somebody on the port without a login."""
        return Operator(self.tcp, {"host": self.host})

    def box(self, agent: str) -> Box:
        """Sit in an agent's box."""
        return Box(agent, self.run.listeners.agent_socket(agent))


@asynccontextmanager
async def a_whole_hive(
    directory: Path, *, clock: Callable[[], float] = time.time, **settings: Any
) -> AsyncIterator[Whole]:
    """Run queen, alice and bob's hive with its state in ``directory``; see `a_hive`."""
    # A socket's path must fit into 107 bytes, which a test's own directory may not leave.
    with tempfile.TemporaryDirectory(prefix="hive-") as run_dir:
        async with started(a_hive(directory, Path(run_dir), **settings), clock=clock) as whole:
            yield whole


@asynccontextmanager
async def started(hive: Hive, *, clock: Callable[[], float] = time.time) -> AsyncIterator[Whole]:
    """Run the server of a declared hive."""
    async with bootstrap.running(hive, with_agents=False, clock=clock) as run:
        file = hive.operator.secret_file or hive.state_dir / bootstrap.SECRET_FILE
        secret = file.read_text().strip()
        # What a server tells of by itself when it starts is told before a test begins.
        await until(lambda: set(run.disk.use) == set(hive.agents))
        yield Whole(run, secret, int(run.url.rpartition(":")[2]))


class _Errors(logging.Handler):
    """Keeps what the server logs as an error of its own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Beside:
    """A hive that runs on a thread of its own, for tests that are not asynchronous."""

    def __init__(self, runner: asyncio.AbstractEventLoop, hive: Whole, errors: _Errors) -> None:
        self.hive = hive
        self._runner = runner
        self._errors = errors

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do something there and wait for it, not without end."""
        return asyncio.run_coroutine_threadsafe(work, self._runner).result(PATIENCE_SECONDS)

    def stop(self, over: asyncio.Event) -> None:
        """Let the hive end."""
        self._runner.call_soon_threadsafe(over.set)

    def errors(self) -> list[str]:
        """Give what was logged as an error since the last time, and forget it."""
        found = [record.getMessage() for record in self._errors.records]
        self._errors.records.clear()
        return found


@contextmanager
def a_hive_beside(directory: Path) -> Iterator[Beside]:
    """Run a hive on a thread until the block is left."""
    over: list[asyncio.Event] = []
    ready: Future[Beside] = Future()
    errors = _Errors()

    async def run() -> None:
        over.append(asyncio.Event())
        async with a_whole_hive(directory) as hive:
            ready.set_result(Beside(asyncio.get_running_loop(), hive, errors))
            await over[0].wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="a hive")
    logging.getLogger().addHandler(errors)
    thread.start()
    try:
        beside = ready.result(4 * PATIENCE_SECONDS)
        try:
            yield beside
        finally:
            beside.stop(over[0])
    finally:
        thread.join(4 * PATIENCE_SECONDS)
        logging.getLogger().removeHandler(errors)


def operator_routes() -> set[tuple[str, str]]:
    """Give every route of the operator's application, as template and method."""
    nothing: Any = None
    return {
        (re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path), method)
        for route in operator_app(nothing, nothing, nothing).routes
        for method in getattr(route, "methods", ())
        if method not in {"OPTIONS", "HEAD"}
    }


async def until(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until a condition holds; it may have to be asked for."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            now = holds()
            if await now if isinstance(now, Awaitable) else now:
                return
            await asyncio.sleep(0.005)

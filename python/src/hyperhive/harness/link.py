"""HTTP over the agent's socket: one request, one JSON answer; or one request, a stream of lines.

Every request has its own connection, because closing it is how the server learns that a waiting
caller has gone. Whatever goes wrong is one of two errors: UnreachableError, after which the same
request may be sent again, and RefusedError, the server's considered answer. Every wait is bounded.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import h11

REQUEST_SECONDS: Final = 10.0
ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
LINE_BYTES_MAX: Final = 1024 * 1024


class LinkError(Exception):
    """A request over the agent's socket did not succeed."""


class UnreachableError(LinkError):
    """The server is not there, went away in mid-answer, or did not answer in time."""


class RefusedError(LinkError):
    """The server answered, and not with success; ``code`` is the one of its problem document."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{detail} ({code}, HTTP {status})")
        self.status = status
        self.code = code

    @property
    def is_passing(self) -> bool:
        """Whether the same request may well succeed later."""
        return self.status >= 500 or self.status == 429


class Link:
    """Requests to the server behind one agent's socket."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path

    async def post(
        self, path: str, body: Mapping[str, Any], *, timeout_seconds: float = REQUEST_SECONDS
    ) -> dict[str, Any]:
        """Return the JSON object that answers ``body``; an empty answer is ``{}``."""
        try:
            async with asyncio.timeout(timeout_seconds), self._exchange(path, body) as exchange:
                return _object(await exchange.rest())
        except TimeoutError as error:
            raise UnreachableError(f"No answer to {path} in {timeout_seconds:g} s.") from error

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, body: Mapping[str, Any], *, idle_seconds: float
    ) -> AsyncIterator["LineStream"]:
        """Open a stream of JSON lines, closed when the context ends.

        A line must come at least every ``idle_seconds``: silence is UnreachableError.
        """
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    exchange = await stack.enter_async_context(self._exchange(path, body))
            except TimeoutError as error:
                raise UnreachableError(f"No answer to {path} in {REQUEST_SECONDS:g} s.") from error
            yield LineStream(exchange, idle_seconds)

    @contextlib.asynccontextmanager
    async def _exchange(self, path: str, body: Mapping[str, Any]) -> AsyncIterator["_Exchange"]:
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket_path)
        except OSError as error:
            raise UnreachableError(f"{self._socket_path}: {error.strerror or error}.") from error
        exchange = _Exchange(reader, writer)
        try:
            await exchange.ask(path, json.dumps(body).encode())
            yield exchange
        except (OSError, h11.RemoteProtocolError) as error:
            raise UnreachableError(f"The connection broke: {error}.") from error
        finally:
            exchange.abort()


class LineStream:
    """An open stream of JSON objects, one a line."""

    def __init__(self, exchange: "_Exchange", idle_seconds: float) -> None:
        self._exchange = exchange
        self._idle_seconds = idle_seconds
        self._buffer = bytearray()

    async def next(self) -> dict[str, Any]:
        """Return the next object; UnreachableError when the stream ends or falls silent."""
        while (end := self._buffer.find(b"\n")) < 0:
            try:
                async with asyncio.timeout(self._idle_seconds):
                    chunk = await self._exchange.data()
            except TimeoutError as error:
                raise UnreachableError(f"Silent for {self._idle_seconds:g} s.") from error
            if chunk is None:
                raise UnreachableError("The server ended the stream.")
            self._buffer += chunk
            if len(self._buffer) > LINE_BYTES_MAX:
                raise UnreachableError(f"A line of the stream is over {LINE_BYTES_MAX} bytes.")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return _object(line) if line.strip() else await self.next()

    def abort(self) -> None:
        """Break the connection now; whoever waits for a line gets UnreachableError."""
        self._exchange.abort()


class _Exchange:
    """One request and its answer on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)

    async def ask(self, path: str, body: bytes) -> None:
        """Send the request and read the head of the answer; RefusedError unless it is 2xx."""
        head = h11.Request(
            method="POST",
            target=path,
            headers=[
                ("Host", "hyperhive"),
                ("Connection", "close"),
                ("Accept", "application/json, application/x-ndjson"),
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
            ],
        )
        events = (head, h11.Data(data=body), h11.EndOfMessage())
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        with contextlib.suppress(ConnectionError):
            # A server may answer and close before it has read everything.
            await self._writer.drain()
        answer = await self._event()
        while isinstance(answer, h11.InformationalResponse):
            answer = await self._event()
        if not isinstance(answer, h11.Response):
            raise UnreachableError("The server closed the connection without an answer.")
        if not 200 <= answer.status_code < 300:
            raise _refusal(answer.status_code, await self.rest())

    async def data(self) -> bytes | None:
        """Return the next piece of the answer's body, ``None`` at its end."""
        event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else None

    async def rest(self) -> bytes:
        """Return what is left of the answer's body."""
        body = bytearray()
        while (piece := await self.data()) is not None:
            body += piece
            if len(body) > ANSWER_BYTES_MAX:
                raise RefusedError(502, "bad_answer", f"It is over {ANSWER_BYTES_MAX} bytes.")
        return bytes(body)

    def abort(self) -> None:
        """Close the connection without waiting for the other side."""
        self._writer.transport.abort()

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(65536))
        return event


def _object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(502, "bad_answer", f"The answer is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise RefusedError(502, "bad_answer", "The answer is not a JSON object.")
    return value


def _refusal(status: int, body: bytes) -> RefusedError:
    try:
        problem = _object(body)
    except RefusedError:
        problem = {}
    detail = problem.get("detail") or problem.get("title") or "The server refused the request."
    if remedy := problem.get("remedy"):
        detail = f"{detail} {remedy}"
    return RefusedError(status, str(problem.get("code") or f"http_{status}"), str(detail))

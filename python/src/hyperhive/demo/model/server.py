"""The scripted model's server: HTTP/1.1 on the loopback or a Unix socket, and nowhere else.

What was asked is kept in ``ScriptedModel.requests``, without the credentials, so that a test can
say what a client told the model. A client that goes away ends its answer and nothing else.
"""

import asyncio
import contextlib
import ipaddress
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

import h11

from hyperhive.demo.model import messages_api, responses_api
from hyperhive.demo.model.conversations import BadRequestError, Conversation
from hyperhive.demo.model.rules import Answer, Player
from hyperhive.demo.model.script import Failure, Rule
from hyperhive.demo.model.streams import Reply, Stream

BODY_BYTES_MAX: Final = 64 * 1024 * 1024
MODELS: Final = ("scripted",)
CREDENTIALS: Final = ("x-api-key", "authorization")


class Dialect(Protocol):
    """A language a model is asked in: the modules ``messages_api`` and ``responses_api``."""

    def read(self, body: Mapping[str, Any], /) -> Conversation:
        """Read a request; BadRequestError when it is none."""
        ...

    def reply(self, answer: Answer, asked: Conversation, number: int, /) -> Reply:
        """Put an answer into the events of a stream, and into one document."""
        ...

    def failure_event(self, failure: Failure, /) -> bytes:
        """Give the event that ends a stream with an error."""
        ...

    def refusal(self, failure: Failure, /) -> tuple[dict[str, str], dict[str, Any]]:
        """Give the headers and the document of an error instead of an answer."""
        ...


class NotLocalError(Exception):
    """The address is not the machine's own."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request for an answer, and the rule that gave it."""

    conversation: Conversation
    rule: str
    headers: Mapping[str, str]
    """Lower-case names; of a credential only its length is kept."""
    body: Mapping[str, Any]


@dataclass(slots=True)
class ScriptedModel:
    """A server that is up."""

    url: str
    """Its address, or ``unix:`` and a path."""
    requests: list[Request] = field(default_factory=list)
    """What it was asked for answers, oldest first."""
    tell: Callable[[Request], None] | None = None
    """Called with each request for an answer, before it is answered."""
    probes: int = 0
    """How many other requests came."""


@asynccontextmanager
async def scripted_model(
    rules: Sequence[Rule],
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    socket: Path | None = None,
) -> AsyncIterator[ScriptedModel]:
    """Answer by a script until the block is left.

    It listens on ``socket`` if one is given, else on a loopback address; port 0 is a free one.
    Raises NotLocalError for any other address.
    """
    model = ScriptedModel(url="")
    player = Player(rules)
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await _Connection(reader, writer, player, model).run()
        except (h11.RemoteProtocolError, OSError, asyncio.CancelledError):
            # A client that went away, or an end of the server: there is nobody to tell.
            return
        finally:
            connections.discard(task)
            writer.close()

    if socket is not None:
        server = await asyncio.start_unix_server(serve, socket)
        model.url = f"unix:{socket}"
    else:
        if not ipaddress.ip_address(address).is_loopback:
            raise NotLocalError(f"{address} is not a loopback address.")
        server = await asyncio.start_server(serve, address, port)
        model.url = f"http://{address}:{server.sockets[0].getsockname()[1]}"
    try:
        yield model
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


class _Connection:
    """One client's connection, from its first request to its last."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        player: Player,
        model: ScriptedModel,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._player = player
        self._model = model
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        while True:
            request, body = await self._request()
            if request is None:
                return
            await self._answer(request, body)
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _request(self) -> tuple[h11.Request | None, bytes]:
        request: h11.Request | None = None
        body = bytearray()
        while True:
            match self._http.next_event():
                case h11.NEED_DATA:
                    if self._http.they_are_waiting_for_100_continue:
                        await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                    self._http.receive_data(await self._reader.read(65536))
                case h11.Request() as begun:
                    request = begun
                case h11.Data() as data:
                    body += data.data
                    if len(body) > BODY_BYTES_MAX:
                        raise h11.RemoteProtocolError("the body is too large")
                case h11.EndOfMessage():
                    return request, bytes(body)
                case _:
                    return None, b""

    async def _answer(self, request: h11.Request, body: bytes) -> None:
        path = request.target.decode("ascii", "replace").partition("?")[0]
        match request.method.decode("ascii"), path:
            case "POST", messages_api.PATH:
                await self._infer(messages_api, request, body)
            case "POST", responses_api.PATH:
                await self._infer(responses_api, request, body)
            case "POST", messages_api.COUNT_PATH:
                self._model.probes += 1
                await self._document(200, {"input_tokens": len(body) // 4})
            case "GET", "/v1/models":
                self._model.probes += 1
                models = [{"id": name, "type": "model", "object": "model"} for name in MODELS]
                await self._document(200, {"object": "list", "data": models, "models": []})
            case "GET", responses_api.PATH:
                # Codex asks for a WebSocket first; this answer sends it to plain HTTP at once.
                self._model.probes += 1
                await self._refuse(responses_api, Failure("upgrade", "HTTP only", status=426))
            case "HEAD", _:
                self._model.probes += 1
                await self._send(h11.Response(status_code=200, headers=[]), h11.EndOfMessage())
            case _:
                self._model.probes += 1
                failure = Failure("not_found_error", f"there is nothing at {path}", status=404)
                await self._refuse(messages_api, failure)

    async def _infer(self, api: Dialect, head: h11.Request, body: bytes) -> None:
        try:
            asked: Mapping[str, Any] = json.loads(body)
            conversation: Conversation = api.read(asked)
        except (ValueError, AttributeError, BadRequestError) as error:
            await self._refuse(api, Failure("invalid_request_error", str(error), status=400))
            return
        answer = self._player.answer(conversation)
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
        for name in CREDENTIALS:
            if name in headers:
                headers[name] = f"{len(headers[name])} characters"
        request = Request(conversation, answer.rule, headers, asked)
        self._model.requests.append(request)
        if self._model.tell is not None:
            self._model.tell(request)
        if answer.pause_seconds:
            await asyncio.sleep(answer.pause_seconds)
        if answer.failure is not None and answer.failure.status is not None:
            await self._refuse(api, answer.failure)
            return
        reply = api.reply(answer, conversation, len(self._model.requests))
        if conversation.is_streamed:
            await self._stream(api, reply.stream, answer)
        elif answer.cut or answer.hang:
            await self._unfinished(answer)
        elif answer.failure is not None:
            await self._refuse(api, replace(answer.failure, status=500))
        else:
            await self._document(200, reply.document)

    async def _stream(self, api: Dialect, stream: Stream, answer: Answer) -> None:
        headers = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")]
        await self._send(h11.Response(status_code=200, headers=headers))
        events = [*stream.opening, *stream.body, *stream.closing]
        if answer.cut:
            # Past the middle of what it says, and never as far as its end.
            events = [*stream.opening, *stream.body[: (len(stream.body) + 1) // 2]]
        elif answer.hang:
            events = [*stream.opening, *stream.body]
        elif answer.failure is not None:
            events = [*stream.opening, *stream.body, api.failure_event(answer.failure)]
        for event in events:
            await self._send(h11.Data(data=event))
        if answer.hang:
            await self._gone()
        elif not answer.cut:
            await self._send(h11.EndOfMessage())

    async def _unfinished(self, answer: Answer) -> None:
        """Begin a document that never ends: a client that falls back gets no more."""
        headers = [("Content-Type", "application/json"), ("Content-Length", "4096")]
        await self._send(h11.Response(status_code=200, headers=headers), h11.Data(data=b"{"))
        if answer.hang:
            await self._gone()

    async def _gone(self) -> None:
        """Wait until the client goes away."""
        with contextlib.suppress(OSError):
            while await self._reader.read(65536):
                continue

    async def _refuse(self, api: Dialect, failure: Failure) -> None:
        headers, document = api.refusal(failure)
        await self._document(failure.status or 400, document, {**headers, **failure.headers})

    async def _document(
        self, status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        body = json.dumps(document).encode()
        named = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }
        await self._send(
            h11.Response(status_code=status, headers=list(named.items())),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )

    async def _send(self, *events: Any) -> None:
        for event in events:
            self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()

"""One tool call as one exchange: no session, no streams and no tasks of its own.

The SDK's stateless transport builds a session with four streams and three tasks around every
request, for which a tool call that gives one answer has no use: they cost more than twice what is
left. So `tools/call` as clients with a handshake send it goes straight to the SDK's dispatch,
which validates and serialises as it always does. Whatever else comes, malformed requests
included, is left to the transport.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
from mcp.server.connection import Connection
from mcp.server.lowlevel import Server
from mcp.server.runner import modern_error_data, serve_one
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.transport_context import TransportContext
from mcp_types import JSONRPCRequest, RequestId
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic import ValidationError

JSON: Final = b"application/json"
VERSION_HEADER: Final = b"mcp-protocol-version"
VERSION_UNNAMED: Final = "2025-03-26"
"""What a request without the header is to be taken for, says MCP."""

_TRANSPORT: Final = TransportContext(kind="streamable-http", can_send_request=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """The HTTP request of an exchange, as far as a tool looks at it."""

    scope: Any


@dataclass(slots=True)
class Exchange:
    """The SDK's view of one request: there is nothing to say to its client but the answer."""

    request_id: RequestId
    message_metadata: ServerMessageMetadata
    transport: TransportContext = _TRANSPORT
    can_send_request: bool = False
    cancel_requested: anyio.Event = field(default_factory=anyio.Event)

    async def send_raw_request(
        self,
        method: str,
        params: Mapping[str, Any] | None,  # noqa: ARG002 - the SDK's signature
        opts: CallOptions | None = None,  # noqa: ARG002 - the SDK's signature
    ) -> dict[str, Any]:
        """Refuse: the client has nowhere to answer."""
        raise NoBackChannelError(method)

    async def notify(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> None:
        """Say nothing: the answer is the only thing that is written."""

    async def progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Say nothing."""


def tool_call(scope: Any, body: bytes) -> JSONRPCRequest | None:
    """Read a request that can be one exchange; ``None`` leaves it to the transport."""
    headers = dict(scope["headers"])
    version = headers.get(VERSION_HEADER)
    if version is not None and version.decode("latin-1") not in HANDSHAKE_PROTOCOL_VERSIONS:
        return None
    if headers.get(b"content-type") != JSON or JSON not in headers.get(b"accept", b""):
        return None
    try:
        request = JSONRPCRequest.model_validate_json(body)
    except ValidationError:
        return None
    return request if request.method == "tools/call" else None


async def answer(server: Server[Any], scope: Any, request: JSONRPCRequest, send: Any) -> None:
    """Run a tool call and send its answer."""
    version = dict(scope["headers"]).get(VERSION_HEADER)
    exchange = Exchange(request.id, ServerMessageMetadata(request_context=Asked(scope)))
    told: dict[str, Any] = {"jsonrpc": "2.0", "id": request.id}
    try:
        told["result"] = await serve_one(
            server,
            exchange,
            request.method,
            request.params,
            connection=Connection.from_envelope(
                version.decode() if version is not None else VERSION_UNNAMED, None, None
            ),
            lifespan_state=None,
        )
    except Exception as error:  # noqa: BLE001 - the SDK says what each is on the wire
        told["error"] = modern_error_data(error).model_dump(mode="json", exclude_none=True)
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})

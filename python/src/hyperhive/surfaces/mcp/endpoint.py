"""What an agent's socket does with ``POST /mcp`` and with confirmations of deliveries.

The request is read whole and its client watched, so that a wait ends with its client. What was
handed out is named in a header; the client confirms it once it has it.
"""

import asyncio
import json
import re
from typing import Any, Final

from hyperhive.domain.errors import HiveError
from hyperhive.services.messages import Messages
from hyperhive.surfaces.disconnects import ClientGoneError, Request, whole_request
from hyperhive.surfaces.identity import agent_of
from hyperhive.surfaces.mcp.calls import (
    DELIVERY_HEADER,
    REQUEST_HEADER,
    SCOPE_KEY,
    TURN_HEADER,
    Call,
)
from hyperhive.surfaces.mcp.server import McpServer

REQUEST_BYTES_MAX: Final = 1024 * 1024
_REQUEST_ID: Final = re.compile(rb"[0-9a-zA-Z_-]{1,64}")
_CONFIRM: Final = re.compile(r"/deliveries/([0-9a-zA-Z_-]{1,64})/confirm")


class McpEndpoint:
    """The MCP part of an agent's socket, as an ASGI application."""

    def __init__(self, server: McpServer, messages: Messages) -> None:
        self._server = server
        self._messages = messages

    def serves(self, path: str) -> bool:
        """Whether a path is one of this endpoint's."""
        return path == "/mcp" or path.startswith("/deliveries/")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        try:
            async with whole_request(receive, limit_bytes=REQUEST_BYTES_MAX) as request:
                if scope["path"] != "/mcp":
                    await self._confirm(scope, send)
                elif scope["method"] != "POST":
                    # A GET would be a stream on which this server never says anything.
                    await _error(send, 405, "There is only POST /mcp here.", allow="POST")
                else:
                    await self._call(_call_of(scope, request.caller), scope, request, send)
        except ClientGoneError:
            return
        except HiveError as error:
            await _error(send, error.status, str(error))

    async def _call(self, call: Call, scope: Any, request: Request, send: Any) -> None:
        scope[SCOPE_KEY] = call
        try:
            await self._server.handle(scope, request, _naming(call, send))
        finally:
            if call.delivers and not call.begun:
                await asyncio.shield(self._messages.give_back_delivery(call.agent, call.delivery))

    async def _confirm(self, scope: Any, send: Any) -> None:
        found = _CONFIRM.fullmatch(scope["path"])
        if found is None or scope["method"] != "POST":
            await _error(send, 404, "There is only POST /deliveries/<id>/confirm here.")
            return
        await self._messages.confirm(agent_of(scope), found.group(1))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def _call_of(scope: Any, caller: Any) -> Call:
    headers = dict(scope["headers"])
    turn = headers.get(TURN_HEADER, b"")
    request = headers.get(REQUEST_HEADER, b"")
    return Call(
        agent=agent_of(scope),
        caller=caller,
        turn=int(turn) if turn.isdigit() and len(turn) < 16 else None,
        request=request.decode() if _REQUEST_ID.fullmatch(request) else None,
    )


def _naming(call: Call, send: Any) -> Any:
    """Wrap ``send`` so that the answer names the delivery it carries.

    A client that has gone before the answer begins has seen nothing of it. One that goes later
    may have: then only its confirmation tells. A wait that ends because the hive stops is told
    as 503, so that the bridge waits on where the next server runs.
    """

    async def named(message: Any) -> None:
        if message["type"] == "http.response.start" and call.cut_short:
            message = {**message, "status": 503}
        if message["type"] == "http.response.start" and call.delivers:
            call.begun = not call.caller.gone
            headers = [*message.get("headers", []), (DELIVERY_HEADER, call.delivery.encode())]
            message = {**message, "headers": headers}
        await send(message)

    return named


async def _error(send: Any, status: int, reason: str, *, allow: str | None = None) -> None:
    body = json.dumps(
        {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": reason}}
    ).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if allow is not None:
        headers.append((b"allow", allow.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

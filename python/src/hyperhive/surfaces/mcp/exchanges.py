"""One tool call as one exchange: no session, no streams, no tasks and no dispatch around it.

The SDK's stateless transport builds a session with four streams and three tasks around every
request, and its dispatch checks and serialises what passes several times over: for a tool call,
which gives one answer, they cost many times what the rest does. So `tools/call` as clients with a
handshake send it is read by the SDK's own model of the wire and answered here. Whatever else
comes, malformed requests included, is left to the transport.
"""

from dataclasses import dataclass
from typing import Any, Final

from mcp_types.methods import CLIENT_REQUESTS
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic import ValidationError

from hyperhive.store.transaction import dumps

JSON: Final = b"application/json"
VERSION_HEADER: Final = b"mcp-protocol-version"
VERSION_UNNAMED: Final = "2025-03-26"
"""What a request without the header is to be taken for, says MCP."""

_TOOL_CALLS: Final = {
    version.encode(): CLIENT_REQUESTS["tools/call", version]
    for version in HANDSHAKE_PROTOCOL_VERSIONS
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A tool call as it came: the number that its answer bears, the tool and its arguments."""

    id: int | str
    tool: str
    arguments: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Told:
    """What a tool says: its result as one JSON text, or why there is none."""

    text: str
    is_error: bool = False
    is_text_only: bool = False


def tool_call(scope: Any, body: bytes) -> Asked | None:
    """Read a request that can be one exchange; ``None`` leaves it to the transport."""
    headers = dict(scope["headers"])
    if headers.get(b"content-type") != JSON or JSON not in headers.get(b"accept", b""):
        return None
    form = _TOOL_CALLS.get(headers.get(VERSION_HEADER, VERSION_UNNAMED.encode()))
    if form is None:
        return None
    try:
        request: Any = form.model_validate_json(body, strict=True, by_name=False)
    except ValidationError:
        return None
    return Asked(request.id, request.params.name, request.params.arguments)


async def answer(number: int | str, told: Told, send: Any) -> None:
    """Send what a tool has said; a result goes out twice, as text and as an object."""
    has_object = not (told.is_error or told.is_text_only)
    structured = "" if not has_object else f',"structuredContent":{told.text}'
    body = (
        f'{{"jsonrpc":"2.0","id":{dumps(number)},"result":{{"content":[{{"type":"text",'
        f'"text":{dumps(told.text)}}}]{structured},"isError":{dumps(told.is_error)}}}}}'
    ).encode()
    headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""A lean client for a Unix socket: HTTP/1.1 on one connection that is kept open.

It writes a request as one piece of bytes and reads of the answer only the status, the length and
two headers, so that a round trip costs it tens of microseconds and what is timed is the server.
The headers are those of the bridge, a number for each request included.
"""

import asyncio
import itertools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast


class WireError(Exception):
    """An answer that the benchmark did not expect."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; ``delivery`` is what is to be confirmed, if anything."""

    status: int
    body: bytes
    delivery: bytes | None


class Wire(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None
        self._numbers = itertools.count()
        self._prefix = os.urandom(8).hex()

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Connect."""
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_unix_connection(cls, str(path))
        return wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the connection."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail whoever waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(WireError(f"The connection ended: {exc}."))

    def data_received(self, data: bytes) -> None:
        """Collect the answer."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._answer is None or self._answer.done():
            return
        head = bytes(self._buffer[:end]).lower()
        length = int(_header(head, b"content-length") or 0)
        if len(self._buffer) < end + 4 + length:
            return
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        self._buffer.clear()
        delivery = _header(head, b"hyperhive-delivery")
        self._answer.set_result(Answer(int(head[9:12]), body, delivery))

    async def post(self, path: str, body: bytes) -> Answer:
        """Send a request and wait for its answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(
            b"POST %b HTTP/1.1\r\nHost: hyperhive\r\nContent-Type: application/json\r\n"
            b"Accept: application/json, text/event-stream\r\nHyperhive-Request: %b\r\n"
            b"Content-Length: %d\r\n\r\n%b"
            % (path.encode(), f"{self._prefix}{next(self._numbers):016x}".encode(), len(body), body)
        )
        return await self._answer

    async def call(self, request: bytes) -> Answer:
        """Call a tool; anything but its good result is a `WireError`."""
        answer = await self.post("/mcp", request)
        if answer.status != 200 or b'"isError":true' in answer.body or b'"error"' in answer.body:
            raise WireError(f"{answer.status}: {answer.body[:300]!r}")
        return answer

    async def confirm(self, answer: Answer) -> None:
        """Confirm what an answer delivered, as the bridge does."""
        if answer.delivery is not None:
            done = await self.post(f"/deliveries/{answer.delivery.decode()}/confirm", b"")
            if done.status != 204:
                raise WireError(f"{done.status}: {done.body[:300]!r}")

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()


def tool_call(name: str, arguments: Mapping[str, Any]) -> bytes:
    """Write the JSON-RPC request that calls a tool."""
    params = {"name": name, "arguments": dict(arguments)}
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return json.dumps(request).encode()


def result(answer: Answer) -> dict[str, Any]:
    """Read what a tool returned."""
    found: dict[str, Any] = json.loads(answer.body)["result"]["structuredContent"]
    return found


def _header(head: bytes, name: bytes) -> bytes | None:
    start = head.find(b"\r\n" + name + b":")
    if start < 0:
        return None
    start += len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else len(head)].strip()

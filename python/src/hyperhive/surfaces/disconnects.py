"""Reading a request whole and noticing that its client goes away while the answer is made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from hyperhive.domain.errors import TooLargeError
from hyperhive.services.callers import Caller


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


@dataclass(slots=True)
class Request:
    """A request that has been read: its body, its caller, and a ``receive`` that replays it."""

    body: bytes
    caller: Caller
    _replayed: bool = False

    async def receive(self) -> dict[str, Any]:
        """Give the body once, then wait until the client goes."""
        if not self._replayed:
            self._replayed = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        gone = asyncio.Event()
        self.caller.when_gone(gone.set)
        await gone.wait()
        return {"type": "http.disconnect"}


@asynccontextmanager
async def whole_request(receive: Any, *, limit_bytes: int) -> AsyncIterator[Request]:
    """Read a request's body and watch its connection until the block is left.

    Raises `TooLargeError` above ``limit_bytes`` and `ClientGoneError` when it never arrives whole.
    """
    body = await _read(receive, limit_bytes)
    caller = Caller()
    watcher = asyncio.create_task(_watch(receive, caller))
    try:
        yield Request(body, caller)
    finally:
        watcher.cancel()


async def _read(receive: Any, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise TooLargeError("request", size, limit_bytes, "Send less at once.")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _watch(receive: Any, caller: Caller) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            caller.leave()
            return

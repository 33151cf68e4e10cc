"""Harnesses that do nothing but be there: to the server they look like idle ones.

Each keeps its session's stream open and waits for work on a connection of its own, as the real
one does, with a heartbeat at the pace that the server names. Fifty of them cost this process
little, so what is measured is the server.
"""

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hyperhive.domain.turns import HEARTBEAT_SECONDS, WORK_WAIT_SECONDS_MAX
from tests.bench.hives import Declared


class IdleHarness:
    """One agent's presence; ``turns`` counts what it was given to do, which should be nothing."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._session = os.urandom(16).hex()
        self._tasks: list[asyncio.Task[None]] = []
        self._stream: asyncio.StreamWriter | None = None
        self.turns = 0

    async def connect(self) -> None:
        """Say hello, be welcomed, and begin to wait."""
        reader, self._stream = await asyncio.open_unix_connection(str(self._socket))
        hello = {"session": self._session, "pid": os.getpid(), "version": "0"}
        self._stream.write(_request("/harness/session", hello))
        await reader.readuntil(b"welcome")
        for work in (self._listen(reader), self._wait(), self._beat()):
            self._tasks.append(asyncio.create_task(work))

    async def close(self) -> None:
        """Go away."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._stream is not None:
            self._stream.close()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while await reader.read(4096):
            pass

    async def _wait(self) -> None:
        while True:
            answer = await self._post("/harness/work", {"wait_seconds": WORK_WAIT_SECONDS_MAX})
            self.turns += answer["turn"] is not None

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            await self._post("/harness/heartbeat", {"turn": None})

    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(str(self._socket))
        try:
            writer.write(_request(path, {"session": self._session, **body}))
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            assert length is not None
            answer: dict[str, Any] = json.loads(await reader.readexactly(int(length[1])))
            return answer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def connected(hive: Declared) -> AsyncIterator[list[IdleHarness]]:
    """Have an idle harness connected for every agent."""
    harnesses = [IdleHarness(hive.socket(name)) for name in hive.agents]
    try:
        await asyncio.gather(*(harness.connect() for harness in harnesses))
        yield harnesses
    finally:
        await asyncio.gather(*(harness.close() for harness in harnesses))


def _request(path: str, body: Mapping[str, Any]) -> bytes:
    text = json.dumps(body).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: hyperhive\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    ).encode() + text

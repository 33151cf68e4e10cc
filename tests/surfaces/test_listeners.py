"""The hive's sockets themselves."""

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

from hyperhive.surfaces import connections
from hyperhive.surfaces.listeners import Listeners

pytestmark = pytest.mark.anyio


async def test_a_small_answer_by_tcp_waits_for_no_other(tmp_path: Path) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    listeners = Listeners(tmp_path)
    address, port = await listeners.open_tcp("127.0.0.1", 0, app)
    try:
        reader, writer = await asyncio.open_connection(address, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        [(server, _)] = listeners._serving.values()
        [connection] = server.server_state.connections
        ours: socket.socket = connection.transport.get_extra_info("socket")
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        writer.close()
    finally:
        await listeners.close()


PARTS = 1000


class Slowly:
    """Tells of every part of a request's body, and answers with more than any client's share."""

    def __init__(self) -> None:
        self.parts: asyncio.Queue[bytes] = asyncio.Queue()
        self.ended = asyncio.Event()

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            await self.parts.put(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(PARTS):
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
        self.ended.set()


async def test_a_body_that_goes_on_has_as_long_again_with_every_part(tmp_path: Path) -> None:
    app, listeners = Slowly(), Listeners(tmp_path)
    address, port = await listeners.open_tcp("127.0.0.1", 0, app, patient=True)
    try:
        _, writer = await asyncio.open_connection(address, port)
        writer.write(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n")
        [(server, _)] = listeners._serving.values()
        ends = []
        for part in (b"a", b"b", b"c"):
            writer.write(part)
            while part not in await app.parts.get():
                continue
            [connection] = server.server_state.connections
            assert isinstance(connection, connections.PatientConnection)
            assert connection._late is not None
            ends.append(connection._late.when())
        writer.close()
    finally:
        await listeners.close()

    assert ends[0] < ends[1] < ends[2]


async def test_who_takes_nothing_of_an_answer_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.2)
    app, listeners = Slowly(), Listeners(tmp_path)
    address, port = await listeners.open_tcp("127.0.0.1", 0, app, patient=True)
    try:
        reader, writer = await asyncio.open_connection(address, port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        async with asyncio.timeout(60):
            await app.ended.wait()
        heard = 0
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(65536):
                heard += len(part)
        assert 0 < heard < PARTS * 65536
        writer.close()
    finally:
        await listeners.close()

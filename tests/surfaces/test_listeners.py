"""The hive's sockets themselves."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

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

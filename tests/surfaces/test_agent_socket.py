"""What an agent gains by attacking its own socket: errors, and nothing of the others'."""

import asyncio
import contextlib
import json
import re
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hyperhive.surfaces import connections
from hyperhive.surfaces.connections import CONNECTIONS_MAX
from tests.builders import a_hive
from tests.promises import promise
from tests.surfaces.hives import (
    MCP,
    Box,
    Whole,
    Wire,
    a_hive_beside,
    a_whole_hive,
    operator_routes,
    started,
    until,
)

pytestmark = pytest.mark.anyio

WHOLE = b"POST /mcp HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n"


@pytest.fixture
async def hive(tmp_path: Path) -> AsyncIterator[Whole]:
    async with a_whole_hive(tmp_path) as whole:
        yield whole


@pytest.fixture
def alice(hive: Whole) -> Box:
    return hive.box("alice")


@pytest.fixture
def many_sockets() -> Iterator[None]:
    """Let this process hold both ends of thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def works(box: Box) -> float:
    """See that an agent is served, and give how long it took in seconds."""
    begun = time.monotonic()
    async with asyncio.timeout(20):
        called = await box.call("send", to="queen", body="still here")
    assert called.refusal is None
    return time.monotonic() - begun


@promise("I2")
async def test_no_route_of_the_operators_is_on_an_agents_socket(hive: Whole) -> None:
    routes = {(re.sub(r"{\w+}", "1", path), method) for path, method in operator_routes()}
    before = hive.run.store.bus.seq
    body = json.dumps({"to": "bob", "body": "x", "path": "/x", "secret": hive.secret}).encode()
    disguises = [
        {},
        {"authorization": f"Bearer {hive.secret}"},
        {"host": hive.host, "x-hyperhive-csrf": "x", "cookie": f"hyperhive_{hive.port}=x"},
    ]

    for path, method in sorted(routes):
        for headers in disguises:
            for agent in ("alice", "queen"):
                answer = await hive.box(agent).ask(method, path, headers=headers, body=body)
                assert answer.status == 404, (agent, method, path)
                assert answer.json()["code"] == "not_found"

    assert hive.run.store.bus.seq == before


@promise("I2")
@pytest.mark.parametrize(
    "target",
    [
        "/mcp/../api/state",
        "/mcp/api/state",
        "/deliveries/../api/state",
        "/deliveries/x/confirm/../../../api/state",
        "/harness/../api/state",
        "//api/state",
        "/%61pi/state",
        "http://127.0.0.1/api/state",
        "/harness/turns/1/../../../api/state",
    ],
)
async def test_no_spelling_of_a_path_leads_from_an_agents_socket_to_the_operators_api(
    alice: Box, target: str
) -> None:
    for method in ("GET", "POST"):
        answer = await alice.ask(method, target)

        assert answer.status == 404
        assert b"epoch" not in answer.body


@promise("I1", "I2")
async def test_another_agents_socket_is_the_only_way_to_be_that_agent(hive: Whole) -> None:
    seen = {}
    for name in ("alice", "bob", "queen"):
        await hive.box(name).call("send", to="operator", body=f"I am {name}")
    for message in (await hive.admin.get("/api/state"))["messages"]:
        seen[message["from"]] = message["preview"]

    assert seen == {name: f"I am {name}" for name in ("alice", "bob", "queen")}


@promise("T2")
async def test_a_foreign_path_is_told_what_there_is(alice: Box) -> None:
    answer = await alice.ask("GET", "/api/state")

    assert answer.kind == "application/problem+json"
    assert "POST /mcp" in answer.json()["remedy"]


INTERRUPTED = [
    b"",
    b"P",
    b"POST /mcp HTTP/1.1\r\nhost: h\r\n",
    WHOLE + b"content-length: 100\r\n\r\n",
    WHOLE + b"content-length: 100\r\n\r\n" + b'{"jsonrpc"',
    WHOLE + b"transfer-encoding: chunked\r\n\r\n5\r\nabc",
    b"POST /harness/session HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\n{",
    b"POST /harness/work HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n{",
    b"POST /deliveries/x/confirm HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n{",
]


@promise("T2")
async def test_a_socket_closed_in_mid_request_is_nothing_to_anybody(
    hive: Whole, alice: Box, caplog: pytest.LogCaptureFixture
) -> None:
    for said in INTERRUPTED:
        for abruptly in (False, True):
            wire = await Wire.to(alice.socket)
            await wire.say(said)
            if abruptly:
                wire.writer.transport.abort()
            await wire.close()

    await works(alice)
    await works(hive.box("bob"))
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@promise("T2")
async def test_a_call_whose_client_goes_before_the_answer_is_made_and_logged_as_no_error(
    hive: Whole, alice: Box, caplog: pytest.LogCaptureFixture
) -> None:
    params = {"name": "send", "arguments": {"to": "bob", "body": "x"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    body = json.dumps(message).encode()
    fields = "".join(f"{name}: {value}\r\n" for name, value in MCP.items())
    head = f"POST /mcp HTTP/1.1\r\nhost: h\r\n{fields}content-length: {len(body)}\r\n\r\n"
    for _ in range(20):
        wire = await Wire.to(alice.socket)
        await wire.say(head.encode() + body)
        await wire.close()

    await works(alice)
    await works(hive.box("bob"))
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@promise("T2")
async def test_half_a_request_is_not_waited_for_without_end(
    hive: Whole, alice: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.2)
    for said in INTERRUPTED:
        async with await Wire.to(alice.socket) as wire:
            await wire.say(said)
            heard = await wire.hear_all()

        if heard:
            assert heard.startswith(b"HTTP/1.1 408 ")
            assert b"application/problem+json" in heard
    await works(hive.box("bob"))


@promise("T2")
async def test_a_request_that_drips_in_is_not_waited_for_without_end(
    alice: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.3)

    async with await Wire.to(alice.socket) as wire:
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                while not wire.reader.at_eof():
                    await wire.say(b"P")
                    await asyncio.sleep(0.01)
        heard = await wire.hear_all()

    # Who writes on after the end may lose the word that told of it.
    assert heard[:10] in {b"", b"HTTP/1.1 4"}


@promise("T2")
async def test_the_limit_on_arriving_requests_cuts_no_answer_short(
    hive: Whole, alice: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.1)

    called = await alice.call("recv", wait_seconds=0.5)
    async with hive.operator.live() as live:
        await live.next()
        await asyncio.sleep(0.3)
        number = await hive.admin.send("bob")
        event = await live.next()

    assert called.result["messages"] == []
    assert event.data["data"]["message"]["id"] == number


@promise("T2")
async def test_a_connection_is_used_again_and_again(alice: Box) -> None:
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'
    async with await Wire.to(alice.socket) as wire:
        answers = [await wire.ask("POST", "/mcp", headers=MCP, body=body) for _ in range(5)]

    assert {answer.body for answer in answers} == {answers[0].body}


def flooded(where: Path, said: list[bytes]) -> list[socket.socket]:
    """Open a connection for each of these and say it, without waiting for anything."""
    opened = []
    for data in said:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(str(where))
        opened.append(connection)
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
    return opened


def heard_on(connection: socket.socket) -> bytes:
    """Give what the server has said on a connection so far, if it has said anything."""
    connection.setblocking(False)
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def a_wait() -> bytes:
    """Write a whole request that waits for a message."""
    params = {"name": "recv", "arguments": {"wait_seconds": 50}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    body = json.dumps(call).encode()
    fields = "".join(f"{name}: {value}\r\n" for name, value in MCP.items())
    head = f"POST /mcp HTTP/1.1\r\nhost: h\r\n{fields}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@promise("T2")
@pytest.mark.parametrize(
    "said",
    [[*INTERRUPTED] * 112, [a_wait()] * 1000],
    ids=["half requests", "whole requests that wait"],
)
def test_a_thousand_connections_of_one_agent_are_felt_by_no_other(
    tmp_path: Path, many_sockets: None, said: list[bytes]
) -> None:
    with a_hive_beside(tmp_path) as beside:
        alice, bob = beside.hive.box("alice"), beside.hive.box("bob")
        alone = max(beside.do(works(bob)) for _ in range(10))

        opened = flooded(alice.socket, said)
        beside_them = sorted(beside.do(works(bob)) for _ in range(20))
        told = [text for connection in opened if (text := heard_on(connection))]
        for connection in opened:
            connection.close()

        assert beside_them[10] < max(0.25, 20 * alone)
        assert len(opened) >= 1000
        assert len(told) >= (1000 - CONNECTIONS_MAX) // 2
        assert all(each.startswith(b"HTTP/1.1 503 ") for each in told)
        refused = json.loads(told[0].partition(b"\r\n\r\n")[2])
        assert (refused["code"], bool(refused["remedy"])) == ("unavailable", True)

        async def has_room() -> bool:
            return (await alice.ask("POST", "/mcp")).status != 503

        beside.do(until(has_room))
        beside.do(works(alice))
        assert beside.errors() == []


@promise("T2")
async def test_a_head_without_end_is_refused_before_it_is_kept(hive: Whole, alice: Box) -> None:
    async with await Wire.to(alice.socket) as wire:
        with contextlib.suppress(ConnectionError):
            await wire.say(b"POST /mcp HTTP/1.1\r\nhost: h\r\n")
            for n in range(2000):
                await wire.say(b"x-%d: %s\r\n" % (n, b"y" * 1000))
        heard = await wire.hear_all()

    # Who writes on after the end may lose the word that told of it.
    assert heard[:10] in {b"", b"HTTP/1.1 4"}
    await works(hive.box("bob"))


@promise("T2")
async def test_a_body_without_end_is_refused_before_it_is_kept(hive: Whole, alice: Box) -> None:
    async with await Wire.to(alice.socket) as wire:
        with contextlib.suppress(ConnectionError):
            await wire.say(WHOLE + b"transfer-encoding: chunked\r\n\r\n")
            for _ in range(40):
                await wire.say(b"10000\r\n%s\r\n" % (b"x" * 65536))
        status = await asyncio.wait_for(wire.reader.readline(), 10)

    assert status.startswith(b"HTTP/1.1 413 ")
    await works(hive.box("bob"))


@promise("T2")
@pytest.mark.parametrize("path", ["/mcp", "/harness/work", "/api/state"])
async def test_a_websocket_is_no_way_in(hive: Whole, alice: Box, path: str) -> None:
    upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}

    answer = await alice.ask("GET", path, headers=upgrade)

    assert answer.status in {404, 405}
    await works(hive.box("bob"))


@promise("T2")
async def test_requests_sent_behind_one_another_are_all_answered_in_order(alice: Box) -> None:
    said = b""
    for number in range(1, 6):
        body = b'{"jsonrpc": "2.0", "id": %d, "method": "ping"}' % number
        fields = b"".join(f"{name}: {value}\r\n".encode() for name, value in MCP.items())
        closing = b"connection: close\r\n" if number == 5 else b""
        head = b"POST /mcp HTTP/1.1\r\nhost: h\r\n" + fields + closing
        said += head + b"content-length: %d\r\n\r\n" % len(body) + body

    async with await Wire.to(alice.socket) as wire:
        await wire.say(said)
        heard = await wire.hear_all()

    assert [int(number) for number in re.findall(rb'"id":(\d+)', heard)] == [1, 2, 3, 4, 5]


async def test_an_agents_directory_is_kept_and_only_the_socket_in_it_is_replaced(
    tmp_path: Path,
) -> None:
    declared = a_hive(tmp_path / "state", tmp_path / "r")
    async with started(declared) as hive:
        directory = hive.box("alice").socket.parent
        first = directory.stat().st_ino
    left = list(directory.iterdir())

    async with started(declared) as hive:
        await works(hive.box("alice"))

    assert left == []
    assert directory.stat().st_ino == first

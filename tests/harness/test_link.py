import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from hyperhive.harness.link import Link, RefusedError, UnreachableError
from tests.harness.fake_server import FakeServer, Problem, Raw

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def a_server_that_says(path: Path, *parts: bytes, stays: bool = False) -> AsyncIterator[None]:
    """Answer one connection with these bytes, then close it, or keep it open in silence."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(8)
        done = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"".join(parts))
                done.wait(5 if stays else 0)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        done.set()
        await asyncio.to_thread(thread.join)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def test_a_refusal_has_the_code_of_its_problem_document(hive: FakeServer, box: Path) -> None:
    hive.refuse = lambda path: Problem(409, "turn_over", "It ended.")
    with pytest.raises(RefusedError, match=r"It ended\. Do otherwise\.") as refusal:
        await Link(str(box / "socket")).post("/harness/work", {"session": "a"})
    assert (refusal.value.code, refusal.value.status) == ("turn_over", 409)
    assert not refusal.value.is_passing


async def test_a_refusal_without_a_document_has_the_status_as_code(
    hive: FakeServer, box: Path
) -> None:
    def refuse(path: str) -> None:
        raise Raw(502, b"<html>", "text/html")

    hive.refuse = refuse
    with pytest.raises(RefusedError) as refusal:
        await Link(str(box / "socket")).post("/harness/work", {"session": "a"})
    assert refusal.value.code == "http_502"
    assert refusal.value.is_passing


async def test_an_answer_that_is_not_json_is_a_refusal(hive: FakeServer, box: Path) -> None:
    def refuse(path: str) -> None:
        raise Raw(200, b"hello", "text/plain")

    hive.refuse = refuse
    with pytest.raises(RefusedError, match="not JSON"):
        await Link(str(box / "socket")).post("/harness/work", {"session": "a"})


async def test_a_server_that_is_not_there_is_unreachable(box: Path) -> None:
    with pytest.raises(UnreachableError, match="No such file"):
        await Link(str(box / "socket")).post("/harness/work", {})


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200", HEAD + chunk(b'{"a":')])
async def test_a_server_that_breaks_off_is_unreachable(box: Path, said: bytes) -> None:
    async with a_server_that_says(box / "socket", said):
        with pytest.raises(UnreachableError):
            await Link(str(box / "socket")).post("/harness/work", {})


async def test_a_server_that_says_nothing_is_unreachable_in_time(box: Path) -> None:
    link = Link(str(box / "socket"))
    async with a_server_that_says(box / "socket", stays=True):
        with pytest.raises(UnreachableError, match=r"0\.1 s"):
            await link.post("/harness/work", {}, timeout_seconds=0.1)


async def test_a_stream_is_read_line_by_line_however_it_is_cut(box: Path) -> None:
    said = chunk(b'{"a":1}\n{"b"') + chunk(b":2}\n\n") + chunk(b'{"c":3}\n') + chunk(b"")
    link = Link(str(box / "socket"))
    async with (
        a_server_that_says(box / "socket", HEAD, said),
        link.stream("/harness/session", {}, idle_seconds=5) as lines,
    ):
        assert [await lines.next() for _ in range(3)] == [{"a": 1}, {"b": 2}, {"c": 3}]
        with pytest.raises(UnreachableError, match="ended the stream"):
            await lines.next()


async def test_a_silent_stream_is_unreachable_in_time(box: Path) -> None:
    link = Link(str(box / "socket"))
    async with (
        a_server_that_says(box / "socket", HEAD, chunk(b'{"a":1}\n'), stays=True),
        link.stream("/harness/session", {}, idle_seconds=0.1) as lines,
    ):
        await lines.next()
        with pytest.raises(UnreachableError, match="Silent"):
            await lines.next()


async def test_a_line_without_end_is_unreachable_and_not_kept(box: Path) -> None:
    link = Link(str(box / "socket"))
    flood = chunk(b"x" * 2**20) + chunk(b"x" * 2**20)
    async with (
        a_server_that_says(box / "socket", HEAD, flood),
        link.stream("/harness/session", {}, idle_seconds=5) as lines,
    ):
        with pytest.raises(UnreachableError, match="over 1048576 bytes"):
            await lines.next()

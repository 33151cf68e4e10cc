"""What becomes of a request to a forge that fails, in each of the ways that one can."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from hyperhive.domain.errors import ForgeUnavailableError, NotOfferedError
from hyperhive.domain.forge import Org
from hyperhive.forge.client import ForgeClient
from hyperhive.forge.transport import Transport
from tests.promises import promise

pytestmark = pytest.mark.anyio

GOOD = b'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 15\r\n\r\n{"version":"1"}'
FAILED = b"HTTP/1.1 500 no\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
HALF = b'HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{"ver'
NONSENSE = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 7\r\n\r\n<html/>"
NEVER = b'HTTP/1.1 501 no\r\ncontent-length: 16\r\n\r\n{"message":"no"}'


@asynccontextmanager
async def a_forge(*answers: bytes | None) -> AsyncIterator[tuple[ForgeClient, list[bytes]]]:
    """Answer one request after the other with raw bytes; ``None`` is silence."""
    left, asked = list(answers), []
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n"))
        await reader.readuntil(b"\r\n\r\n")
        answer = left.pop(0)
        if answer is None:
            await over.wait()
        else:
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    def transport() -> Transport:
        return Transport(read_seconds=1.5, budget_seconds=20, sleep=lambda _: None)

    client = ForgeClient(f"http://127.0.0.1:{port}", "token", transport=transport)
    try:
        yield client, asked
    finally:
        over.set()
        await client.close()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("first", [FAILED, HALF, None], ids=["500", "half", "silence"])
@promise("F5")
async def test_a_question_is_asked_again(first: bytes | None) -> None:
    async with a_forge(first, GOOD) as (client, asked):
        assert await client.version() == "1"
    assert len(asked) == 2


@pytest.mark.parametrize("answer", [FAILED, HALF, None], ids=["500", "half", "silence"])
@promise("F5")
async def test_a_forge_that_keeps_failing_is_given_up(answer: bytes | None) -> None:
    async with a_forge(*[answer] * 4) as (client, asked):
        with pytest.raises(ForgeUnavailableError):
            await client.version()
    assert len(asked) == 4


@pytest.mark.parametrize("answer", [FAILED, HALF, None], ids=["500", "half", "silence"])
@promise("F5")
async def test_what_may_have_been_done_is_not_done_again(answer: bytes | None) -> None:
    async with a_forge(answer, GOOD) as (client, asked):
        with pytest.raises(ForgeUnavailableError):
            await client.create_org(Org("acme"))
    assert len(asked) == 1


async def test_an_answer_that_cannot_be_read_is_the_forges_failure() -> None:
    async with a_forge(NONSENSE) as (client, _):
        with pytest.raises(ForgeUnavailableError):
            await client.version()


async def test_what_is_never_offered_is_not_asked_for_again() -> None:
    async with a_forge(NEVER) as (client, asked):
        with pytest.raises(NotOfferedError):
            await client.version()
    assert len(asked) == 1


async def test_a_forge_that_is_not_there_says_so() -> None:
    refused: Callable[[], Awaitable[str]]
    client = ForgeClient("http://127.0.0.1:9", "token", transport=lambda: Transport(waits=()))
    refused = client.version
    with pytest.raises(ForgeUnavailableError, match="reached"):
        await refused()
    await client.close()

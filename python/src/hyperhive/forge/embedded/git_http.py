"""git over HTTP: ``git http-backend`` behind a raw ASGI handler that pipes both ways.

A push begins with the names of the refs it wants to change. They are read and judged before git
sees a byte: a push that touches what its account may not change is refused whole, in git's own
words, so that `git push` shows the reason beside each ref.
"""

import asyncio
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from hyperhive.domain.errors import InvalidError, NotFoundError
from hyperhive.forge.embedded import permissions
from hyperhive.forge.embedded.git import PUSH_BYTES_MAX, Git, branch_fault, end, ended
from hyperhive.forge.embedded.permissions import READ, WRITE, Seen
from hyperhive.forge.embedded.pulls import Pulls
from hyperhive.forge.embedded.shares import Shares
from hyperhive.store import Row, Store, forge_repositories

COMMANDS_BYTES_MAX: Final = 1 << 20
CHUNK: Final = 64 * 1024
ZERO: Final = "0" * 40
TRANSFERS_MAX: Final = 16
"""How many clones, fetches and pushes go on at the same time; the next ones wait."""
TRANSFERS_EACH: Final = 4
"""How many of them an account has."""
SERVICES: Final = ("git-upload-pack", "git-receive-pack")


@dataclass(frozen=True, slots=True)
class Command:
    """One ref that a push wants to change."""

    old: str
    new: str
    ref: str


class GitHttp:
    """Answers ``git clone``, ``fetch`` and ``push``."""

    def __init__(self, store: Store, git: Git, pulls: Pulls) -> None:
        self._store = store
        self._git = git
        self._pulls = pulls
        self._transfers = Shares(TRANSFERS_EACH, TRANSFERS_MAX)

    async def answer(
        self, scope: Any, receive: Any, send: Any, account: Row, parts: tuple[str, str, str]
    ) -> None:
        """Serve one request for ``owner``, ``name`` and what is asked of the repository."""
        owner, name, what = parts
        seen = await self._store.read(lambda read: permissions.see(read, account, owner, name))
        query = scope["query_string"].decode("latin-1")
        service = query.removeprefix("service=") if what == "info/refs" else what
        if service not in SERVICES or (scope["method"] == "GET") != (what == "info/refs"):
            raise NotFoundError("service", what)
        seen.require(WRITE if service == "git-receive-pack" else READ)
        await self._git.ensure(seen)
        body = _body(receive)
        if what != "git-receive-pack":
            await self._pipe(scope, send, seen, account, what, body, until=receive)
            return
        headers = dict(scope["headers"])
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise InvalidError("A push is not compressed a second time.")
        begun, commands, capabilities = await _commands(body)
        refused, strict = await self._judge(seen, account, commands)
        if refused:
            await _refuse(send, body, commands, refused, capabilities)
            return
        await self._pipe(scope, send, seen, account, what, _after(begun, body), strict=strict)
        for command in commands:
            found = await self._git.refs(seen.repository.id, command.ref)
            if found.get(command.ref, ZERO) == command.new and command.old != command.new:
                await self._pulls.pushed(account, seen, command.ref, command.old, command.new)

    async def _judge(
        self, seen: Seen, account: Row, commands: list[Command]
    ) -> tuple[dict[str, str], bool]:
        """Say which refs are refused and why, and whether nothing may be forced."""

        def job(read: Any) -> tuple[dict[str, str], bool]:
            refused, strict = {}, False
            for command in commands:
                branch = command.ref.removeprefix("refs/heads/")
                if command.ref.startswith("refs/tags/") and not branch_fault(command.ref[10:]):
                    continue
                if branch == command.ref or branch_fault(branch):
                    refused[command.ref] = "only branches and tags are pushed here"
                elif not permissions.may_push(read, account, seen, branch):
                    refused[command.ref] = "the branch is protected; open a pull request"
                elif forge_repositories.protection(read, seen.repository.id, branch) is not None:
                    strict = True
                    if command.new == ZERO:
                        refused[command.ref] = "a protected branch is not deleted"
            return refused, strict

        return await self._store.read(job)

    async def _pipe(
        self,
        scope: Any,
        send: Any,
        seen: Seen,
        account: Row,
        what: str,
        body: AsyncIterator[bytes],
        *,
        strict: bool = False,
        until: Callable[[], Awaitable[Any]] | None = None,
    ) -> None:
        """Let git answer; what only reads ends with its client, which ``until`` waits for."""
        headers = dict(scope["headers"])
        variables = {
            "PATH_INFO": f"/{seen.repository.id}.git/{what}",
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": scope["method"],
            "QUERY_STRING": scope["query_string"].decode("latin-1"),
            "REMOTE_USER": account.name,
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": headers.get(b"content-type", b"").decode("latin-1"),
            "HTTP_CONTENT_ENCODING": headers.get(b"content-encoding", b"").decode("latin-1"),
            "GIT_PROTOCOL": headers.get(b"git-protocol", b"").decode("latin-1"),
        }
        if b"content-length" in headers:
            variables["CONTENT_LENGTH"] = headers[b"content-length"].decode("latin-1")
        settings = {"receive.denyNonFastForwards": "true"} if strict else {}
        async with self._transfers.place(account.id):
            process = await self._git.backend(variables, settings)
            with ended(process):
                assert process.stdout is not None
                feeding = asyncio.create_task(_feed(process, body, until))
                try:
                    await _relay(process.stdout, send)
                    await process.wait()
                finally:
                    feeding.cancel()
                    await asyncio.gather(feeding, return_exceptions=True)


async def _body(receive: Any) -> AsyncIterator[bytes]:
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client has gone")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > PUSH_BYTES_MAX:
            raise InvalidError("The push is too large.", "Push in smaller steps.")
        if chunk:
            yield chunk
        if not message.get("more_body", False):
            return


async def _commands(body: AsyncIterator[bytes]) -> tuple[bytes, list[Command], set[str]]:
    """Read as far as the refs go; give what was read, the refs, and what the client can do."""
    begun, at = bytearray(), 0
    commands: list[Command] = []
    capabilities: set[str] = set()

    async def have(count: int) -> bool:
        while len(begun) < at + count:
            chunk = await anext(body, None)
            if chunk is None:
                return False
            begun.extend(chunk)
        return True

    while at < COMMANDS_BYTES_MAX:
        if not await have(4):
            break
        try:
            size = int(bytes(begun[at : at + 4]), 16)
        except ValueError as error:
            raise InvalidError("That is not git's protocol.") from error
        if size == 0:
            return bytes(begun), commands, capabilities
        if size < 4 or not await have(size):
            break
        line = bytes(begun[at + 4 : at + size]).decode(errors="replace")
        at += size
        line, _, said = line.partition("\0")
        capabilities |= set(said.split())
        words = line.strip("\n").split(" ", 2)
        if not commands and words[0] == "shallow":
            continue  # where the clone's history is cut off: git looks at it itself
        if len(words) != 3 or any(len(word) != 40 for word in words[:2]):
            raise InvalidError("A push here only moves refs.")
        commands.append(Command(*words))
    if not begun:
        return b"", [], set()
    raise InvalidError("The push is cut short, or has too many refs.")


async def _after(begun: bytes, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield begun
    async for chunk in body:
        yield chunk


async def _feed(
    process: Process, body: AsyncIterator[bytes], until: Callable[[], Awaitable[Any]] | None
) -> None:
    into = process.stdin
    assert into is not None
    try:
        async for chunk in body:
            into.write(chunk)
            await into.drain()
    except (BrokenPipeError, ConnectionResetError, InvalidError):
        # The program has ended, or the client has: either way git sees a push that stops short.
        into.transport.abort()
        return
    into.close()
    if until is not None:
        while (await until())["type"] != "http.disconnect":
            continue
        end(process)


async def _relay(out: asyncio.StreamReader, send: Any) -> None:
    status, headers = 200, []
    while line := (await out.readline()).strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
        else:
            headers.append((name.lower(), value.strip()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    while chunk := await out.read(CHUNK):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(
    send: Any,
    body: AsyncIterator[bytes],
    commands: list[Command],
    refused: dict[str, str],
    capabilities: set[str],
) -> None:
    async for _ in body:
        pass  # git reads the answer only after it has written everything
    report = _line(b"unpack ok\n")
    for command in commands:
        why = refused.get(command.ref, "the push was refused as a whole")
        report += _line(f"ng {command.ref} {why}\n".encode())
    report += b"0000"
    if "side-band-64k" in capabilities:
        report = _line(b"\1" + report[:60000]) + b"0000"
    headers = [
        (b"content-type", b"application/x-git-receive-pack-result"),
        (b"cache-control", b"no-cache"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": report})


def _line(data: bytes) -> bytes:
    return b"%04x" % (len(data) + 4) + data

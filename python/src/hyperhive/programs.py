"""Running a program of the host's to its end: bounded in time, memory and output.

It gets an environment of its own and nothing of the server's, except where programs lie. It and
what it starts are ended when it takes too long, says too much, or its caller is cancelled.
"""

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hyperhive.domain.errors import InvalidError, UnavailableError

_PIECE: Final = 65536


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one run may take: ``seconds`` of time and of a core, and sizes in bytes."""

    seconds: float = 30.0
    output: int = 4 * 1024 * 1024
    memory: int = 1024 * 1024 * 1024
    file: int = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended and what it wrote; a negative status is a signal."""

    status: int
    wrote: bytes
    said: bytes


class OutputError(InvalidError):
    """A program writes more than anybody wants to keep."""

    def __init__(self, program: str, most: int) -> None:
        super().__init__(f"{program} writes more than {most} bytes.", "Make it smaller.")


async def run(
    command: tuple[str, ...],
    what: str,
    *,
    environment: Mapping[str, str],
    stdin: bytes = b"",
    bounds: Bounds = Bounds(),
) -> Ended:
    """Run a program whose arguments are all known, in ``/``; ``what`` names it to a reader.

    Raises `UnavailableError` when it is not there or takes too long, `OutputError` when it says
    too much. How it ended is the caller's to judge.
    """
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), **environment},
            start_new_session=True,
            umask=0o022,
        )
    except FileNotFoundError:
        raise UnavailableError(f"{command[0]} cannot be found in PATH.", "Install it.") from None
    _limit(child.pid, bounds)
    try:
        async with asyncio.timeout(bounds.seconds):
            wrote, said = await _talk(child, command[0], stdin, bounds.output)
    except TimeoutError:
        raise UnavailableError(f"`{what}` did not end within {bounds.seconds:g} s.") from None
    finally:
        await _end(child)
    return Ended(child.returncode or 0, wrote, said)


async def _talk(
    child: asyncio.subprocess.Process, program: str, stdin: bytes, output_max: int
) -> tuple[bytes, bytes]:
    """Feed a program and take what it writes, no more than so many bytes of it."""
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None

    async def feed(writer: asyncio.StreamWriter) -> None:
        # One that ends without reading says why by its status.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            writer.write(stdin)
            await writer.drain()
        writer.close()

    async def take(reader: asyncio.StreamReader) -> bytes:
        found = b""
        while piece := await reader.read(_PIECE):
            found += piece
            if len(found) > output_max:
                raise OutputError(program, output_max)
        return found

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(feed(child.stdin))
            wrote = group.create_task(take(child.stdout))
            said = group.create_task(take(child.stderr))
            group.create_task(child.wait())
    except* OutputError as errors:
        raise errors.exceptions[0] from None
    return wrote.result(), said.result()


def _limit(pid: int, bounds: Bounds) -> None:
    """Bound what a program and those that it starts may take of the machine."""
    limits = (
        (resource.RLIMIT_AS, bounds.memory),
        (resource.RLIMIT_FSIZE, bounds.file),
        (resource.RLIMIT_CPU, int(bounds.seconds)),
        (resource.RLIMIT_CORE, 0),
    )
    with contextlib.suppress(ProcessLookupError):
        for what, most in limits:
            resource.prlimit(pid, what, (most, most))


async def _end(child: asyncio.subprocess.Process) -> None:
    """See to it that neither a program that was cut short nor what it started runs on."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()

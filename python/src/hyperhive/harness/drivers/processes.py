"""Running a program for a turn, and ending it with all it started.

The program leads a process group of its own, so that ending it by group reaches what it started.
Whatever it writes is read to the end in bounded memory: endless lines, binary, half a line,
nothing. When it has exited, what is left of its group gets a moment to finish by itself (an MCP
bridge confirms its last delivery then) and is ended after that. If the harness itself dies, the
kernel kills the program; ``strays`` ends the rest when the next harness starts.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LINE_BYTES_MAX: Final = 16 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_POLL_SECONDS: Final = 0.03
_SETTLE_SECONDS: Final = 1.0

_LEASH: Final = """
import os, sys, _signal
try:
    import ctypes
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
except Exception:
    pass
if os.getppid() != int(sys.argv[1]):
    os._exit(143)
_signal.signal(2, _signal.SIG_DFL)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.stderr.write(f"{sys.argv[2]}: {error.strerror}\\n")
    os._exit(127 if isinstance(error, FileNotFoundError) else 126)
"""
"""Becomes the program after asking the kernel for its death by SIGKILL (9) when its parent dies
(prctl 1, PR_SET_PDEATHSIG). Done in a start of Python's own, 15 ms, because code between fork and
exec is not safe in a process that may have threads. A parent that died before the request is
noticed by its number. SIGINT is given its meaning back: a shell's background job ignores it."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each step of ending a process group waits for the step before, in seconds."""

    terminate_after: float = 10.0
    kill_after: float = 5.0
    linger: float = 2.0
    """How long what outlives the program may still finish by itself."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of output without its end; ``is_cut`` when it was longer than what is kept."""

    text: str
    is_cut: bool


class LineReader:
    """Cuts a stream of bytes into lines and keeps at most ``limit`` bytes of each."""

    def __init__(self, take: Callable[[Line], None], limit: int = LINE_BYTES_MAX) -> None:
        self._take = take
        self._limit = limit
        self._line = bytearray()
        self._is_cut = False

    def feed(self, chunk: bytes) -> None:
        """Add what was read; whole lines are handed on."""
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._append(end)
            self._finish()
        self._append(rest)

    def close(self) -> None:
        """Hand on the last line if it had no end."""
        if self._line or self._is_cut:
            self._finish()

    def _append(self, part: bytes) -> None:
        room = self._limit - len(self._line)
        self._line += part[:room]
        self._is_cut = self._is_cut or len(part) > room

    def _finish(self) -> None:
        text = self._line.decode("utf-8", "replace").removesuffix("\r")
        self._take(Line(text, self._is_cut))
        self._line.clear()
        self._is_cut = False


async def run_program(
    argv: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    stdin: bytes,
    stdout: LineReader,
    stderr: LineReader,
    patience: Patience | None = None,
) -> int:
    """Run a program to its end and return its exit status, negative for a signal.

    127 and 126 are a program that is not there or cannot be run; standard error says so.
    Cancelled, it interrupts the group, terminates it, kills it, each after its time, and then
    re-raises; cancelled once more, it kills at once. In every case nothing of the group is left
    and all output was handed on.
    """
    leash = [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), *argv]
    program = subprocess.Popen(  # noqa: ASYNC220 -- returns once the child has been started
        leash,
        cwd=directory,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    assert program.stderr is not None
    pipes = [
        asyncio.ensure_future(_feed(os.dup(program.stdin.fileno()), stdin)),
        asyncio.ensure_future(_drain(os.dup(program.stdout.fileno()), stdout)),
        asyncio.ensure_future(_drain(os.dup(program.stderr.fileno()), stderr)),
    ]
    for pipe in (program.stdin, program.stdout, program.stderr):
        pipe.close()
    patience = patience or Patience()
    gone = False
    try:
        await _exited(program)
        gone = await _gone(program.pid, patience.linger)
        gone = gone or await _end(program, patience, (signal.SIGTERM,))
    except asyncio.CancelledError:
        # A second cancellation interrupts this, the polite part; the rest is in ``finally``.
        gone = await _end(program, patience, (signal.SIGINT, signal.SIGTERM))
        raise
    finally:
        if not gone:
            _signal(program.pid, signal.SIGKILL)
        await _settle(program, pipes)
    return program.returncode


def describe_exit(status: int) -> str:
    """Say in words how a program ended."""
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-status).name}"
    return f"killed by signal {-status}"


async def _end(
    program: subprocess.Popen[bytes], patience: Patience, numbers: Sequence[int]
) -> bool:
    """Signal the group, each number after its time; return whether nothing of it is left."""
    waits = {signal.SIGINT: patience.terminate_after, signal.SIGTERM: patience.kill_after}
    for number in numbers:
        if not _signal(program.pid, number):
            return True
        if program.poll() is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(waits[signal.Signals(number)]):
                    await _exited(program)
            if program.poll() is None:
                continue
        if await _gone(program.pid, patience.linger):
            return True
    return False


async def _exited(program: subprocess.Popen[bytes]) -> None:
    watch = os.pidfd_open(program.pid)
    try:
        await _ready(watch, is_input=True)
    finally:
        os.close(watch)
    program.wait()


async def _gone(group: int, seconds: float) -> bool:
    """Wait until the group is empty, at most ``seconds``; its leader has been reaped."""
    clock = asyncio.get_running_loop()
    until = clock.time() + seconds
    while _signal(group, 0) and _has_life(group):
        if clock.time() >= until:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


def _has_life(group: int) -> bool:
    """Whether the group has more than zombies, which an idle init may leave lying for long."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, _, of_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(of_group) == group and state not in {"Z", "X"}:
                    return True
    return False


def _signal(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Nothing in it is ours any more.
        return False
    return True


async def _feed(pipe: int, data: bytes) -> None:
    os.set_blocking(pipe, False)
    rest = memoryview(data)
    try:
        while rest:
            try:
                rest = rest[os.write(pipe, rest[:65536]) :]
            except BlockingIOError:
                await _ready(pipe, is_input=False)
    except BrokenPipeError:
        # A program need not read its prompt.
        return
    finally:
        os.close(pipe)


async def _drain(pipe: int, lines: LineReader) -> None:
    os.set_blocking(pipe, False)
    try:
        while True:
            try:
                chunk = os.read(pipe, _CHUNK_BYTES)
            except BlockingIOError:
                await _ready(pipe, is_input=True)
                continue
            if not chunk:
                return
            began = time.perf_counter()
            lines.feed(chunk)
            # A program that never stops writing gets half of this process's time at most.
            await asyncio.sleep(time.perf_counter() - began)
    finally:
        lines.close()
        os.close(pipe)


async def _ready(descriptor: int, *, is_input: bool) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    if is_input:
        loop.add_reader(descriptor, tell)
    else:
        loop.add_writer(descriptor, tell)
    try:
        await ready
    finally:
        if is_input:
            loop.remove_reader(descriptor)
        else:
            loop.remove_writer(descriptor)


async def _settle(program: subprocess.Popen[bytes], pipes: Sequence[asyncio.Task[None]]) -> None:
    """Reap the program and read what it left in its pipes.

    With the group dead both take no time, unless something that left the group holds the pipes;
    that is not waited for.
    """
    try:
        async with asyncio.timeout(_SETTLE_SECONDS):
            if program.poll() is None:
                await _exited(program)
            await asyncio.wait(pipes)
    except TimeoutError:
        return
    finally:
        for pipe in pipes:
            pipe.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)

"""Running git on repositories of the hive's own, so that nothing but its arguments decides.

No configuration of the system or of a user is read, no hook, no attribute, no filter and no
replacement counts, nothing is fetched but from a path that is named, and no password is asked
for. Every call is bounded in time, memory and output, and ended when its caller is cancelled.
"""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hyperhive.domain.errors import InvalidError, UnavailableError

SECONDS_MAX: Final = 30.0
OUTPUT_BYTES_MAX: Final = 4 * 1024 * 1024
MEMORY_BYTES_MAX: Final = 1024 * 1024 * 1024
FILE_BYTES_MAX: Final = 128 * 1024 * 1024

_SETTINGS: Final = (
    "core.hooksPath=/dev/null",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.fsmonitor=false",
    "core.symlinks=false",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    # What is larger is streamed rather than held in memory, and not shown as text.
    "core.bigFileThreshold=1m",
    "protocol.allow=never",
    "protocol.file.allow=always",
    "transfer.fsckObjects=true",
    "fetch.fsckObjects=true",
    "fetch.recurseSubmodules=no",
    "submodule.recurse=false",
    "pack.threads=1",
    "gc.auto=0",
    "maintenance.auto=false",
    "init.defaultBranch=main",
    "init.templateDir=",
    "tag.gpgSign=false",
    "commit.gpgSign=false",
    "advice.detachedHead=false",
)
_IDENTITY: Final = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "hyperhive"), ("EMAIL", "hyperhive@localhost"))
}
_ENVIRONMENT: Final = {
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "GIT_PAGER": "cat",
    "GIT_ALLOW_PROTOCOL": "file",
    **_IDENTITY,
}


class GitError(InvalidError):
    """git said no; what it said is the reason."""

    code = "git"


def fault() -> str | None:
    """Say why no configuration can be kept in git on this machine, or ``None``."""
    return None if shutil.which("git") else "git cannot be found in PATH."


async def git(
    repository: Path, *arguments: str, stdin: bytes = b"", output_max: int = OUTPUT_BYTES_MAX
) -> str:
    """Run git on a bare repository of the hive's own and give what it wrote.

    Raises `GitError` with what git says, and `UnavailableError` when it takes too long.
    """
    settings = [part for each in _SETTINGS for part in ("-c", each)]
    command = ("git", *settings, f"--git-dir={repository}", *arguments)
    return await run(command, arguments[0], stdin=stdin, output_max=output_max)


async def run(
    command: tuple[str, ...],
    what: str,
    *,
    stdin: bytes = b"",
    output_max: int = OUTPUT_BYTES_MAX,
    environment: Mapping[str, str] = _ENVIRONMENT,
) -> str:
    """Run one program of this package's, bounded; see `git`."""
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
    _limit(child.pid)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            wrote, said = await _talk(child, stdin, output_max)
    except TimeoutError:
        raise UnavailableError(f"`git {what}` did not end within {SECONDS_MAX:g} s.") from None
    finally:
        await _end(child)
    if child.returncode != 0:
        raise GitError(_reason(what, child.returncode or 0, said))
    return wrote.decode(errors="replace")


async def _talk(
    child: asyncio.subprocess.Process, stdin: bytes, output_max: int
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
        while piece := await reader.read(65536):
            found += piece
            if len(found) > output_max:
                raise GitError(f"git writes more than {output_max} bytes.", "Make it smaller.")
        return found

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(feed(child.stdin))
            wrote = group.create_task(take(child.stdout))
            said = group.create_task(take(child.stderr))
            group.create_task(child.wait())
    except* GitError as errors:
        raise errors.exceptions[0] from None
    return wrote.result(), said.result()


def _limit(pid: int) -> None:
    """Bound what a program and those that it starts may take of the machine."""
    bounds = (
        (resource.RLIMIT_AS, MEMORY_BYTES_MAX),
        (resource.RLIMIT_FSIZE, FILE_BYTES_MAX),
        (resource.RLIMIT_CPU, int(SECONDS_MAX)),
        (resource.RLIMIT_CORE, 0),
    )
    with contextlib.suppress(ProcessLookupError):
        for what, most in bounds:
            resource.prlimit(pid, what, (most, most))


async def _end(child: asyncio.subprocess.Process) -> None:
    """See to it that neither a program that was cut short nor what it started runs on."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


def _reason(what: str, status: int, said: bytes) -> str:
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    words = next(
        (line for line in reversed(lines) if line.startswith(("fatal:", "error:"))),
        lines[-1] if lines else f"status {status}",
    )
    return f"git {what} failed: {words[:300]}"

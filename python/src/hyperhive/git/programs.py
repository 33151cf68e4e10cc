"""Running git on repositories of the hive's own, so that nothing but its arguments decides.

No configuration of the system or of a user is read, no hook, no attribute, no filter and no
replacement counts, nothing is fetched but from a path that is named, and no password is asked
for. Every call is bounded in time, memory and output, and ended when its caller is cancelled.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from hyperhive.domain.errors import InvalidError
from hyperhive.programs import Bounds, OutputError, run

OUTPUT_BYTES_MAX: Final = Bounds().output

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
    """Run git on a bare repository of the hive's own and give what it wrote, as text.

    Raises `GitError` with what git says, and what `run` raises.
    """
    wrote = await git_bytes(repository, *arguments, stdin=stdin, output_max=output_max)
    return wrote.decode(errors="replace")


async def git_bytes(
    repository: Path, *arguments: str, stdin: bytes = b"", output_max: int = OUTPUT_BYTES_MAX
) -> bytes:
    """Run git as `git` does, and give exactly what it wrote."""
    settings = [part for each in _SETTINGS for part in ("-c", each)]
    command = ("git", *settings, f"--git-dir={repository}", *arguments)
    what, bounds = f"git {arguments[0]}", Bounds(output=output_max)
    try:
        ended = await run(command, what, environment=_ENVIRONMENT, stdin=stdin, bounds=bounds)
    except OutputError as error:
        raise GitError(error.detail, error.remedy) from None
    if ended.status != 0:
        raise GitError(_reason(arguments[0], ended.status, ended.said))
    return ended.wrote


def _reason(what: str, status: int, said: bytes) -> str:
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    words = next(
        (line for line in reversed(lines) if line.startswith(("fatal:", "error:"))),
        lines[-1] if lines else f"status {status}",
    )
    return f"git {what} failed: {words[:300]}"

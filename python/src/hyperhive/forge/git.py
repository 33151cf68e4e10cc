"""git as a process of the hive's own: bounded in time, without anybody's settings.

What it authenticates with is in its environment, never in an address or on its command line, and
it is never asked for a password. No hook of a repository runs.
"""

import asyncio
import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hyperhive.domain.errors import UnavailableError

GIT_SECONDS: Final = 60.0
_SETTINGS: Final[Mapping[str, str]] = {
    "core.hooksPath": os.devnull,
    "core.symlinks": "false",
    "credential.helper": "",
    "fetch.fsckObjects": "true",
    "gc.auto": "0",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "20",
    "init.defaultBranch": "main",
    "protocol.allow": "never",
    "protocol.http.allow": "always",
    "protocol.https.allow": "always",
    "safe.directory": "*",
}


class GitError(UnavailableError):
    """git did not do what it was asked."""

    def __init__(self, verb: str, said: str) -> None:
        lines = [line for line in said.splitlines() if line.strip()]
        told = lines[-1][:300] if lines else "it ended without a word"
        super().__init__(f"git {verb} failed: {told}", "The hive tries again by itself.")


def authorization(user: str, token: str) -> str:
    """Give the header by which git shows who is asking."""
    return "Authorization: Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()


async def git(
    *arguments: str,
    cwd: Path,
    header: str | None = None,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    seconds: float = GIT_SECONDS,
) -> bytes:
    """Run git in a directory and give what it wrote. Raises `GitError`."""
    settings = dict(_SETTINGS)
    if header is not None:
        settings["http.extraHeader"] = header
    told = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": str(len(settings)),
        **(environment or {}),
    }
    for number, (key, value) in enumerate(settings.items()):
        told[f"GIT_CONFIG_KEY_{number}"], told[f"GIT_CONFIG_VALUE_{number}"] = key, value
    try:
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            cwd=cwd,
            env=told,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise GitError(arguments[0], f"git cannot be started: {error}") from error
    try:
        async with asyncio.timeout(seconds):
            out, said = await process.communicate(stdin)
    except TimeoutError:
        raise GitError(arguments[0], f"it took more than {seconds:g} s") from None
    finally:
        if process.returncode is None:
            # Its helpers, such as git-remote-http, are of its own session.
            os.killpg(process.pid, 9)
            await process.wait()
    if process.returncode:
        raise GitError(arguments[0], said.decode(errors="replace"))
    return out

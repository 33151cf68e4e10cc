"""Asking this machine's systemd about units, as whoever runs the server.

What it may be asked to do is polkit's to decide: nothing here is root, and nothing here waits for
a password. Every call is one short-lived program of systemd's own, ended if the caller is
cancelled; a job that was under way goes on in systemd.
"""

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyperhive.domain.errors import UnavailableError

ANSWER_SECONDS: Final = 30.0
"""How long systemd may take to answer a question."""

_RUNS: Final = Path("/run/systemd/system")
"""What is there exactly where systemd is the system's first process."""

_TOOLS: Final = ("systemctl", "journalctl")
_KILLED: Final = frozenset({2, 3})
"""``si_code`` of a process that a signal ended, without or with a core dump."""

_LIVES: Final = frozenset({"active", "activating", "deactivating", "reloading", "refreshing"})
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])|\r")
_PROPERTIES: Final = (
    "Id",
    "ActiveState",
    "InvocationID",
    "MainPID",
    "ExecMainCode",
    "ExecMainStatus",
    "StateChangeTimestamp",
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as systemd sees it.

    ``invocation`` names one run of it and is empty when systemd knows of none. ``exit_status`` is
    that of the last run's main process, negative for a signal. ``since`` is when it came into this
    state, in whole seconds since the epoch, 0 when never.
    """

    name: str
    state: str = "inactive"
    invocation: str = ""
    main_pid: int = 0
    exit_status: int | None = None
    since: float = 0.0

    @property
    def lives(self) -> bool:
        """Whether anything of it runs, or is about to."""
        return self.state in _LIVES

    @property
    def is_ending(self) -> bool:
        """Whether it is on its way down."""
        return self.state == "deactivating"

    @property
    def has_failed(self) -> bool:
        """Whether its last run ended as it should not."""
        return self.state == "failed"


class Systemd:
    """systemd of this machine."""

    @staticmethod
    def fault() -> str | None:
        """Say why there is no systemd to ask here, or ``None``."""
        if not _RUNS.is_dir():
            return "systemd does not run this machine."
        missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
        if missing:
            return f"{' and '.join(missing)} cannot be found in PATH."
        return None

    async def units(self, *patterns: str) -> Mapping[str, Unit]:
        """Give the units that match, by name; of a pattern only those that systemd has loaded.

        Raises `UnavailableError` when systemd does not answer.
        """
        properties = ",".join(_PROPERTIES)
        status, said = await _run(
            "systemctl", "show", "--timestamp=unix", f"--property={properties}", "--", *patterns
        )
        if status != 0:
            raise UnavailableError(f"systemd does not answer: {_last(said)}")
        return {unit.name: unit for unit in map(_unit, said.split("\n\n")) if unit.name}

    async def unit(self, name: str) -> Unit:
        """Give one unit; one that systemd does not know is inactive."""
        return (await self.units(name)).get(name, Unit(name))

    async def start(self, name: str) -> None:
        """Start a unit and wait until it is up; raises `UnavailableError` with systemd's reason."""
        await self._job("start", name, seconds=None)

    async def stop(self, name: str, seconds: float) -> None:
        """Stop a unit and wait until it is down, for so long; raises `UnavailableError`."""
        await self._job("stop", name, seconds=seconds)

    async def output(self, name: str, lines: int) -> list[str]:
        """Give the last lines that a unit's own processes wrote, oldest first, over all its runs.

        What the reader may not read is not there.
        """
        return await self._journal(lines, f"_SYSTEMD_UNIT={name}")

    async def story(self, name: str, lines: int) -> list[str]:
        """Give the last lines about a unit, systemd's own words among them."""
        return await self._journal(lines, f"--unit={name}")

    async def _job(self, verb: str, name: str, *, seconds: float | None) -> None:
        status, said = await _run(
            "systemctl", verb, "--no-ask-password", "--quiet", "--", name, seconds=seconds
        )
        if status != 0:
            raise UnavailableError(_first(said) or f"systemctl {verb} ended with status {status}.")

    async def _journal(self, lines: int, match: str) -> list[str]:
        if lines <= 0:
            return []
        arguments = ("--quiet", "--no-pager", "--output=cat", f"--lines={lines}", match)
        status, said = await _run("journalctl", *arguments)
        if status != 0:
            return []
        return [_ESCAPES.sub("", line) for line in said.splitlines()][-lines:]


async def _run(*command: str, seconds: float | None = ANSWER_SECONDS) -> tuple[int, str]:
    """Run one of systemd's programs to its end; give its status and all that it wrote."""
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
    )
    try:
        said, _ = await asyncio.wait_for(child.communicate(), seconds)
    except TimeoutError:
        raise UnavailableError(
            f"`{' '.join(command[:2])}` did not end within {seconds:g} s."
        ) from None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    return child.returncode or 0, said.decode(errors="replace")


def _unit(block: str) -> Unit:
    said = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
    code, status = _number(said.get("ExecMainCode")), _number(said.get("ExecMainStatus"))
    since = said.get("StateChangeTimestamp", "").removeprefix("@")
    return Unit(
        name=said.get("Id", ""),
        state=said.get("ActiveState", "inactive"),
        invocation=said.get("InvocationID", ""),
        main_pid=_number(said.get("MainPID")),
        exit_status=None if not code else -status if code in _KILLED else status,
        since=float(_number(since)),
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def _first(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[0] if lines else ""


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing."

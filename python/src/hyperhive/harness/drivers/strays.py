"""Ending what an earlier harness of the same box left running, and removing what it left lying.

A harness that was killed could not end its driver's children. They still hold the agent's socket
and could act beside the next turn, so a harness ends them before it says hello. Nor could it
remove its turn's files.
"""

import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hyperhive.harness.box import SOCKET, TURN

FILES_PREFIX: Final = "hyperhive-turn-"
"""How the directories begin that hold a turn's files."""


def end_strays(socket: str) -> int:
    """Kill every process of a turn on ``socket``, by its environment; return how many.

    Only processes of the same user can be read and so be found. This process and those it
    descends from are left alone.
    """
    own = set(_lineage(os.getpid()))
    ended = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in own:
            continue
        with contextlib.suppress(OSError):
            variables = (entry / "environ").read_bytes().split(b"\0")
            in_turn = any(variable.startswith(f"{TURN}=".encode()) for variable in variables)
            if in_turn and f"{SOCKET}={socket}".encode() in variables:
                os.kill(int(entry.name), signal.SIGKILL)
                ended += 1
    return ended


def files_of_turns(environment: Mapping[str, str]) -> Path | None:
    """Say where a box keeps the files of its turns; ``None`` when it has no home."""
    home = environment.get("HOME")
    return Path(home) / ".hyperhive" if home else None


def remove_left_files(environment: Mapping[str, str]) -> None:
    """Remove the files of turns whose harness was killed; no turn may run in this box."""
    directory = files_of_turns(environment)
    left = list(directory.glob(f"{FILES_PREFIX}*")) if directory is not None else []
    if left:
        import shutil

        for each in left:
            shutil.rmtree(each, ignore_errors=True)


def _lineage(process: int) -> list[int]:
    lineage = [process]
    with contextlib.suppress(OSError, ValueError, IndexError):
        while lineage[-1] > 1:
            status = Path(f"/proc/{lineage[-1]}/stat").read_text(errors="replace")
            lineage.append(int(status.rpartition(")")[2].split()[1]))
    return lineage

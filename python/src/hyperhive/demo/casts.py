"""Who plays the demo: agents that follow scripts, or Claude Code with a script as its model.

Both have a declaration and scripts, which are put into the demo's directory and can be run from
there again. What is there already stays, so that a changed one can be played.
"""

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Final

from hyperhive import config
from hyperhive.config import Hive, RuntimeKind
from hyperhive.domain.errors import UnavailableError

KEY: Final = "model-key"
"""The file of the agents' credential. The scripted model takes any."""
MODEL: Final = "model.toml"


class Driver(StrEnum):
    """What the command line can ask for."""

    SCRIPTED = "scripted"
    CLAUDE = "claude"


@dataclass(frozen=True, slots=True)
class Cast:
    """A declaration and its scripts, and what is told of those who play."""

    declaration: str
    scripts: tuple[str, ...]
    told: str
    step_seconds: float
    return_seconds: float
    """For a killed agent to have its message again: its back-off is 5 s."""


CASTS: Final[Mapping[Driver, Cast]] = {
    Driver.SCRIPTED: Cast(
        declaration="hive.toml",
        scripts=("queen.toml", "alice.toml", "bob.toml"),
        told="They play scripts: no model is asked.",
        step_seconds=20.0,
        return_seconds=30.0,
    ),
    Driver.CLAUDE: Cast(
        declaration="claude.toml",
        scripts=(MODEL,),
        told="All are Claude Code; its model is a script on the loopback and costs nothing.",
        step_seconds=60.0,
        return_seconds=60.0,
    ),
}


def write_scripts(place: Path, driver: Driver) -> None:
    """Put the scripts of the demo into a directory, unless they are there."""
    (place / "scripts").mkdir(parents=True, exist_ok=True)
    for name in CASTS[driver].scripts:
        _write(name, place / "scripts" / name)


def write_hive(
    place: Path, driver: Driver = Driver.SCRIPTED, kind: RuntimeKind = RuntimeKind.PROCESS
) -> None:
    """Put all of the demo into a directory, as far as it is not there: it is for ``kind`` then."""
    write_scripts(place, driver)
    name, written = CASTS[driver].declaration, f'runtime = "{RuntimeKind.PROCESS.value}"'
    _write(name, place / name, written, f'runtime = "{kind.value}"')
    if driver is Driver.CLAUDE and not (place / KEY).exists():
        opened = os.open(place / KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            file.write(f"sk-demo-{secrets.token_hex(16)}\n")


def load_hive(place: Path, driver: Driver, kind: RuntimeKind, variables: Mapping[str, str]) -> Hive:
    """Read the declaration of a demo, for this kind of box and with these variables."""
    hive = config.load(place / CASTS[driver].declaration)
    agents = {
        name: agent.model_copy(
            update={"runtime": kind, "environment": {**agent.environment, **variables}}
        )
        for name, agent in hive.agents.items()
    }
    return hive.model_copy(update={"agents": agents})


def programs(driver: Driver) -> tuple[Path, ...]:
    """Give what the agents run besides Python; raises `UnavailableError` if it is missing."""
    if driver is Driver.SCRIPTED:
        return ()
    found = shutil.which("claude")
    if found is None:
        raise UnavailableError(
            "Claude Code is not installed: there is no `claude` in PATH.",
            "Install it: npm install --global @anthropic-ai/claude-code",
        )
    return (Path(found).resolve(),)


def _write(name: str, path: Path, old: str = "", new: str = "") -> None:
    if not path.exists():
        text = (files("hyperhive.demo") / "scripts" / name).read_text(encoding="utf-8")
        path.write_text(text.replace(old, new) if old else text, encoding="utf-8")

"""The three views of an agent's box: declared (`BoxSpec`), recorded and observed (`Instance`).

Declared is what should run, recorded is what the hive remembers (the operator's hold, crashes,
the state it last showed), observed is what a runtime sees. They meet only in the plan. Times are
seconds since the epoch.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from signal import Signals
from types import MappingProxyType
from typing import Final

from hyperhive.domain.actors import Role
from hyperhive.domain.agents import AgentState
from hyperhive.domain.backoff import DEFAULT_RULES, RestartRules
from hyperhive.domain.confinement import OPEN, Confinement
from hyperhive.domain.paths import HivePaths

UNSTARTED: Final = "unstarted-"
"""How the incarnations begin that never came to be: their start failed."""


@dataclass(frozen=True, slots=True)
class BoxSpec:
    """What to run for one agent.

    ``argv`` is the harness, ``environment`` what the admin declared; a runtime adds the paths of
    the hive and lets nothing in ``environment`` override them. ``restart`` says when a box that
    ended by itself is started again, ``confinement`` which kind of box it is and what that keeps,
    ``settings`` what the harness learns when it says hello: a change of it asks for a new box.
    ``credentials`` are files of the host by the names under which the driver asks for them.
    ``system`` identifies what the host has configured for a box that it makes itself, and is empty
    for all others. ``built`` is the system that is put in place before such a box starts; it is
    empty where the host's own configuration has done that.
    """

    name: str
    role: Role
    argv: tuple[str, ...]
    state_dir: Path
    run_dir: Path
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    restart: RestartRules = DEFAULT_RULES
    confinement: Confinement = OPEN
    settings: str = ""
    credentials: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))
    system: str = ""
    built: str = ""

    @property
    def runtime(self) -> str:
        """Which kind of box it is to be, as a declaration names it."""
        return self.confinement.kind

    @property
    def paths(self) -> HivePaths:
        """The hive's layout."""
        return HivePaths(self.state_dir, self.run_dir)

    @property
    def digest(self) -> str:
        """Identify what runs: a box that runs under another digest must be made anew.

        When to start it again is no part of that.
        """
        content = {
            "name": self.name,
            "role": self.role.value,
            "argv": self.argv,
            "state_dir": str(self.state_dir),
            "run_dir": str(self.run_dir),
            "environment": dict(self.environment),
            "confinement": self.confinement.content(),
            "settings": self.settings,
        }
        content |= {"system": self.system} if self.system else {}
        content |= {"built": self.built} if self.built else {}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Phase(StrEnum):
    """What a runtime sees of a box."""

    RUNNING = "running"
    STOPPED = "stopped"
    """Nothing runs, but traces are left, and nobody saw how it ended: that is no crash."""
    FAILED = "failed"
    """It ended without having been asked to, whatever its exit status."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One run of a box, as its runtime sees it.

    ``incarnation`` is new with every start and never used again. ``exit_status`` is negative for
    a signal and ``None`` when nobody could learn it; ``ended_at`` is when the end was noticed.
    ``because`` says why the runtime itself ended it, such as a limit, and ``pid`` is the process
    that a stop asks to end.
    """

    name: str
    phase: Phase
    incarnation: str
    digest: str
    started_at: float
    pid: int | None = None
    ended_at: float | None = None
    exit_status: int | None = None
    because: str | None = None

    @property
    def ending(self) -> str:
        """Say in words how it ended."""
        if self.because is not None:
            return self.because
        if self.exit_status is None:
            return "it ended with an unknown status"
        if self.exit_status < 0:
            return f"it was killed by {_signal_name(-self.exit_status)}"
        return f"it exited with status {self.exit_status}"


def _signal_name(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


@dataclass(frozen=True, slots=True)
class Crash:
    """An end nobody asked for, or a start that failed; ``incarnation`` tells it from all others."""

    at: float
    incarnation: str
    reason: str

    @property
    def had_run(self) -> bool:
        """Whether a box had run that was lost by it."""
        return not self.incarnation.startswith(UNSTARTED)


@dataclass(frozen=True, slots=True)
class Replacement:
    """A wish that this very incarnation be replaced; it is void for every later one."""

    incarnation: str
    reason: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the hive remembers of an agent, over restarts of the server.

    ``crashes`` are those since the last healthy run or the operator's last start, in the order
    they were recorded; ``state`` and ``reason`` are what is shown now; ``incarnation`` is the box
    that ran when somebody last looked. An agent that ``waits`` is not started yet: a restart that
    is under way has it come later.
    """

    held: bool = False
    crashes: tuple[Crash, ...] = ()
    state: AgentState | None = None
    reason: str | None = None
    replace: Replacement | None = None
    incarnation: str | None = None
    waits: bool = False

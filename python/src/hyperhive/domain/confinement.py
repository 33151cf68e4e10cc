"""What a box is told to keep in and out: its kind, further mounts, limits, the network.

Declared by the admin, part of what identifies a box (`BoxSpec.digest`), and obeyed by whichever
runtime makes it. The paths that every box has, whatever its kind enforces, are here, too.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

PROCESS: Final = "process"
BUBBLEWRAP: Final = "bubblewrap"
NIXOS_CONTAINER: Final = "nixos-container"

AGENTS: Final = Path("/agents")
SHARED: Final = Path("/shared")
DOCS: Final = Path("/docs")
APPLIED: Final = Path("/applied")
CONFIGS: Final = Path("/configs")
"""What the manager proposes; ``/agents/NAME/config`` leads there."""
RUN: Final = Path("/run/hyperhive")
HOME: Final = Path("/home/agent")
CREDENTIALS: Final = Path("/run/credentials")
BOX_PATHS: Final = (AGENTS, SHARED, DOCS, APPLIED, CONFIGS, RUN, HOME)
"""Where a box that has paths of its own shows the hive's directories."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory or file of the host that the admin shows to a box."""

    host_path: Path
    mount_point: Path
    is_read_only: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """What a box may take of the host; ``None`` is no limit.

    ``memory_bytes`` and ``tasks`` (processes and threads) are those of the whole box, ``cores``
    is how many of them it may keep busy.
    """

    memory_bytes: int | None = None
    cores: float | None = None
    tasks: int | None = None


@dataclass(frozen=True, slots=True)
class Confinement:
    """How a box is to be closed.

    ``programs`` are what its driver runs, by path or by name: a box with paths of its own shows
    them, and nothing else of the directories where they lie. Without ``has_network`` no model can
    be reached. With ``manager_writes`` a manager can change what the others find in their state.
    """

    kind: str = PROCESS
    mounts: tuple[Mount, ...] = ()
    programs: tuple[str, ...] = ()
    limits: Limits = Limits()
    has_network: bool = True
    manager_writes: bool = False

    def content(self) -> dict[str, Any]:
        """Give all of it as what JSON can hold, for the digest."""
        mounts = [
            [str(mount.host_path), str(mount.mount_point), mount.is_read_only]
            for mount in self.mounts
        ]
        return asdict(self) | {"mounts": mounts}


OPEN: Final = Confinement()
"""Nothing is kept in or out."""


def box_config(agent: str) -> Path:
    """Where a box shows the configuration of a spawned agent."""
    return AGENTS / agent / "config"


def box_state(agent: str) -> Path:
    """Where a box shows an agent's state, the working directory of its turns."""
    return AGENTS / agent / "state"

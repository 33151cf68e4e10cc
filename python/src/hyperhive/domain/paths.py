"""Where a hive keeps what, on the host: every path below its two directories, in one place.

Only names are computed here; nothing is created, opened or resolved. ``state_dir`` is durable,
``run_dir`` lives until the host restarts and outlives the server.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

FORGE_TOKEN: Final = "forge-token"  # noqa: S105 - a file's name
"""The file with an agent's token, in what its box sees as ``/run/hyperhive``."""
FORGE_SETTINGS: Final = "forge.json"
"""The file beside it that says where the forge is, and as whom the agent is there."""
GIT_CONFIG: Final = "gitconfig"
"""The file beside it that git reads in the box as the system's settings."""


@dataclass(frozen=True, slots=True)
class HivePaths:
    """The layout below a hive's ``state_dir`` and ``run_dir``."""

    state_dir: Path
    run_dir: Path

    @property
    def agents(self) -> Path:
        """What the boxes see as ``/agents``."""
        return self.state_dir / "agents"

    @property
    def shared(self) -> Path:
        """Files that every agent may read and write."""
        return self.state_dir / "shared"

    @property
    def docs(self) -> Path:
        """The checkout of the docs repository, read-only to agents."""
        return self.state_dir / "docs"

    @property
    def applied(self) -> Path:
        """What is really deployed; the manager reads it."""
        return self.state_dir / "applied"

    @property
    def configs(self) -> Path:
        """What the manager proposes for spawned agents; it writes there."""
        return self.state_dir / "configs"

    @property
    def flake(self) -> Path:
        """The flake that the systems of spawned agents are built from, with its lock."""
        return self.state_dir / "flake"

    @property
    def systems(self) -> Path:
        """Links to the systems that were built for spawned agents."""
        return self.state_dir / "systems"

    @property
    def requests(self) -> Path:
        """Which system the host is to put in place for an agent, one file each."""
        return self.state_dir / "deploy"

    @property
    def logs(self) -> Path:
        """What the boxes wrote to their standard output and error."""
        return self.state_dir / "logs"

    @property
    def records(self) -> Path:
        """One file for each box that runs, by which a new server finds it again."""
        return self.run_dir / "boxes"

    @property
    def admin_socket(self) -> Path:
        """The socket of the command line."""
        return self.run_dir / "admin.sock"

    def state(self, agent: str) -> Path:
        """An agent's own state, the working directory of its turns."""
        return self.agents / agent / "state"

    def config(self, agent: str) -> Path:
        """The proposed configuration of a spawned agent, a repository that the manager writes."""
        return self.configs / agent

    def applied_of(self, agent: str) -> Path:
        """The repository of what was deployed for a spawned agent."""
        return self.applied / agent

    def home(self, agent: str) -> Path:
        """An agent's home: sessions, settings and credentials of its command-line client."""
        return self.state_dir / "homes" / agent

    def log(self, agent: str) -> Path:
        """The output of an agent's box."""
        return self.logs / f"{agent}.log"

    def run(self, agent: str) -> Path:
        """What an agent's box sees as ``/run/hyperhive``; never replaced, only filled."""
        return self.run_dir / "agents" / agent

    def credentials(self, agent: str) -> Path:
        """Copies of an agent's credentials, which its box sees read-only."""
        return self.run_dir / "credentials" / agent

    def socket(self, agent: str) -> Path:
        """An agent's socket, which is its identity."""
        return self.run(agent) / "agent.sock"

"""The box an agent runs in, as its environment tells it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SOCKET: Final = "HYPERHIVE_SOCKET"
AGENT: Final = "HYPERHIVE_AGENT"
STATE: Final = "HYPERHIVE_STATE"
TURN: Final = "HYPERHIVE_TURN"


class NoBoxError(Exception):
    """The environment does not say where the agent's socket is."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where the agent's socket and directories are, and the environment its programs get."""

    socket: str
    agent: str
    state: Path
    """The working directory of every turn."""
    environment: Mapping[str, str]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Box":
        """Read the box from ``HYPERHIVE_*``; NoBoxError when the socket is not named."""
        socket = environment.get(SOCKET)
        if not socket:
            raise NoBoxError(
                f"{SOCKET} is not set, so there is no agent's socket to speak to. "
                "The hive sets it in every box; run this there, or set it to the socket's path."
            )
        state = Path(environment.get(STATE) or ".").absolute()
        return cls(socket, environment.get(AGENT, ""), state, dict(environment))

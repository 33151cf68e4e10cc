"""States of an agent, as observed."""

from enum import StrEnum
from typing import Final


class AgentState(StrEnum):
    """What an agent is doing; a reason and a time go with it."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    DRAINING = "draining"
    STOPPING = "stopping"
    BACKING_OFF = "backing_off"
    CRASHED = "crashed"
    NEEDS_LOGIN = "needs_login"
    RATE_LIMITED = "rate_limited"


CONNECTED: Final = frozenset(
    {AgentState.READY, AgentState.BUSY, AgentState.NEEDS_LOGIN, AgentState.RATE_LIMITED}
)
"""States of an agent whose harness is there and well, whether or not it may start a turn."""

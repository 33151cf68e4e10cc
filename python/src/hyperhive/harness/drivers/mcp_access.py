"""How a driver's program reaches the hive's tools: the bridge's command, and a file naming it.

A turn's files are in the agent's home, where the next harness finds and removes those that a killed
one left.
"""

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hyperhive.harness.box import AGENT, SOCKET, TURN
from hyperhive.harness.drivers.port import Assignment
from hyperhive.harness.drivers.strays import FILES_PREFIX, files_of_turns


@dataclass(frozen=True, slots=True)
class McpAccess:
    """What a program in a turn is given; it lives as long as the turn."""

    directory: Path
    """Private to the turn, readable by nobody else."""
    config: Path
    """``{"mcpServers": {"hyperhive": {"command", "args", "env"}}}``."""
    environment: dict[str, str]
    """The box's environment with the turn's variables."""


def bridge_command() -> tuple[str, ...]:
    """Return the command that starts the bridge.

    ``-P`` keeps the working directory, which is the agent's, out of the module path.
    """
    return (sys.executable, "-P", "-m", "hyperhive.harness.bridge")


@contextlib.contextmanager
def mcp_access(assignment: Assignment) -> Iterator[McpAccess]:
    """Write the files of a turn, and remove them when the context ends."""
    command, *arguments = bridge_command()
    turn = {SOCKET: assignment.box.socket, TURN: str(assignment.turn.id)}
    identity = {**turn, AGENT: assignment.box.agent}
    if path := assignment.box.environment.get("PYTHONPATH"):
        identity["PYTHONPATH"] = path
    server = {"command": command, "args": arguments, "env": identity}
    parent = files_of_turns(assignment.box.environment)
    if parent is not None:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=FILES_PREFIX, dir=parent))
    try:
        config = directory / "mcp.json"
        config.write_text(json.dumps({"mcpServers": {"hyperhive": server}}))
        system_prompt = directory / "system-prompt.txt"
        system_prompt.write_text(assignment.system_prompt, errors="replace")
        environment = {
            **assignment.box.environment,
            **turn,
            "HYPERHIVE_MCP_COMMAND": json.dumps([command, *arguments]),
            "HYPERHIVE_MCP_CONFIG": str(config),
            "HYPERHIVE_SYSTEM_PROMPT_FILE": str(system_prompt),
        }
        yield McpAccess(directory, config, environment)
    finally:
        shutil.rmtree(directory, ignore_errors=True)

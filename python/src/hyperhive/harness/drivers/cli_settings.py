"""What a declaration says about an agent program beyond what every driver is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class McpServer:
    """A further MCP server: a program with its variables, or an address."""

    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    url: str | None = None


@dataclass(frozen=True, slots=True)
class CliSettings:
    """Settings of the drivers ``claude`` and ``codex``."""

    tools: tuple[str, ...] | None = None
    """Which of the program's own tools it has; ``None``: all but those that compete with ours."""
    mcp_servers: Mapping[str, McpServer] = field(default_factory=dict)
    spend_usd: float | None = None
    """What a turn may cost, in US dollars."""
    asks_operator: bool = False
    """Whether the operator decides what the program asks permission for; else it is denied."""


def read_cli_settings(data: Mapping[str, Any]) -> CliSettings:
    """Read what concerns an agent program from a welcome's driver.

    Keys that are missing or ``null`` are unset. Raises ValueError or TypeError for a wrong type.
    """
    tools, spend = data.get("tools"), data.get("spend_usd")
    return CliSettings(
        tools=None if tools is None else tuple(str(tool) for tool in tools),
        mcp_servers={
            str(name): McpServer(
                tuple(str(part) for part in server.get("command") or ()),
                {str(key): str(value) for key, value in (server.get("environment") or {}).items()},
                server.get("url"),
            )
            for name, server in (data.get("mcp_servers") or {}).items()
        },
        spend_usd=None if spend is None else float(spend),
        asks_operator=data.get("permission_prompts") == "operator",
    )

"""What answers on an agent's socket: its tools, and its harness. No operator's verb is here."""

from typing import Any

from hyperhive.surfaces.http.harness import HarnessEndpoint
from hyperhive.surfaces.mcp.endpoint import McpEndpoint


class AgentApp:
    """One ASGI application for all agents' sockets; the listener says whose a request is."""

    def __init__(self, mcp: McpEndpoint, harness: HarnessEndpoint) -> None:
        self._mcp = mcp
        self._harness = harness

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if self._mcp.serves(scope["path"]):
            await self._mcp(scope, receive, send)
        else:
            await self._harness(scope, receive, send)

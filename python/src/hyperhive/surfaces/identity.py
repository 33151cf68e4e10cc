"""Who a connection belongs to, as the listener that accepted it knows it.

The listener is told its identity when it is made, and puts it where no request can reach: into
the ASGI scope, which only the server writes.
"""

from dataclasses import dataclass
from typing import Any, Final

Scope = Any
"""The scope of an ASGI request."""

AGENT_KEY: Final = "hyperhive.agent"
VIA_KEY: Final = "hyperhive.via"
ADMIN_SOCKET: Final = "admin socket"


@dataclass(frozen=True, slots=True)
class AgentListener:
    """Binds an application to one agent: whoever connects here is that agent."""

    app: Any
    agent: str

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass a request on with the agent's name in its scope."""
        scope[AGENT_KEY] = self.agent
        await self.app(scope, receive, send)


@dataclass(frozen=True, slots=True)
class AdminListener:
    """Binds the operator's application to the admin socket: file permissions are the login."""

    app: Any

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass a request on as one that came by the admin socket."""
        scope[VIA_KEY] = ADMIN_SOCKET
        await self.app(scope, receive, send)


def agent_of(scope: Scope) -> str:
    """Name the agent whose socket a request came by."""
    return str(scope[AGENT_KEY])


def came_by_admin_socket(scope: Scope) -> bool:
    """Whether a request came by the admin socket."""
    return bool(scope.get(VIA_KEY) == ADMIN_SOCKET)

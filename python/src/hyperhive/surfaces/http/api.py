"""The operator's API: each handler parses, asks one service, shows what it says.

Every action answers with JSON and the ``seq`` that it caused: no redirect, and nothing has to be
fetched again by whoever follows the stream.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from litestar import Controller, Request, get, post
from litestar.config.compression import CompressionConfig
from litestar.di import NamedDependency
from litestar.middleware import DefineMiddleware
from litestar.middleware.compression import CompressionMiddleware
from litestar.params import FromPath, JSONBody, PathParameter, QueryParameter
from litestar.response import Stream

import hyperhive
from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.errors import ForbiddenError
from hyperhive.services.agents import Agents
from hyperhive.services.approvals import Approvals
from hyperhive.services.feed import Feed
from hyperhive.services.forge import ForgeDesk
from hyperhive.services.logins import Logins
from hyperhive.services.messages import Messages
from hyperhive.services.questions import Questions
from hyperhive.services.quotas import Quotas
from hyperhive.services.reminders import Reminders
from hyperhive.services.snapshot import Snapshots
from hyperhive.services.threads import Threads
from hyperhive.services.turns import Turns
from hyperhive.services.vault import Vault
from hyperhive.store import Store
from hyperhive.surfaces.bounds import NUMBER_MAX, given_key
from hyperhive.surfaces.http.gate import login_of
from hyperhive.surfaces.http.requests import RestoreBackup, SendMessage
from hyperhive.surfaces.http.stream import position, stream, transcript
from hyperhive.surfaces.identity import came_by_admin_socket

PAGE_MAX: Final = 500

ZIPPED: Final = DefineMiddleware(
    CompressionMiddleware, config=CompressionConfig("gzip", gzip_compress_level=3)
)
"""For answers that are long and hold no token: who else may put text into one learns nothing."""

Number = Annotated[int, PathParameter(ge=0, le=NUMBER_MAX)]
Before = Annotated[
    int | None, QueryParameter(ge=0, le=NUMBER_MAX, description="Page backwards from here.")
]
Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX, description="How many at most.")]
Asked = Request[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers ask."""

    store: Store
    agents: Agents
    messages: Messages
    turns: Turns
    snapshots: Snapshots
    feed: Feed
    vault: Vault
    quotas: Quotas
    threads: Threads
    questions: Questions
    approvals: Approvals
    reminders: Reminders
    forge: ForgeDesk


class State(Controller):
    """The state of the hive, live."""

    tags = ("state",)

    @get(
        "/api/state",
        summary="One snapshot, with the seq that it is true at",
        middleware=[ZIPPED],
    )
    async def state(self, services: NamedDependency[Services]) -> dict[str, Any]:
        """Take a snapshot."""
        return await services.snapshots.state()

    @get("/dashboard/stream", summary="Every event after a position, as server-sent events")
    async def stream(
        self,
        request: Asked,
        services: NamedDependency[Services],
        logins: NamedDependency[Logins],
        after: Annotated[int | None, QueryParameter(ge=0, le=NUMBER_MAX)] = None,
        epoch: Annotated[str | None, QueryParameter(max_length=64)] = None,
        once: Annotated[
            bool | None,
            QueryParameter(description="End after the first news: for proxies that wait for it."),
        ] = None,
    ) -> Stream:
        """Follow the events."""
        start = position(request.headers.get("last-event-id"), after, epoch)
        login = login_of(request.scope)
        return Stream(
            stream(services.store, services.feed, start, logins, login, once=bool(once)),
            media_type="text/event-stream",
            headers={"cache-control": "no-store, no-transform", "x-accel-buffering": "no"},
        )

    @get("/dashboard/history", summary="Events before a position, newest first")
    async def history(
        self,
        services: NamedDependency[Services],
        before: Before = None,
        limit: Limit = 100,
        agent: Annotated[str | None, QueryParameter(max_length=64)] = None,
        kind: Annotated[str | None, QueryParameter(max_length=64)] = None,
    ) -> dict[str, Any]:
        """Page backwards through the events."""
        return await services.snapshots.history(before=before, limit=limit, agent=agent, kind=kind)

    @get("/api/health", summary="Whether the hive answers; needs no login")
    async def health(self, services: NamedDependency[Services]) -> dict[str, Any]:
        """Say that the hive is up."""
        return {
            "status": "ok",
            "version": hyperhive.__version__,
            "uptime_seconds": round(services.store.clock() - services.snapshots.started_at, 3),
            "agents": len(services.agents.roster.members),
            "seq": services.store.bus.seq,
        }


class MessagesApi(Controller):
    """Messages of the hive."""

    path = "/api/messages"
    tags = ("messages",)

    @post("/", summary="Send a message as the operator")
    async def send(
        self, data: JSONBody[SendMessage], request: Asked, services: NamedDependency[Services]
    ) -> dict[str, Any]:
        """Send; it is on disk when this answers."""
        return await services.messages.send(
            THE_OPERATOR,
            data.to,
            data.body,
            in_reply_to=data.in_reply_to,
            key=given_key(data.key),
            via=_via(request),
        )

    @get("/", summary="Page backwards through messages", middleware=[ZIPPED])
    async def page(
        self,
        services: NamedDependency[Services],
        before: Before = None,
        limit: Limit = 50,
        agent: Annotated[str | None, QueryParameter(max_length=64)] = None,
        in_state: Annotated[str | None, QueryParameter(name="state", max_length=64)] = None,
    ) -> dict[str, Any]:
        """List messages, newest first."""
        return await services.messages.page(before=before, limit=limit, agent=agent, state=in_state)

    @get("/{number:int}", summary="One message whole, with every step of its life")
    async def show(self, number: Number, services: NamedDependency[Services]) -> dict[str, Any]:
        """Show one message."""
        return await services.messages.show(number)

    @post("/{number:int}/requeue", summary="Give a dead message a new life", status_code=200)
    async def requeue(
        self, number: Number, request: Asked, services: NamedDependency[Services]
    ) -> dict[str, Any]:
        """Requeue a dead message."""
        return await services.messages.requeue(THE_OPERATOR, number, via=_via(request))

    @post("/{number:int}/drop", summary="Settle a dead message for good", status_code=200)
    async def drop(
        self, number: Number, request: Asked, services: NamedDependency[Services]
    ) -> dict[str, Any]:
        """Drop a dead message."""
        return await services.messages.drop(THE_OPERATOR, number, via=_via(request))

    @post("/{number:int}/read", summary="Mark a message to the operator as read", status_code=200)
    async def read(self, number: Number, services: NamedDependency[Services]) -> dict[str, Any]:
        """Mark a message as read."""
        return await services.messages.mark_read(THE_OPERATOR, number)


class TurnsApi(Controller):
    """What the agents have done."""

    path = "/api"
    tags = ("turns",)

    @get("/agents/{name:str}/turns", summary="Page backwards through an agent's turns")
    async def turns(
        self,
        name: FromPath[str],
        services: NamedDependency[Services],
        before: Before = None,
        limit: Limit = 50,
    ) -> dict[str, Any]:
        """List turns, newest first."""
        return await services.turns.page(name, before=before, limit=limit)

    @get(
        "/turns/{number:int}/events",
        summary="Page forwards through a turn's transcript",
        middleware=[ZIPPED],
    )
    async def lines(
        self,
        number: Number,
        services: NamedDependency[Services],
        after: Annotated[int, QueryParameter(ge=-1, le=NUMBER_MAX)] = -1,
        limit: Limit = 200,
    ) -> dict[str, Any]:
        """List lines, oldest first."""
        return await services.turns.transcript(number, after=after, limit=limit)

    @get("/turns/{number:int}/stream", summary="A turn's transcript as it is written")
    async def follow(
        self,
        number: Number,
        request: Asked,
        services: NamedDependency[Services],
        logins: NamedDependency[Logins],
        after: Annotated[int, QueryParameter(ge=-1, le=NUMBER_MAX)] = -1,
    ) -> Stream:
        """Follow a turn: ``lines`` events until an ``end``."""
        await services.turns.news(number, after=after, limit=1)
        login = login_of(request.scope)
        return Stream(
            transcript(services.store, services.turns, number, after, logins, login),
            media_type="text/event-stream",
            headers={"cache-control": "no-store, no-transform", "x-accel-buffering": "no"},
        )

    @get("/figures", summary="Cost, tokens, turns and messages of each agent over time")
    async def figures(
        self,
        services: NamedDependency[Services],
        hours: Annotated[int, QueryParameter(ge=1, le=24 * 30)] = 24,
        agent: Annotated[str | None, QueryParameter(max_length=64)] = None,
    ) -> dict[str, Any]:
        """Add up what happened in each of equal spans, the last one still open."""
        return await services.snapshots.figures(hours=hours, agent=agent)


class AdminApi(Controller):
    """What concerns the hive as a whole."""

    path = "/api"
    tags = ("admin",)

    @get("/session", summary="Who is logged in, and the token that changes need")
    async def session(self, request: Asked) -> dict[str, Any]:
        """Tell a page its token."""
        login = login_of(request.scope)
        return {"operator": THE_OPERATOR.name, "csrf": login.csrf if login else None}

    @get("/audit", summary="Page backwards through the audit log")
    async def audit(
        self, services: NamedDependency[Services], before: Before = None, limit: Limit = 100
    ) -> dict[str, Any]:
        """List what was done with the operator's authority."""
        return await services.snapshots.audit(before=before, limit=limit)

    @post("/backup", summary="Copy the database while the hive runs", status_code=200)
    async def backup(self, request: Asked, services: NamedDependency[Services]) -> dict[str, Any]:
        """Make a backup."""
        return await services.vault.backup(via=_via(request))

    @post("/restore", summary="Put a backup in place; admin socket only", status_code=200)
    async def restore(
        self,
        request: Asked,
        data: JSONBody[RestoreBackup],
        services: NamedDependency[Services],
    ) -> dict[str, Any]:
        """Restore a backup."""
        _only_admin_socket(request, "A restore")
        return await services.vault.restore(Path(data.path), via=_via(request))

    @post("/login-link", summary="Make a one-time link; admin socket only")
    async def login_link(
        self, request: Asked, services: NamedDependency[Services]
    ) -> dict[str, Any]:
        """Make a link that logs a browser in once."""
        _only_admin_socket(request, "A login link")
        return {"url": await services.vault.login_link(via=_via(request))}


def _only_admin_socket(request: Asked, what: str) -> None:
    if not came_by_admin_socket(request.scope):
        raise ForbiddenError(
            f"{what} can only be asked for on the admin socket.",
            "Use the hyperhive command on the hive's host.",
        )


def _via(request: Asked) -> str:
    return "admin socket" if came_by_admin_socket(request.scope) else "http"

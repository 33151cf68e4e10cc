"""The operator's hand on the agents, over HTTP: start, stop, restart, pause, turns, plan."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from litestar import Controller, Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.errors import NotFoundError
from hyperhive.services.control import Control
from hyperhive.services.deploying import Deploying
from hyperhive.services.disk import Disk
from hyperhive.services.inputs import UpdatingInputs
from hyperhive.services.rebuilding import Rebuilding
from hyperhive.services.restarts import Restarts
from hyperhive.services.spawning import Spawning
from hyperhive.surfaces.http.requests import (
    ChooseModel,
    PlanFor,
    Reason,
    Redeploy,
    RequestSpawn,
    RestartHive,
)
from hyperhive.surfaces.identity import came_by_admin_socket

Asked = Request[Any, Any, Any]
LINES_MAX: Final = 2000


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What these handlers ask: the services, and what only the process that runs boxes can do.

    ``plan`` says what would be done for the present declaration or that of a file; ``apply``
    reads the declaration anew; ``logs`` gives what an agent's box printed; ``forget`` removes the
    files of an agent that is gone; ``refresh`` hands its box the credentials as they are now.
    """

    control: Control
    restarts: Restarts
    rebuilding: Rebuilding
    disk: Disk
    plan: Callable[[Path | None], Awaitable[dict[str, Any]]]
    apply: Callable[[], Awaitable[dict[str, Any]]]
    logs: Callable[[str, int], Awaitable[list[str]]]
    forget: Callable[[str], Awaitable[None]]
    refresh: Callable[[str], Awaitable[None]]
    spawning: Spawning
    deploying: Deploying
    inputs: UpdatingInputs


class AgentsApi(Controller):
    """One agent at a time."""

    path = "/api/agents/{name:str}"
    tags = ("agents",)

    @post("/start", summary="Let an agent run, whatever stopped it", status_code=200)
    async def start(
        self, name: FromPath[str], request: Asked, lifecycle: NamedDependency[Lifecycle]
    ) -> dict[str, Any]:
        """Start an agent."""
        await lifecycle.refresh(name)
        return await lifecycle.control.start(THE_OPERATOR, name, via=via(request))

    @post("/stop", summary="Stop an agent until it is started again", status_code=200)
    async def stop(
        self, name: FromPath[str], request: Asked, lifecycle: NamedDependency[Lifecycle]
    ) -> dict[str, Any]:
        """Stop an agent."""
        return await lifecycle.control.stop(THE_OPERATOR, name, via=via(request))

    @post("/restart", summary="Make an agent's box anew", status_code=200)
    async def restart(
        self,
        name: FromPath[str],
        request: Asked,
        lifecycle: NamedDependency[Lifecycle],
        data: JSONBody[Reason],
    ) -> dict[str, Any]:
        """Restart an agent, in the way in which all restarts go."""
        reason = data.reason or "the operator restarts it"
        return await lifecycle.restarts.begin(THE_OPERATOR, (name,), reason, via=via(request))

    @post("/rebuild", summary="Make an agent's box anew from what is configured", status_code=200)
    async def rebuild(
        self, name: FromPath[str], request: Asked, lifecycle: NamedDependency[Lifecycle]
    ) -> dict[str, Any]:
        """Read the declaration anew, build what is missing and restart the agent."""
        await lifecycle.apply()
        return await lifecycle.rebuilding.begin(
            THE_OPERATOR, name, "the operator rebuilds it", via=via(request)
        )

    @post("/pause", summary="Start no further turn", status_code=200)
    async def pause(
        self,
        name: FromPath[str],
        request: Asked,
        lifecycle: NamedDependency[Lifecycle],
        data: JSONBody[Reason],
    ) -> dict[str, Any]:
        """Pause an agent; its messages arrive and wait."""
        return await lifecycle.control.pause(
            THE_OPERATOR, name, via=via(request), reason=data.reason
        )

    @post("/resume", summary="Start turns again", status_code=200)
    async def resume(
        self, name: FromPath[str], request: Asked, lifecycle: NamedDependency[Lifecycle]
    ) -> dict[str, Any]:
        """Resume an agent."""
        await lifecycle.refresh(name)
        return await lifecycle.control.resume(THE_OPERATOR, name, via=via(request))

    @post("/visit", summary="Start no turn while somebody works in the box", status_code=200)
    async def visit(
        self, name: FromPath[str], request: Asked, lifecycle: NamedDependency[Lifecycle]
    ) -> dict[str, Any]:
        """Begin or go on with a visit; say which turn still runs. It ends by itself after 2 min."""
        return await lifecycle.control.visit(THE_OPERATOR, name, via=via(request))

    @post("/leave", summary="End a visit", status_code=200)
    async def leave(
        self, name: FromPath[str], request: Asked, lifecycle: NamedDependency[Lifecycle]
    ) -> dict[str, Any]:
        """Let turns start again that a visit has kept."""
        return await lifecycle.control.leave(THE_OPERATOR, name, via=via(request))

    @post("/cancel-turn", summary="End the turn that runs", status_code=200)
    async def cancel_turn(
        self, name: FromPath[str], request: Asked, lifecycle: NamedDependency[Lifecycle]
    ) -> dict[str, Any]:
        """Cancel a turn; its messages come again, and no attempt is counted."""
        return await lifecycle.control.cancel_turn(THE_OPERATOR, name, via=via(request))

    @post("/compact", summary="Compact the context before the next work", status_code=200)
    async def compact(
        self, name: FromPath[str], request: Asked, lifecycle: NamedDependency[Lifecycle]
    ) -> dict[str, Any]:
        """Have an agent compact its context."""
        return await lifecycle.control.compact(THE_OPERATOR, name, via=via(request))

    @post("/new-session", summary="Begin a new session with the next turn", status_code=200)
    async def new_session(
        self, name: FromPath[str], request: Asked, lifecycle: NamedDependency[Lifecycle]
    ) -> dict[str, Any]:
        """Have an agent begin anew, without its old context."""
        return await lifecycle.control.new_session(THE_OPERATOR, name, via=via(request))

    @post("/model", summary="Use another model from the next turn on", status_code=200)
    async def model(
        self,
        name: FromPath[str],
        request: Asked,
        lifecycle: NamedDependency[Lifecycle],
        data: JSONBody[ChooseModel],
    ) -> dict[str, Any]:
        """Choose an agent's model; ``null`` is the declared one."""
        return await lifecycle.control.set_model(THE_OPERATOR, name, data.model, via=via(request))

    @post("/destroy", summary="Remove a spawned agent; its state is kept", status_code=200)
    async def destroy(
        self, name: FromPath[str], request: Asked, lifecycle: NamedDependency[Lifecycle]
    ) -> dict[str, Any]:
        """Destroy a spawned agent; of a declared one, say which option removes it."""
        lifecycle.control.destroy(name)
        return await lifecycle.spawning.destroy(THE_OPERATOR, name, via=via(request))

    @post("/redeploy", summary="Deploy an earlier configuration again", status_code=200)
    async def redeploy(
        self,
        name: FromPath[str],
        request: Asked,
        lifecycle: NamedDependency[Lifecycle],
        data: JSONBody[Redeploy],
    ) -> dict[str, Any]:
        """Deploy to a spawned agent what was deployed to it once."""
        return await lifecycle.deploying.redeploy(
            THE_OPERATOR, name, data.revision, via=via(request)
        )

    @get("/deployments", summary="What was deployed to a spawned agent, newest first")
    async def deployments(
        self, name: FromPath[str], lifecycle: NamedDependency[Lifecycle]
    ) -> dict[str, Any]:
        """Give the history of deployments, with the tags that tell it."""
        return await lifecycle.deploying.history(name)

    @get("/logs", summary="What an agent's box printed last")
    async def logs(
        self,
        name: FromPath[str],
        lifecycle: NamedDependency[Lifecycle],
        lines: Annotated[int, QueryParameter(ge=1, le=LINES_MAX)] = 100,
    ) -> dict[str, Any]:
        """Give the last lines, oldest first."""
        return {"lines": await lifecycle.logs(name, lines)}


class HiveApi(Controller):
    """The hive as a whole."""

    path = "/api"
    tags = ("hive",)

    @post("/hive/pause", summary="Start no turn in the whole hive", status_code=200)
    async def pause(
        self, request: Asked, lifecycle: NamedDependency[Lifecycle], data: JSONBody[Reason]
    ) -> dict[str, Any]:
        """Pause the hive."""
        return await lifecycle.control.pause(
            THE_OPERATOR, None, via=via(request), reason=data.reason
        )

    @post("/hive/resume", summary="Start turns again in the whole hive", status_code=200)
    async def resume(self, request: Asked, lifecycle: NamedDependency[Lifecycle]) -> dict[str, Any]:
        """Resume the hive."""
        return await lifecycle.control.resume(THE_OPERATOR, None, via=via(request))

    @post("/hive/restart", summary="Restart agents in order, the manager first", status_code=200)
    async def restart(
        self, request: Asked, lifecycle: NamedDependency[Lifecycle], data: JSONBody[RestartHive]
    ) -> dict[str, Any]:
        """Begin to restart all agents that run, or some; the stream tells how it goes."""
        names = tuple(data.agents) if data.agents is not None else None
        reason = data.reason or "the operator restarts the hive"
        return await lifecycle.restarts.begin(THE_OPERATOR, names, reason, via=via(request))

    @get("/plan", summary="What would be done now")
    async def plan(self, lifecycle: NamedDependency[Lifecycle]) -> dict[str, Any]:
        """Give the actions that the present declaration asks for."""
        return await lifecycle.plan(None)

    @post("/plan", summary="What another declaration would do", status_code=200)
    async def plan_for(
        self, lifecycle: NamedDependency[Lifecycle], request: Asked, data: JSONBody[PlanFor]
    ) -> dict[str, Any]:
        """Give the actions that a file's declaration would ask for; admin socket only."""
        if data.path is not None and not came_by_admin_socket(request.scope):
            raise NotFoundError("file", data.path)
        return await lifecycle.plan(Path(data.path) if data.path is not None else None)

    @post("/apply", summary="Read the declaration anew", status_code=200)
    async def apply(self, lifecycle: NamedDependency[Lifecycle]) -> dict[str, Any]:
        """Apply the declaration as it is now on the disk."""
        return await lifecycle.apply()

    @get("/disk", summary="How much room there is, and what each agent takes")
    async def disk(self, lifecycle: NamedDependency[Lifecycle]) -> dict[str, Any]:
        """Show the disk under the state directory, in bytes."""
        room = lifecycle.disk.room
        return {
            "total": room.total if room else None,
            "free": room.free if room else None,
            "agents": dict(lifecycle.disk.use),
        }

    @post("/spawn", summary="Ask for a new agent, to be approved", status_code=200)
    async def spawn(
        self,
        request: Asked,
        lifecycle: NamedDependency[Lifecycle],
        data: JSONBody[RequestSpawn],
    ) -> dict[str, Any]:
        """Ask for an agent; the answer names the approval."""
        return await lifecycle.spawning.request(
            THE_OPERATOR,
            data.name,
            data.description,
            system_prompt=data.system_prompt,
            model=data.model,
            via=via(request),
        )

    @post("/tombstones/{name:str}/revive", summary="Bring back a destroyed agent", status_code=200)
    async def revive(
        self, name: FromPath[str], request: Asked, lifecycle: NamedDependency[Lifecycle]
    ) -> dict[str, Any]:
        """Revive a spawned agent that was destroyed."""
        return await lifecycle.spawning.revive(THE_OPERATOR, name, via=via(request))

    @post("/tombstones/{name:str}/purge", summary="Delete what a gone agent left", status_code=200)
    async def purge(
        self, name: FromPath[str], request: Asked, lifecycle: NamedDependency[Lifecycle]
    ) -> dict[str, Any]:
        """Purge a tombstone and its files; refused while an agent of that name exists."""
        done = await lifecycle.control.purge(THE_OPERATOR, name, via=via(request))
        await lifecycle.forget(name)
        return done


def via(request: Asked) -> str:
    """Name the way by which the operator came."""
    return "admin socket" if came_by_admin_socket(request.scope) else "http"

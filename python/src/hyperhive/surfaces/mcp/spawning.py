"""The manager's tools for agents that come at run time: ask for one, ask to change one."""

from typing import Any, Final

from pydantic import Field

from hyperhive.services.deploying import Deploying
from hyperhive.services.spawning import Spawning
from hyperhive.surfaces.mcp.calls import Call
from hyperhive.surfaces.mcp.tool import Arguments, Tool


class RequestSpawn(Arguments):
    """Arguments of ``request_spawn``."""

    name: str = Field(
        max_length=64, description="2 to 11 lower-case letters, digits and single hyphens."
    )
    description: str = Field(
        max_length=500, description="What it is for, in a sentence; everybody reads it."
    )
    system_prompt: str = Field(
        default="", max_length=65_536, description="What it is told beyond its role."
    )
    model: str | None = Field(
        default=None, min_length=1, max_length=200, description="Its model; yours if unset."
    )


class RequestApplyCommit(Arguments):
    """Arguments of ``request_apply_commit``."""

    agent: str = Field(max_length=64, description="A spawned agent.")
    commit: str = Field(
        max_length=64, description="The hash of your commit, or at least its first 7 digits."
    )


REQUEST_SPAWN: Final = """\
Ask the operator for a new agent. The answer names the approval; its outcome and, when the agent \
is there, word of that reach you as messages: do not wait for them. Ask only for what no agent \
that is there can do."""

REQUEST_APPLY_COMMIT: Final = """\
Ask the operator to deploy a commit of a spawned agent's configuration. Edit and commit in \
$HYPERHIVE_AGENTS/<name>/config first. It is checked at once, and a refusal says what to correct; \
the operator then sees the difference to what runs. The outcome reaches you as a message."""


def spawning_tools(spawning: Spawning, deploying: Deploying) -> tuple[Tool, ...]:
    """Give the tools, tied to their services."""

    async def spawn(call: Call, given: RequestSpawn) -> dict[str, Any]:
        return await spawning.request(
            call.actor,
            given.name,
            given.description,
            system_prompt=given.system_prompt,
            model=given.model,
            key=call.key(None),
        )

    async def apply_commit(call: Call, given: RequestApplyCommit) -> dict[str, Any]:
        return await deploying.request(call.actor, given.agent, given.commit, key=call.key(None))

    return (
        Tool("request_spawn", REQUEST_SPAWN, RequestSpawn, spawn),
        Tool("request_apply_commit", REQUEST_APPLY_COMMIT, RequestApplyCommit, apply_commit),
    )

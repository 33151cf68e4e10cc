"""The tools that ask for a yes, and those by which the manager leads the others."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import Field

from hyperhive.domain.approvals import (
    TITLE_CHARS_MAX,
    TTL_SECONDS_MAX,
    ApprovalKind,
    Proposal,
)
from hyperhive.services.approvals import Approvals
from hyperhive.services.control import Control
from hyperhive.services.inputs import UpdatingInputs
from hyperhive.services.rebuilding import Rebuilding
from hyperhive.services.restarts import Restarts
from hyperhive.surfaces.mcp.calls import Call
from hyperhive.surfaces.mcp.tool import Arguments, Tool
from hyperhive.surfaces.mcp.tools import Nothing

DETAILS_CHARS_MAX: Final = 16 * 1024
LINES_MAX: Final = 500
LINE_CHARS_MAX: Final = 500
VIA: Final = "mcp"


class RequestApproval(Arguments):
    """Arguments of ``request_approval``."""

    title: str = Field(
        max_length=TITLE_CHARS_MAX, description="One line: what you will do after a yes."
    )
    details: str = Field(
        default="",
        max_length=DETAILS_CHARS_MAX,
        description="What the operator must know to decide: why, what it touches, how to undo it.",
    )
    payload: dict[str, Any] = Field(
        default_factory=dict,
        description="Exact values that the yes is to cover, such as a command or a commit.",
    )
    ttl_seconds: float | None = Field(
        default=None,
        gt=0,
        le=TTL_SECONDS_MAX,
        description="After this time without a decision the request is withdrawn.",
    )


class OfAgent(Arguments):
    """Arguments of what is done to one agent."""

    agent: str = Field(description="The agent's name.")


class Restart(OfAgent):
    """Arguments of ``restart``."""

    reason: str = Field(default="", max_length=500, description="Why; the agent is told.")


class GetLogs(OfAgent):
    """Arguments of ``get_logs``."""

    lines: int = Field(default=100, ge=1, le=LINES_MAX, description="How many of the last lines.")


REQUEST_APPROVAL: Final = """\
Ask the human operator for a yes before you do something that needs one. It returns an id at once; \
nothing is done for you. When the operator has decided, you get a message `approval_resolved` with \
that id: status `done` means yes, so go ahead; `denied` comes with a note. Do not wait for it: end \
your turn or do other work."""

START: Final = "Let a stopped agent run again. An agent that the operator holds stays stopped."
STOP: Final = """\
Stop an agent until you or the operator start it again. Its messages wait; its files stay."""
RESTART: Final = """\
Restart an agent: its running turn gets time to end, then its box is made anew. Its files and its \
session stay."""
REBUILD: Final = """\
Read the hive's declaration anew and restart an agent from it; its system is built first where \
that is needed. One that crashed too often starts again."""
GET_LOGS: Final = "Show what an agent's box printed last, to see why it does not work."
REQUEST_UPDATE_INPUTS: Final = """\
Ask the operator to update the inputs that spawned agents are built from: the newest are looked \
for now, which may take a while, and shown to the operator. It is refused where there are none."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What these tools call: services, and what only the process that runs boxes can do."""

    approvals: Approvals
    control: Control
    restarts: Restarts
    rebuilding: Rebuilding
    inputs: UpdatingInputs
    apply: Callable[[], Awaitable[dict[str, Any]]]
    logs: Callable[[str, int], Awaitable[list[str]]]
    refresh: Callable[[str], Awaitable[None]]

    def tools(self) -> tuple[Tool, ...]:
        """Give the tools; who may have which is the toolbox's to say."""
        return (
            Tool("request_approval", REQUEST_APPROVAL, RequestApproval, self._request_approval),
            Tool("start", START, OfAgent, self._start),
            Tool("stop", STOP, OfAgent, self._stop),
            Tool("restart", RESTART, Restart, self._restart),
            Tool("rebuild", REBUILD, OfAgent, self._rebuild),
            Tool("get_logs", GET_LOGS, GetLogs, self._get_logs, reads_only=True),
            Tool(
                "request_update_inputs",
                REQUEST_UPDATE_INPUTS,
                Nothing,
                self._request_update_inputs,
            ),
        )

    async def _request_approval(self, call: Call, given: RequestApproval) -> dict[str, Any]:
        proposal = Proposal(
            ApprovalKind.ACTION,
            given.title,
            given.details,
            given.payload,
            ttl_seconds=given.ttl_seconds,
        )
        return await self.approvals.request(call.actor, proposal, key=call.key(None))

    async def _start(self, call: Call, given: OfAgent) -> dict[str, Any]:
        done = await self.control.start(call.actor, given.agent, via=VIA)
        await self.refresh(given.agent)
        return done

    async def _stop(self, call: Call, given: OfAgent) -> dict[str, Any]:
        return await self.control.stop(call.actor, given.agent, via=VIA)

    async def _restart(self, call: Call, given: Restart) -> dict[str, Any]:
        reason = given.reason or f"{call.agent} restarts it"
        return await self.restarts.begin(call.actor, (given.agent,), reason, via=VIA)

    async def _rebuild(self, call: Call, given: OfAgent) -> dict[str, Any]:
        await self.apply()
        reason = f"{call.agent} rebuilds it"
        return await self.rebuilding.begin(call.actor, given.agent, reason, via=VIA)

    async def _get_logs(self, _call: Call, given: GetLogs) -> dict[str, Any]:
        lines = await self.logs(given.agent, given.lines)
        return {"lines": [line[:LINE_CHARS_MAX] for line in lines]}

    async def _request_update_inputs(self, call: Call, _given: Nothing) -> dict[str, Any]:
        return await self.inputs.request(call.actor, key=call.key(None))

"""One MCP server for all agents: stateless, its schemas built once, the caller bound per request.

A refusal is a tool result that says what to do instead, because only that reaches the model. An
unexpected error is logged here and told without its details.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as ToolDescription
from pydantic import ValidationError

import hyperhive
from hyperhive.config.agents import MANAGER_TOOLS
from hyperhive.domain.errors import HiveError
from hyperhive.store.transaction import dumps
from hyperhive.surfaces.disconnects import Request
from hyperhive.surfaces.mcp import exchanges
from hyperhive.surfaces.mcp.calls import SCOPE_KEY, Call
from hyperhive.surfaces.mcp.exchanges import Told
from hyperhive.surfaces.mcp.permissions import PERMISSION_PROMPT
from hyperhive.surfaces.mcp.tool import Tool
from hyperhive.surfaces.mcp.tools import Toolbox

INSTRUCTIONS: Final = """\
These tools connect you to your hive: other agents, its manager and its human operator. Wait for \
work with `recv` and `wait_seconds`; never sleep or poll."""

_log = logging.getLogger(__name__)


class McpServer:
    """Serves the tools; enter `running` before the first request."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self._descriptions = {name: _described(tool) for name, tool in toolbox.tools.items()}
        self._server: Server[Any] = Server(
            "hyperhive",
            version=hyperhive.__version__,
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )
        self._manager = StreamableHTTPSessionManager(
            self._server, json_response=True, stateless=True
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Be ready for requests until the block is left.

        The manager's group of tasks lives in a task of its own: around the block it would wrap
        whatever is raised there, such as a port that cannot be had, into a group of errors.
        """
        ready, over = asyncio.Event(), asyncio.Event()

        async def run() -> None:
            try:
                async with self._manager.run():
                    ready.set()
                    await over.wait()
            finally:
                ready.set()

        task = asyncio.create_task(run(), name="mcp")
        await ready.wait()
        try:
            yield
        finally:
            over.set()
            await task

    async def handle(self, scope: Any, request: Request, send: Any) -> None:
        """Answer one HTTP request whose scope holds its `Call`."""
        asked = exchanges.tool_call(scope, request.body)
        if asked is not None:
            told = await self._run(scope[SCOPE_KEY], asked.tool, asked.arguments)
            await exchanges.answer(asked.id, told, send)
        else:
            await self._manager.handle_request(scope, request.receive, send)

    async def _list_tools(
        self, context: ServerRequestContext[Any], _params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        granted = self._toolbox.granted(_call(context).agent)
        return ListToolsResult(tools=[self._descriptions[tool.name] for tool in granted])

    async def _call_tool(
        self, context: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult:
        told = await self._run(_call(context), params.name, params.arguments)
        is_plain = told.is_error or told.is_text_only
        return CallToolResult(
            content=[TextContent(type="text", text=told.text)],
            structured_content=None if is_plain else json.loads(told.text),
            is_error=told.is_error,
        )

    async def _run(self, call: Call, name: str, arguments: Mapping[str, Any] | None) -> Told:
        tool = self._toolbox.tool(call.agent, name)
        if tool is None:
            return _refused(self._absent(call.agent, name))
        try:
            given = tool.arguments.model_validate(arguments or {})
            said = dumps(await tool.run(call, given))
            return Told(said, is_text_only=tool.is_text_only)
        except ValidationError as error:
            return _refused(_faults(tool, error))
        except HiveError as error:
            return _refused(str(error))
        except Exception:  # noqa: BLE001 - the model is told, the log has the rest
            _log.exception("tool %s failed for %s", tool.name, call.agent)
            return _refused(
                f"{tool.name} failed inside the hive; its log says why. Try again, or tell the "
                "operator."
            )

    def _absent(self, agent: str, name: str) -> str:
        granted = sorted(tool.name for tool in self._toolbox.granted(agent))
        if name in MANAGER_TOOLS and not self._toolbox.is_manager(agent):
            return (
                f"Only the manager has the tool {name!r}: ask it with `send` to `manager`. "
                f"Yours are: {', '.join(granted)}."
            )
        if name in self._toolbox.tools and name != PERMISSION_PROMPT:
            return (
                f"You are not granted the tool {name!r}: see agents.{agent}.tools. "
                f"Yours are: {', '.join(granted)}."
            )
        return f"There is no tool {name!r}. Yours are: {', '.join(granted)}."


def _call(context: ServerRequestContext[Any]) -> Call:
    request: Any = context.request
    call: Call = request.scope[SCOPE_KEY]
    return call


def _described(tool: Tool) -> ToolDescription:
    schema = tool.arguments.model_json_schema()
    schema.pop("title", None)
    schema.pop("description", None)
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
    return ToolDescription(
        name=tool.name,
        description=tool.description,
        input_schema=schema,
        annotations=ToolAnnotations(
            read_only_hint=tool.reads_only, destructive_hint=False, open_world_hint=False
        ),
    )


def _refused(sentence: str) -> Told:
    return Told(sentence, is_error=True)


def _faults(tool: Tool, error: ValidationError) -> str:
    known = ", ".join(tool.arguments.model_fields) or "none"
    faults = "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}"
        for fault in error.errors()
    )
    return f"{tool.name} was called wrongly: {faults}. Its arguments are: {known}."

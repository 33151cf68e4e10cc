"""The driver ``claude``: Claude Code in print mode, one process a turn, one conversation.

The conversation is continued from turn to turn and across restarts; if it is gone, a new one
begins and a note says so. One that has become too long for its model is compacted, and the turn
is tried once more. The program gets the hive's tools and those of the declared further servers,
its own tools but for those that compete with the hive's, and no permission beyond them: what is
not allowed is denied, and nobody is asked.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hyperhive.harness.drivers.claude_stream import HIVE_SERVER, ClaudeStream
from hyperhive.harness.drivers.cli_ends import End, Trouble
from hyperhive.harness.drivers.cli_files import (
    ConversationFile,
    CredentialError,
    link_skills,
    read_credentials,
)
from hyperhive.harness.drivers.cli_lines import note
from hyperhive.harness.drivers.cli_runs import Runs
from hyperhive.harness.drivers.cli_settings import CliSettings, settings_for_cli
from hyperhive.harness.drivers.mcp_access import McpAccess, mcp_access
from hyperhive.harness.drivers.port import Assignment, Driver, Emit, TurnResult

CREDENTIALS: Final = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")

COMPETING_TOOLS: Final = (
    "SendMessage",
    "CronCreate",
    "CronDelete",
    "CronList",
    "ScheduleWakeup",
    "Task",
    "TaskCreate",
    "TaskGet",
    "TaskList",
    "TaskOutput",
    "TaskStop",
    "TaskUpdate",
    "Workflow",
)
"""Ways of messaging, waiting and delegating that go past the hive."""

OWN_TOOLS: Final = (
    "Bash",
    "Edit",
    "Glob",
    "Grep",
    "NotebookEdit",
    "Read",
    "Skill",
    "WebFetch",
    "WebSearch",
    "Write",
)
"""What is allowed without asking, because the box is the boundary."""

ENVIRONMENT: Final[Mapping[str, str]] = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    # The hive backs off by itself and says so; the program would wait in silence for minutes.
    "CLAUDE_CODE_MAX_RETRIES": "4",
    # Longer than the longest wait of the hive's own tools.
    "MCP_TOOL_TIMEOUT": "120000",
}
"""Settings that an agent's declared environment may override."""


class ClaudeDriver:
    """Runs Claude Code once a turn, or a few times when a conversation needs mending."""

    async def run(self, assignment: Assignment, emit: Emit) -> TurnResult:
        """Run the turn in the agent's conversation."""
        box = assignment.box
        try:
            credentials = read_credentials(box.environment, CREDENTIALS)
        except CredentialError as error:
            return End(Trouble.NOT_LOGGED_IN, str(error)).result(None, {})
        home = Path(box.environment.get("HOME") or Path.home())
        await asyncio.to_thread(link_skills, box.environment, home / ".claude" / "skills")
        with mcp_access(assignment) as access:
            environment = {**ENVIRONMENT, **access.environment, **credentials}
            runs = Runs(emit, box.state, environment)
            turn = _Turn(
                assignment,
                emit,
                runs,
                _arguments(assignment, access),
                ConversationFile(home, "claude"),
            )
            try:
                return runs.result(await turn.play())
            except asyncio.CancelledError:
                return runs.cancelled()


class _Turn:
    """One turn: a run of the program, and what has to be run before it can go well."""

    def __init__(
        self,
        assignment: Assignment,
        emit: Emit,
        runs: Runs,
        arguments: tuple[str, ...],
        conversations: ConversationFile,
    ) -> None:
        self._prompt = assignment.prompt
        self._extra = assignment.settings.extra_args
        self._emit = emit
        self._runs = runs
        self._arguments = arguments
        self._conversations = conversations

    async def play(self) -> End:
        end = await self._run(self._prompt)
        if end.trouble is Trouble.NO_SESSION:
            note(self._emit, "The conversation is gone; a new one begins.", new_session=True)
            self._conversations.forget()
            end = await self._run(self._prompt)
        if end.trouble is Trouble.TOO_LONG and await self._compact():
            end = await self._run(self._prompt)
        return end

    async def _compact(self) -> bool:
        note(self._emit, "The conversation is too long; it is compacted.")
        return (await self._run("/compact")).trouble is None

    async def _run(self, prompt: str) -> End:
        conversation = self._conversations.load()
        resume = ("--resume", conversation.id) if conversation else ()
        stream = ClaudeStream(self._emit, self._conversations.remember)
        try:
            return await self._runs.run((*self._arguments, *resume, *self._extra), prompt, stream)
        finally:
            if stream.context_tokens:
                _tell_context(self._emit, stream)


def _tell_context(emit: Emit, stream: ClaudeStream) -> None:
    tokens, window = stream.context_tokens, stream.context_window
    of = f" of {window}" if window else ""
    note(
        emit,
        f"The conversation holds {tokens}{of} tokens.",
        context_tokens=tokens,
        context_window=window,
    )


def _arguments(assignment: Assignment, access: McpAccess) -> tuple[str, ...]:
    """The command line, but for the conversation and the declared further arguments."""
    settings, cli = assignment.settings, settings_for_cli(assignment.settings)
    config = access.directory / "claude-mcp.json"
    config.write_text(json.dumps({"mcpServers": _servers(access, cli)}))
    arguments = [
        *(settings.command or ("claude",)),
        "--print",
        "--output-format=stream-json",
        "--verbose",
        f"--mcp-config={config}",
        "--strict-mcp-config",
        "--permission-mode=dontAsk",
        f"--append-system-prompt-file={access.environment['HYPERHIVE_SYSTEM_PROMPT_FILE']}",
        f"--allowedTools={','.join(_allowed(cli))}",
    ]
    if cli.tools is None:
        arguments.append(f"--disallowedTools={','.join(COMPETING_TOOLS)}")
    else:
        names = dict.fromkeys(tool.partition("(")[0] for tool in cli.tools)
        arguments.append(f"--tools={','.join(names)}")
    if settings.model:
        arguments.append(f"--model={settings.model}")
    if settings.fallback_model:
        arguments.append(f"--fallback-model={settings.fallback_model}")
    if cli.spend_usd is not None:
        arguments.append(f"--max-budget-usd={cli.spend_usd:g}")
    return tuple(arguments)


def _allowed(cli: CliSettings) -> list[str]:
    servers = [f"mcp__{name}" for name in (HIVE_SERVER, *cli.mcp_servers)]
    return [*servers, *(OWN_TOOLS if cli.tools is None else cli.tools)]


def _servers(access: McpAccess, cli: CliSettings) -> dict[str, Any]:
    """The servers: ours is waited for, a further one that does not come up holds up nothing."""
    servers: dict[str, Any] = {}
    for name, server in cli.mcp_servers.items():
        if server.url is not None:
            servers[name] = {"type": "http", "url": server.url}
        elif server.command:
            command, *arguments = server.command
            variables = dict(server.environment)
            servers[name] = {"command": command, "args": arguments, "env": variables}
    ours = json.loads(access.config.read_text())["mcpServers"][HIVE_SERVER]
    return {**servers, HIVE_SERVER: {**ours, "alwaysLoad": True}}


driver: Final[Driver] = ClaudeDriver()

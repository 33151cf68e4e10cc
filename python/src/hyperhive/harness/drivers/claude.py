"""The driver ``claude``: Claude Code in print mode, one process a turn, one conversation.

The conversation is continued from turn to turn and across restarts; if it is gone, a new one
begins and a note says so. One that has become too long for its model is compacted, and the turn
is tried once more. The program gets the hive's tools and those of the declared further servers,
its own tools but for those that compete with the hive's, and no permission beyond them: what is
not allowed is denied, or put to the operator where that is declared.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
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
from hyperhive.harness.drivers.cli_lines import alert, note
from hyperhive.harness.drivers.cli_runs import Alerts, Runs
from hyperhive.harness.drivers.cli_settings import CliSettings
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

DENY: Final = "--permission-mode=dontAsk"
ASK_OPERATOR: Final = f"--permission-prompt-tool=mcp__{HIVE_SERVER}__permission_prompt"
"""What becomes of a call that is not allowed: it is denied, or the hive's tool decides."""

COMPACT: Final = "/compact"
"""What the program takes, as a prompt, for the order to shorten its conversation."""

ENVIRONMENT: Final[Mapping[str, str]] = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    # The hive backs off by itself and says so; the program would wait in silence for minutes.
    "CLAUDE_CODE_MAX_RETRIES": "4",
    # Longer than the longest wait of the hive's own tools.
    "MCP_TOOL_TIMEOUT": "120000",
}
"""Settings that an agent's declared environment may override."""


class ClaudeDriver(Driver):
    """Runs Claude Code once a turn, or a few times when a conversation needs mending."""

    def __init__(self) -> None:
        self._pending: frozenset[str] = frozenset()
        """Servers that had not connected in the turn before."""

    async def run(self, assignment: Assignment, emit: Emit) -> TurnResult:
        """Run the turn in the agent's conversation."""

        async def play(turn: "_Turn") -> End:
            end = await turn.play()
            self._tell_of_pending(turn)
            return end

        return await _play(assignment, emit, play)

    async def compact(self, assignment: Assignment, emit: Emit) -> TurnResult:
        """Let the program shorten the conversation, if there is one."""
        return await _play(assignment, emit, _Turn.compact)

    def _tell_of_pending(self, turn: "_Turn") -> None:
        """Alert of servers that do not come up: one may be slow once, but not twice in a row."""
        for name in sorted(turn.pending & self._pending):
            text = (
                f"The MCP server {name} had not connected when this turn began, nor the last one."
            )
            alert(turn.emit, text, mcp_server=name, status="pending")
        self._pending = turn.pending


async def _play(
    assignment: Assignment, emit: Emit, play: Callable[["_Turn"], Awaitable[End]]
) -> TurnResult:
    """Set up a turn, and let it be played."""
    box, alerts = assignment.box, Alerts(emit)
    home = Path(box.environment.get("HOME") or Path.home())
    conversations = ConversationFile(home, "claude")
    if assignment.turn.fresh:
        conversations.forget()
        note(alerts, "A new conversation begins.", new_session=True)
    try:
        credentials = read_credentials(box.environment, CREDENTIALS)
    except CredentialError as error:
        return End(Trouble.NOT_LOGGED_IN, str(error)).result(None, {})
    await asyncio.to_thread(link_skills, box.environment, home / ".claude" / "skills")
    with mcp_access(assignment) as access:
        environment = {**ENVIRONMENT, **access.environment, **credentials}
        runs = Runs(alerts, box.state, environment)
        arguments = _arguments(assignment, access)
        turn = _Turn(assignment, alerts, runs, arguments, conversations)
        try:
            return runs.result(await play(turn))
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
        self._spend_usd = assignment.settings.cli.spend_usd
        """What the whole turn may cost; the program counts each of its runs from nothing."""
        self.emit = emit
        self.pending: frozenset[str] = frozenset()
        """Servers that had not connected when the latest run began; see `ClaudeStream`."""
        self._runs = runs
        self._arguments = arguments
        self._conversations = conversations

    async def play(self) -> End:
        end = await self._run(self._prompt)
        if end.trouble is Trouble.NO_SESSION:
            note(self.emit, "The conversation is gone; a new one begins.", new_session=True)
            self._conversations.forget()
            end = await self._run(self._prompt)
        if end.trouble is Trouble.TOO_LONG:
            note(self.emit, "The conversation is too long; it is compacted.")
            compacted = await self._run(COMPACT)
            if compacted.trouble is None:
                end = await self._run(self._prompt)
            elif compacted.trouble is Trouble.SPENT:
                end = compacted
        return end

    async def compact(self) -> End:
        if self._conversations.load() is None:
            note(self.emit, "There is no conversation to compact.")
            return End()
        end = await self._run(COMPACT)
        if end.trouble is Trouble.NO_SESSION:
            note(self.emit, "The conversation is gone; a new one begins.", new_session=True)
            self._conversations.forget()
            return End()
        return end

    async def _run(self, prompt: str) -> End:
        return await self._runs.run_twice_if_refused(lambda: self._run_once(prompt))

    async def _run_once(self, prompt: str) -> tuple[End, ClaudeStream]:
        conversation = self._conversations.load()
        resume = ("--resume", conversation.id) if conversation else ()
        stream = ClaudeStream(self.emit, self._conversations.remember)
        budget: tuple[str, ...] = ()
        if self._spend_usd is not None:
            left = self._spend_usd - self._runs.spent_usd
            if left <= 0:
                return End(Trouble.SPENT), stream
            budget = (f"--max-budget-usd={left:g}",)
        argv = (*self._arguments, *budget, *resume, *self._extra)
        try:
            return await self._runs.run(argv, prompt, stream), stream
        finally:
            self.pending = stream.pending
            self._runs.measured(stream.context_tokens, stream.context_window)


def _arguments(assignment: Assignment, access: McpAccess) -> tuple[str, ...]:
    """The command line, but for the conversation, the budget and the declared further arguments."""
    settings, cli = assignment.settings, assignment.settings.cli
    config = access.directory / "claude-mcp.json"
    config.write_text(json.dumps({"mcpServers": _servers(access, cli)}))
    arguments = [
        *(settings.command or ("claude",)),
        "--print",
        "--output-format=stream-json",
        "--verbose",
        f"--mcp-config={config}",
        "--strict-mcp-config",
        ASK_OPERATOR if cli.asks_operator else DENY,
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

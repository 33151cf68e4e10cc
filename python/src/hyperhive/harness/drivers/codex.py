"""The driver ``codex``: ``codex exec``, one process a turn, one conversation.

What the hive says to Codex is a profile in the agent's own ``CODEX_HOME``, written anew for every
turn: the system prompt, the servers of tools, and no approvals, because the box is the boundary.
The hive's server is required: without it the turn fails before it costs anything. A conversation
that is gone begins anew, and a note says so; one that has become too long is compacted, and the
turn is tried once more.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

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
from hyperhive.harness.drivers.codex_rollout import measure
from hyperhive.harness.drivers.codex_stream import CodexStream
from hyperhive.harness.drivers.mcp_access import McpAccess, mcp_access
from hyperhive.harness.drivers.port import Assignment, Driver, Emit, TurnResult

CREDENTIALS: Final = ("CODEX_API_KEY", "OPENAI_API_KEY")
PROFILE: Final = "hyperhive"
TOOL_SECONDS: Final = 120
"""Longer than the longest wait of the hive's own tools."""

COMPETING_FEATURES: Final = (
    "apps",
    "browser_use",
    "computer_use",
    "goals",
    "plugins",
    "sleep_tool",
    # Not a tool, but as silent a wait: an API that cannot be reached is the hive's to wait for.
    "unbounded_connection_retries",
)
"""Ways of waiting, of reaching out and of delegating that go past the hive."""

COMPACT: Final = ("-c", "model_auto_compact_token_limit=1")
"""``codex exec`` has no order to compact; it does so before a prompt that finds the conversation
longer than this."""
COMPACTED: Final = (
    "Your conversation was just made shorter. Nothing is asked of you: use no tool, answer `ok`."
)

ENVIRONMENT: Final[Mapping[str, str]] = {"RUST_LOG": "error,codex_mcp=warn"}
"""Its log names the servers that did not come up; nothing else does."""


class CodexDriver(Driver):
    """Runs Codex once a turn, or a few times when a conversation needs mending."""

    async def run(self, assignment: Assignment, emit: Emit) -> TurnResult:
        """Run the turn in the agent's conversation."""
        return await _play(assignment, emit, _Turn.play)

    async def compact(self, assignment: Assignment, emit: Emit) -> TurnResult:
        """Let the program shorten the conversation, if there is one."""
        return await _play(assignment, emit, _Turn.compact)


async def _play(
    assignment: Assignment, emit: Emit, play: Callable[["_Turn"], Awaitable[End]]
) -> TurnResult:
    """Set up a turn, and let it be played."""
    box, cli, alerts = assignment.box, assignment.settings.cli, Alerts(emit)
    home = Path(box.environment.get("HOME") or Path.home())
    conversations = ConversationFile(home, "codex")
    if assignment.turn.fresh:
        conversations.forget()
        note(alerts, "A new conversation begins.", new_session=True)
    try:
        credentials = read_credentials(box.environment, CREDENTIALS)
    except CredentialError as error:
        return End(Trouble.NOT_LOGGED_IN, str(error)).result(None, {})
    if "OPENAI_API_KEY" in credentials:
        credentials.setdefault("CODEX_API_KEY", credentials["OPENAI_API_KEY"])
    if cli.spend_usd is not None:
        alert(alerts, "Codex cannot limit what a turn costs, and does not say what it did cost.")
    codex_home = Path(box.environment.get("CODEX_HOME") or home / ".codex")
    await asyncio.to_thread(link_skills, box.environment, codex_home / "skills")
    with mcp_access(assignment) as access:
        profile = write_profile(assignment.system_prompt, access, cli)
        _put(codex_home / f"{PROFILE}.config.toml", profile)
        runs = Runs(alerts, box.state, {**ENVIRONMENT, **access.environment, **credentials})
        turn = _Turn(assignment, alerts, runs, codex_home, conversations)
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
        codex_home: Path,
        conversations: ConversationFile,
    ) -> None:
        self._prompt = assignment.prompt
        self._settings = assignment.settings
        self._emit = emit
        self._runs = runs
        self._codex_home = codex_home
        self._conversations = conversations

    async def play(self) -> End:
        end = await self._run(self._prompt)
        if end.trouble is Trouble.NO_SESSION:
            self._begin_anew()
            end = await self._run(self._prompt)
        if end.trouble is Trouble.TOO_LONG and self._conversations.load() is not None:
            note(self._emit, "The conversation is too long; it is compacted.")
            if (await self._run(COMPACTED, *COMPACT)).trouble is None:
                end = await self._run(self._prompt)
        return end

    async def compact(self) -> End:
        conversation = self._conversations.load()
        if conversation is None:
            note(self._emit, "There is no conversation to compact.")
            return End()
        before = await asyncio.to_thread(measure, self._codex_home, conversation.id)
        end = await self._run(COMPACTED, *COMPACT)
        if end.trouble is Trouble.NO_SESSION:
            self._begin_anew()
            return End()
        after = await asyncio.to_thread(measure, self._codex_home, conversation.id, before.size)
        if after.was_compacted:
            change = f": {before.tokens} tokens became {after.tokens}" if before.tokens else ""
            note(self._emit, f"The conversation was compacted{change}.")
        elif end.trouble is None:
            alert(self._emit, "Codex was told to compact its conversation, and nothing shows that.")
        return end

    def _begin_anew(self) -> None:
        note(self._emit, "The conversation is gone; a new one begins.", new_session=True)
        self._conversations.forget()

    async def _run(self, prompt: str, *arguments: str) -> End:
        return await self._runs.run_twice_if_refused(lambda: self._run_once(prompt, arguments))

    async def _run_once(self, prompt: str, arguments: Sequence[str]) -> tuple[End, CodexStream]:
        settings, conversation = self._settings, self._conversations.load()
        argv = [
            *(settings.command or ("codex",)),
            "exec",
            "--json",
            "--skip-git-repo-check",
            f"--profile={PROFILE}",
            *((f"--model={settings.model}",) if settings.model else ()),
            *settings.extra_args,
            *arguments,
            *(("resume", conversation.id) if conversation else ()),
            "-",
        ]
        stream = CodexStream(self._emit, self._conversations.remember, conversation)
        try:
            return await self._runs.run(argv, prompt, stream, stream.take_note), stream
        finally:
            if stream.totals:
                self._conversations.count(*stream.totals)
            if known := self._conversations.load():
                found = measure(self._codex_home, known.id)
                self._runs.measured(found.tokens, found.window)


def write_profile(system_prompt: str, access: McpAccess, cli: CliSettings) -> str:
    """Write what the hive sets, as TOML."""
    command, *arguments = json.loads(access.environment["HYPERHIVE_MCP_COMMAND"])
    ours = json.loads(access.config.read_text())["mcpServers"]["hyperhive"]
    servers: dict[str, Any] = {
        "hyperhive": {
            "command": command,
            "args": arguments,
            "env": ours["env"],
            "required": True,
            "tool_timeout_sec": TOOL_SECONDS,
        }
    }
    for name, server in cli.mcp_servers.items():
        if server.url is not None:
            servers[name] = {"url": server.url}
        elif server.command:
            program, *rest = server.command
            servers[name] = {"command": program, "args": rest, "env": dict(server.environment)}
    features: dict[str, Any] = dict.fromkeys(COMPETING_FEATURES, False)
    if cli.tools is not None:
        features |= {"shell_tool": "shell" in cli.tools, "view_image": "view_image" in cli.tools}
    settings: dict[str, Any] = {
        "developer_instructions": system_prompt,
        "approval_policy": "never",
        "sandbox_mode": "danger-full-access",
        "check_for_update_on_startup": False,
        "agents": {"enabled": False},
        "analytics": {"enabled": False},
        "features": features,
        "mcp_servers": servers,
    }
    if cli.tools is not None and "web_search" not in cli.tools:
        settings["web_search"] = "disabled"
    return "".join(f"{key} = {_toml(value)}\n" for key, value in settings.items())


def _toml(value: object) -> str:
    """Write a value in TOML; tables are inline, which leaves no question of order."""
    match value:
        case str():
            # A JSON string is a TOML one, but for DEL and for what UTF-8 cannot say.
            clean = value.encode("utf-8", "replace").decode("utf-8")
            return json.dumps(clean, ensure_ascii=False).replace("\x7f", "\\u007f")
        case Mapping():
            return "{" + ", ".join(f"{_toml(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case _:
            return json.dumps(value)


def _put(path: Path, text: str) -> None:
    """Write a private file whole; it names variables of servers, which may be secrets."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


driver: Final[Driver] = CodexDriver()

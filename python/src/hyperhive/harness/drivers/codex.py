"""The driver ``codex``: ``codex exec``, one process a turn, one conversation.

What the hive says to Codex is a profile in the agent's own ``CODEX_HOME``, written anew for every
turn: the system prompt, the servers of tools, and no approvals, because the box is the boundary.
The hive's server is required: without it the turn fails before it costs anything. A conversation
that is gone begins anew, and a note says so.
"""

import asyncio
import json
from collections.abc import Mapping
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
from hyperhive.harness.drivers.cli_runs import Runs
from hyperhive.harness.drivers.cli_settings import CliSettings, settings_for_cli
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

ENVIRONMENT: Final[Mapping[str, str]] = {"RUST_LOG": "error,codex_mcp=warn"}
"""Its log names the servers that did not come up; nothing else does."""


class CodexDriver:
    """Runs Codex once a turn."""

    async def run(self, assignment: Assignment, emit: Emit) -> TurnResult:
        """Run the turn in the agent's conversation."""
        box, cli = assignment.box, settings_for_cli(assignment.settings)
        try:
            credentials = read_credentials(box.environment, CREDENTIALS)
        except CredentialError as error:
            return End(Trouble.NOT_LOGGED_IN, str(error)).result(None, {})
        if "OPENAI_API_KEY" in credentials:
            credentials.setdefault("CODEX_API_KEY", credentials["OPENAI_API_KEY"])
        if cli.spend_usd is not None:
            alert(emit, "Codex cannot limit what a turn costs; spend is counted after the turn.")
        home = Path(box.environment.get("HOME") or Path.home())
        codex_home = Path(box.environment.get("CODEX_HOME") or home / ".codex")
        await asyncio.to_thread(link_skills, box.environment, codex_home / "skills")
        conversations = ConversationFile(home, "codex")
        with mcp_access(assignment) as access:
            profile = write_profile(assignment.system_prompt, access, cli)
            _put(codex_home / f"{PROFILE}.config.toml", profile)
            runs = Runs(emit, box.state, {**ENVIRONMENT, **access.environment, **credentials})
            try:
                end = await _run(assignment, emit, runs, conversations)
                if end.trouble is Trouble.NO_SESSION:
                    text = "The conversation is gone; a new one begins."
                    note(emit, text, new_session=True)
                    conversations.forget()
                    end = await _run(assignment, emit, runs, conversations)
                return runs.result(end)
            except asyncio.CancelledError:
                return runs.cancelled()


async def _run(
    assignment: Assignment, emit: Emit, runs: Runs, conversations: ConversationFile
) -> End:
    settings, conversation = assignment.settings, conversations.load()
    argv = [
        *(settings.command or ("codex",)),
        "exec",
        "--json",
        "--skip-git-repo-check",
        f"--profile={PROFILE}",
        *((f"--model={settings.model}",) if settings.model else ()),
        *settings.extra_args,
        *(("resume", conversation.id) if conversation else ()),
        "-",
    ]
    stream = CodexStream(emit, conversations.remember, conversation)
    try:
        return await runs.run(argv, assignment.prompt, stream, stream.take_note)
    finally:
        if stream.totals:
            conversations.count(*stream.totals)


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

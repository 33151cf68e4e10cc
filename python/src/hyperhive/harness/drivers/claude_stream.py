"""Reading what Claude Code prints: stream-json, one object a line, as events of the turn.

It tells what the program said (texts, thoughts, tools), what happened to it (retries, servers
that did not come up, compactions), and, at its end, how it ended. What it does not know is shown
as a note and changes nothing. An error counts only where the program marks it as one: a synthetic
message with an ``error``, a retry, a ``rate_limit_event``, the ``result``; a text of the model is
never looked into.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from hyperhive.domain.turns import TurnEventKind
from hyperhive.harness.drivers.cli_ends import End, Trouble, trouble_of_status
from hyperhive.harness.drivers.cli_lines import (
    alert,
    mapping,
    mappings,
    note,
    number,
    read_object,
    show_unread,
    text_of,
)
from hyperhive.harness.drivers.port import Emit, Usage
from hyperhive.harness.drivers.processes import Line, describe_exit

HIVE_SERVER: Final = "hyperhive"
LOGIN_TRIES_MAX: Final = 2
"""The program tries a refused credential for minutes; once more is enough."""

_TROUBLES: Final[Mapping[str, Trouble]] = {
    "rate_limit": Trouble.RATE_LIMITED,
    "overloaded": Trouble.UNAVAILABLE,
    "server_error": Trouble.UNAVAILABLE,
    "authentication_failed": Trouble.NOT_LOGGED_IN,
    "oauth_org_not_allowed": Trouble.NOT_LOGGED_IN,
    "billing_error": Trouble.UNPAID,
}
_SILENT: Final = frozenset(
    {
        "stream_event",
        "keep_alive",
        "tool_progress",
        "prompt_suggestion",
        "system/status",
        "system/thinking_tokens",
        "system/task_started",
        "system/task_progress",
        "system/task_updated",
        "system/task_notification",
        "system/hook_started",
        "system/hook_progress",
        "system/files_persisted",
        "system/session_state_changed",
    }
)
"""Lines whose news other lines tell better."""
_NO_SESSION: Final = "No conversation found with session ID"


class ClaudeStream:
    """The lines of one run of the program, and what they came to."""

    def __init__(self, emit: Emit, remember: Callable[[str], None]) -> None:
        """``remember`` gets the conversation's id as soon as the program has named it."""
        self._emit = emit
        self._remember = remember
        self._error = ""
        self._error_text = ""
        self._resets_at: float | None = None
        self._result: Mapping[str, Any] | None = None
        self._names: dict[str, str] = {}
        self._model = ""
        self.tools: Counter[str] = Counter()
        self.refusals = 0
        """How often the provider has refused the credential."""
        self.context_tokens: int | None = None
        """What the last inference had before it, of the main conversation, in tokens."""
        self.context_window: int | None = None
        """How many tokens the model takes, if the program said so."""
        self.pending: frozenset[str] = frozenset()
        """Servers that had not connected when the run began, and have not been used since."""
        self.hopeless: End | None = None
        """Set when it is no use to let the program go on."""

    def take(self, line: Line) -> None:
        """Read one line."""
        data = read_object(line)
        if data is None:
            why = "a line too long to be read" if line.is_cut else "a line that is not JSON"
            show_unread(self._emit, line, why)
            return
        kind = text_of(data.get("type"))
        if kind == "system":
            kind = f"system/{text_of(data.get('subtype'))}"
        match kind:
            case "assistant":
                self._take_assistant(data)
            case "user":
                self._take_user(data)
            case "result":
                self._take_result(data)
            case "rate_limit_event":
                self._take_rate_limit(mapping(data.get("rate_limit_info")))
            case "system/init":
                self._take_init(data)
            case "system/api_retry":
                self._take_retry(data)
            case "system/model_fallback":
                note(self._emit, text_of(data.get("content")) or "another model answers")
            case "system/compact_boundary":
                self._take_compaction(mapping(data.get("compact_metadata")))
            case _ if kind not in _SILENT:
                show_unread(self._emit, line, f"a line of an unknown kind: {kind or 'none'}")

    def usage(self) -> Usage | None:
        """Return what the run consumed, caches and helper models included."""
        if self._result is None:
            return None
        models = [mapping(model) for model in mapping(self._result.get("modelUsage")).values()]
        into = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
        cost = self._result.get("total_cost_usd")
        return Usage(
            input_tokens=sum(number(model.get(key)) for model in models for key in into),
            output_tokens=sum(number(model.get("outputTokens")) for model in models),
            cost_usd=float(cost) if isinstance(cost, int | float) else None,
        )

    def end(self, status: int) -> End:
        """Say how the run ended, from its last lines and its exit status."""
        if self.hopeless is not None:
            return self.hopeless
        result = self._result
        if result is None:
            said = f"it ended with {describe_exit(status)} and without a result"
            return End(Trouble.OTHER, self._error_text or said)
        said = text_of(result.get("result")) or "; ".join(
            text for text in result.get("errors") or [] if isinstance(text, str)
        )
        if result.get("is_error") is not True:
            if status == 0:
                return End()
            return End(Trouble.OTHER, f"it ended with {describe_exit(status)}")
        if text_of(result.get("subtype")) == "error_max_budget_usd":
            return End(Trouble.SPENT, said)
        if text_of(result.get("terminal_reason")) == "prompt_too_long":
            return End(Trouble.TOO_LONG, said)
        if said.startswith(_NO_SESSION) and not number(result.get("num_turns")):
            return End(Trouble.NO_SESSION, said)
        trouble = _TROUBLES.get(self._error)
        if trouble is None:
            trouble = trouble_of_status(number(result.get("api_error_status")))
        resets_at = self._resets_at if trouble is Trouble.RATE_LIMITED else None
        return End(trouble, said, resets_at)

    def _take_result(self, data: Mapping[str, Any]) -> None:
        self._result = data
        if trouble_of_status(number(data.get("api_error_status"))) is Trouble.NOT_LOGGED_IN:
            self.refusals += 1
        for name, model in mapping(data.get("modelUsage")).items():
            # The name may carry a variant: claude-opus-4-8[1m].
            if self._model and name.startswith(self._model):
                self.context_window = number(mapping(model).get("contextWindow")) or None
        for denial in mappings(data.get("permission_denials")):
            name = text_of(denial.get("tool_name"))
            note(self._emit, f"The tool {name} was denied: it is not allowed.", denied=name)

    def _take_init(self, data: Mapping[str, Any]) -> None:
        if session := text_of(data.get("session_id")):
            self._remember(session)
        model = text_of(data.get("model"))
        self._model = model.partition("[")[0]
        note(
            self._emit,
            f"Claude Code {text_of(data.get('claude_code_version'))} with {model}",
            model=model,
            session=session,
            skills=data.get("skills"),
        )
        self.pending = frozenset()
        for server in mappings(data.get("mcp_servers")):
            name, status = text_of(server.get("name")), text_of(server.get("status"))
            if status == "connected":
                continue
            text = f"The MCP server {name} is not connected ({status})."
            if status == "pending":
                self.pending |= {name}
                note(self._emit, text, mcp_server=name, status=status)
                continue
            alert(self._emit, text, mcp_server=name, status=status)
            if name == HIVE_SERVER:
                self.hopeless = End(Trouble.OTHER, "the hive's own tools did not come up")

    def _take_assistant(self, data: Mapping[str, Any]) -> None:
        message = mapping(data.get("message"))
        parent = _parent(data)
        if error := text_of(data.get("error")):
            self._error = error
            texts = [text_of(block.get("text")) for block in mappings(message.get("content"))]
            self._error_text = " ".join(text for text in texts if text) or error
            self._emit(TurnEventKind.ERROR, {"text": self._error_text, "error": error, **parent})
            return
        usage = mapping(message.get("usage"))
        if usage and not parent:
            self._model = text_of(message.get("model")).partition("[")[0]
            self.context_tokens = sum(
                number(usage.get(key))
                for key in (
                    "input_tokens",
                    "cache_read_input_tokens",
                    "cache_creation_input_tokens",
                    "output_tokens",
                )
            )
        for block in mappings(message.get("content")):
            self._take_block(block, parent)

    def _take_block(self, block: Mapping[str, Any], parent: Mapping[str, Any]) -> None:
        match block.get("type"):
            case "text":
                self._emit(TurnEventKind.TEXT, {"text": text_of(block.get("text")), **parent})
            case "thinking":
                thought = text_of(block.get("thinking"))
                if thought:
                    self._emit(TurnEventKind.THINKING, {"text": thought, **parent})
            case "tool_use" | "server_tool_use" | "mcp_tool_use":
                name, identity = text_of(block.get("name")), text_of(block.get("id"))
                self.tools[name] += 1
                self._names[identity] = name
                self.pending -= {name.removeprefix("mcp__").partition("__")[0]}
                call = {"id": identity, "name": name, "arguments": block.get("input")}
                self._emit(TurnEventKind.TOOL_CALL, {**call, **parent})
            case "redacted_thinking":
                note(self._emit, "a thought that the provider does not show", **parent)
            case kind:
                note(self._emit, f"a block of an unknown kind: {kind}", **parent)

    def _take_user(self, data: Mapping[str, Any]) -> None:
        content = mapping(data.get("message")).get("content")
        parent = _parent(data)
        if isinstance(content, str):
            note(self._emit, content, **parent)
            return
        for block in mappings(content):
            if block.get("type") == "tool_result":
                identity = text_of(block.get("tool_use_id"))
                told = {
                    "id": identity,
                    "name": self._names.get(identity, ""),
                    "result": _result_text(block.get("content")),
                    "is_error": block.get("is_error") is True,
                }
                self._emit(TurnEventKind.TOOL_RESULT, {**told, **parent})
            elif block.get("type") == "text":
                note(self._emit, text_of(block.get("text")), **parent)

    def _take_retry(self, data: Mapping[str, Any]) -> None:
        attempt, error = number(data.get("attempt")), text_of(data.get("error"))
        status = data.get("error_status")
        seconds = number(data.get("retry_delay_ms")) / 1000
        note(
            self._emit,
            f"The model's API failed ({status or 'no answer'}, {error}); "
            f"retry {attempt} in {seconds:.1f} s.",
            error=error,
            status=status,
        )
        if _TROUBLES.get(error) is Trouble.NOT_LOGGED_IN:
            self.refusals += 1
        if _TROUBLES.get(error) is Trouble.NOT_LOGGED_IN and attempt >= LOGIN_TRIES_MAX:
            self.hopeless = End(Trouble.NOT_LOGGED_IN, f"{status or ''} {error}".strip())

    def _take_rate_limit(self, info: Mapping[str, Any]) -> None:
        status, resets = text_of(info.get("status")), info.get("resetsAt")
        if status == "rejected" and isinstance(resets, int | float):
            self._resets_at = float(resets)
        if status not in {"", "allowed"}:
            note(self._emit, f"The rate limit says: {status}.", status=status, resets_at=resets)

    def _take_compaction(self, data: Mapping[str, Any]) -> None:
        before, after = data.get("pre_tokens"), data.get("post_tokens")
        note(self._emit, f"The conversation was compacted: {before} tokens became {after}.")
        # What was measured before is gone; the next inference measures anew.
        self.context_tokens = number(after) or None


def _parent(data: Mapping[str, Any]) -> dict[str, Any]:
    """Mark what a helper of the agent did rather than the agent."""
    parent = data.get("parent_tool_use_id")
    return {"parent": parent} if parent else {}


def _result_text(content: object) -> object:
    if isinstance(content, list):
        parts = [text_of(part.get("text")) or f"[{part.get('type')}]" for part in mappings(content)]
        return "\n".join(parts)
    return content

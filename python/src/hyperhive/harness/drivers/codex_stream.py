"""Reading what Codex prints: ``codex exec --json``, one object a line, as events of the turn.

Codex reports trouble as sentences of its own in ``error`` and ``turn.failed``; how each begins is
known here, and one that is not known fails the turn with its words. What a model or a tool wrote
is never looked into. What it does not know of the stream is shown as a note.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from hyperhive.domain.turns import TurnEventKind
from hyperhive.harness.drivers.cli_ends import End, Trouble, trouble_of_status
from hyperhive.harness.drivers.cli_files import Conversation
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

LOGIN_TRIES_MAX: Final = 2

_RETRY: Final = re.compile(r"Reconnecting\.\.\. (\d+)/\d+ \((.*)\)\Z", re.DOTALL)
_STATUS: Final = re.compile(
    r"(?:unexpected status|exceeded retry limit, last status:) (\d{3})\b", re.DOTALL
)
_RETRIES_SPENT: Final = "exceeded retry limit"
_BEGINNINGS: Final[Mapping[str, Trouble]] = {
    "rate limit exceeded": Trouble.RATE_LIMITED,
    "You\u2019ve hit your usage limit": Trouble.RATE_LIMITED,
    "You've hit your usage limit": Trouble.RATE_LIMITED,
    "Quota exceeded": Trouble.UNPAID,
    "Selected model is at capacity": Trouble.UNAVAILABLE,
    "stream disconnected before completion": Trouble.UNAVAILABLE,
    "Connection failed": Trouble.UNAVAILABLE,
    "Codex ran out of room": Trouble.TOO_LONG,
    "Your access token could not be refreshed": Trouble.NOT_LOGGED_IN,
    "Missing environment variable": Trouble.NO_CREDENTIAL,
}
_RESET: Final = re.compile(
    r"[Tt]ry again at (?:([A-Z][a-z]{2}) (\d{1,2})(?:st|nd|rd|th), (\d{4}) )?"
    r"(\d{1,2}:\d{2} [AP]M)"
)
_SERVER_FAILED: Final = re.compile(r'MCP server startup failed server_name="([^"]+)" error=(.*)')
_NO_SESSION: Final = "no rollout found for thread id"


class CodexStream:
    """The lines of one run of the program, and what they came to."""

    def __init__(
        self,
        emit: Emit,
        remember: Callable[[str], None],
        before: Conversation | None = None,
    ) -> None:
        """``remember`` gets the conversation's id as soon as the program has named it.

        ``before`` is the conversation as it was when the run began.
        """
        self._emit = emit
        self._remember = remember
        self._before = before
        self._totals: tuple[int, int] | None = None
        self._failure: str | None = None
        self._completed = False
        self._session_missing = False
        self._called: set[str] = set()
        self.tools: Counter[str] = Counter()
        self.refusals = 0
        """How often the provider has refused the credential."""
        self.hopeless: End | None = None
        """Set when it is no use to let the program go on."""

    @property
    def totals(self) -> tuple[int, int] | None:
        """What the whole conversation has consumed: tokens in and out, if the run said so."""
        return self._totals

    def take(self, line: Line) -> None:
        """Read one line of standard output."""
        data = read_object(line)
        if data is None:
            why = "a line too long to be read" if line.is_cut else "a line that is not JSON"
            show_unread(self._emit, line, why)
            return
        item = mapping(data.get("item"))
        match text_of(data.get("type")):
            case "thread.started":
                if thread := text_of(data.get("thread_id")):
                    self._remember(thread)
                note(self._emit, f"Codex, thread {thread}", session=thread)
            case "turn.started" | "item.updated":
                return
            case "item.started":
                self._take_item(item, line, is_done=False)
            case "item.completed":
                self._take_item(item, line, is_done=True)
            case "turn.completed":
                usage = mapping(data.get("usage"))
                counts = number(usage.get("input_tokens")), number(usage.get("output_tokens"))
                self._totals, self._completed = counts, True
            case "turn.failed":
                self._fail(text_of(mapping(data.get("error")).get("message")))
            case "error":
                self._take_error(text_of(data.get("message")))
            case kind:
                show_unread(self._emit, line, f"a line of an unknown kind: {kind or 'none'}")

    def take_note(self, line: Line) -> None:
        """Read one line of standard error."""
        if found := _SERVER_FAILED.search(line.text):
            name, error = found.groups()
            text = f"The MCP server {name} is not connected: {error[:300]}"
            alert(self._emit, text, mcp_server=name, status="failed")
            return
        self._session_missing = self._session_missing or _NO_SESSION in line.text
        note(self._emit, line.text, source="stderr")

    def usage(self) -> Usage | None:
        """Return what this run consumed: the conversation's total without what was there before.

        Codex counts the whole conversation, and names no price.
        """
        if self._totals is None:
            return None
        now_in, now_out = self._totals
        before = self._before
        if before is None or now_in < before.input_tokens or now_out < before.output_tokens:
            return Usage(now_in, now_out)
        return Usage(now_in - before.input_tokens, now_out - before.output_tokens)

    def end(self, status: int) -> End:
        """Say how the run ended, from its last lines and its exit status."""
        if self.hopeless is not None:
            return self.hopeless
        if self._failure is not None:
            return read_failure(self._failure)
        if self._completed and status == 0:
            return End()
        said = f"it ended with {describe_exit(status)}"
        if self._session_missing:
            return End(Trouble.NO_SESSION, said)
        return End(Trouble.OTHER, said if self._completed else f"{said} and without a result")

    def _take_error(self, message: str) -> None:
        retry = _RETRY.match(message)
        if retry is None:
            # ``turn.failed`` follows and says the same.
            self._failure = message
            return
        note(self._emit, f"The model's API failed: {message}", retry=int(retry.group(1)))
        end = read_failure(retry.group(2))
        if end.trouble is Trouble.NOT_LOGGED_IN:
            self.refusals += 1
        is_refused = end.trouble is Trouble.NOT_LOGGED_IN and int(retry.group(1)) >= LOGIN_TRIES_MAX
        # Codex has tried again already, and would now sleep for as long as it was told to.
        is_limited = end.trouble is Trouble.RATE_LIMITED and retry.group(2).startswith(
            _RETRIES_SPENT
        )
        if is_refused or is_limited:
            self.hopeless = end

    def _fail(self, message: str) -> None:
        self._failure = message or "no reason was given"
        if read_failure(self._failure).trouble is Trouble.NOT_LOGGED_IN:
            self.refusals += 1
        self._emit(TurnEventKind.ERROR, {"text": self._failure})

    def _take_item(self, item: Mapping[str, Any], line: Line, *, is_done: bool) -> None:
        kind, text = text_of(item.get("type")), text_of(item.get("text"))
        match kind:
            case "agent_message" if is_done:
                self._emit(TurnEventKind.TEXT, {"text": text})
            case "reasoning" if is_done:
                self._emit(TurnEventKind.THINKING, {"text": text})
            case "error" if is_done:
                note(self._emit, text_of(item.get("message")))
            case "mcp_tool_call":
                name = f"mcp__{text_of(item.get('server'))}__{text_of(item.get('tool'))}"
                self._take_call(item, name, item.get("arguments"), _mcp_result(item), is_done)
            case "command_execution":
                output = text_of(item.get("aggregated_output"))
                result = f"{output}[exit {item.get('exit_code')}]"
                arguments = {"command": item.get("command")}
                self._take_call(item, "shell", arguments, result, is_done)
            case "file_change":
                self._take_call(item, "apply_patch", {"changes": item.get("changes")}, "", is_done)
            case "web_search":
                self._take_call(item, "web_search", {"query": item.get("query")}, "", is_done)
            case "todo_list" if is_done:
                done = [
                    f"[{'x' if entry.get('completed') else ' '}] {text_of(entry.get('text'))}"
                    for entry in mappings(item.get("items"))
                ]
                note(self._emit, "\n".join(done))
            case "agent_message" | "reasoning" | "error" | "todo_list":
                return
            case _:
                show_unread(self._emit, line, f"an item of an unknown kind: {kind or 'none'}")

    def _take_call(
        self,
        item: Mapping[str, Any],
        name: str,
        arguments: object,
        result: object,
        is_done: bool,  # noqa: FBT001 -- the two halves of one call
    ) -> None:
        identity = text_of(item.get("id"))
        if identity not in self._called:
            self._called.add(identity)
            self.tools[name] += 1
            call = {"id": identity, "name": name, "arguments": arguments}
            self._emit(TurnEventKind.TOOL_CALL, call)
        if is_done:
            failed = item.get("status") in {"failed", "declined"}
            told = {"id": identity, "name": name, "result": result, "is_error": failed}
            self._emit(TurnEventKind.TOOL_RESULT, told)


def read_failure(message: str, now: datetime | None = None) -> End:
    """Say what a sentence of Codex about a failure means."""
    if found := _STATUS.match(message):
        return End(trouble_of_status(int(found.group(1))), message)
    if message.startswith("{"):
        error = _error_of(message)
        said = text_of(error.get("message")) or message
        too_long = error.get("code") == "context_length_exceeded"
        return End(Trouble.TOO_LONG if too_long else Trouble.OTHER, said)
    for beginning, trouble in _BEGINNINGS.items():
        if message.startswith(beginning):
            return End(trouble, message, _reset(message, now or datetime.now().astimezone()))
    return End(Trouble.OTHER, message)


def _error_of(body: str) -> Mapping[str, Any]:
    """Return the error in a body that the API answered and Codex handed on."""
    try:
        return mapping(mapping(json.loads(body)).get("error"))
    except (ValueError, RecursionError):
        return {}


def _reset(message: str, now: datetime) -> float | None:
    """Return the time that a usage limit names, in Codex's own words and the local time."""
    found = _RESET.search(message)
    if found is None:
        return None
    month, day, year, clock = found.groups()
    try:
        time = datetime.strptime(clock, "%I:%M %p").time()  # noqa: DTZ007 -- a time of day
        if month is None:
            when = datetime.combine(now.date(), time, now.tzinfo)
            return (when if when > now else when + timedelta(days=1)).timestamp()
        date = datetime.strptime(f"{month} {day} {year}", "%b %d %Y").date()  # noqa: DTZ007
        return datetime.combine(date, time, now.tzinfo).timestamp()
    except ValueError:
        return None


def _mcp_result(item: Mapping[str, Any]) -> object:
    if error := mapping(item.get("error")):
        return text_of(error.get("message"))
    content = mapping(item.get("result")).get("content")
    return "\n".join(
        text_of(part.get("text")) or f"[{part.get('type')}]" for part in mappings(content)
    )

"""An MCP client of the smallest size: one tool call at a time through the bridge."""

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hyperhive import __version__
from hyperhive.harness.script_format import ScriptError

PROTOCOL_VERSION: Final = "2025-06-18"
ANSWER_SECONDS: Final = 200.0
"""Above all the bridge does by itself: a tool's wait, then a minute of trying again."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A tool's answer: its structured content, or ``{"text": …}`` where it has none."""

    value: Mapping[str, Any]
    is_error: bool


class Tools:
    """The hive's tools, over a bridge that is started with the first call."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._bridge: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._last_id = 0

    def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Use a tool; a refusal is a result with ``is_error``, ScriptError that there is none."""
        if self._bridge is None:
            self._start()
        answer = self._request("tools/call", {"name": name, "arguments": arguments})
        if (error := answer.get("error")) is not None:
            return ToolResult({"text": error.get("message"), "code": error.get("code")}, True)
        return _result(answer.get("result"))

    def close(self) -> None:
        """Let the bridge end; it confirms first what it has delivered."""
        if self._bridge is None:
            return
        if self._bridge.stdin is not None:
            self._bridge.stdin.close()
        try:
            self._bridge.wait(5)
        except subprocess.TimeoutExpired:
            self._bridge.kill()
            self._bridge.wait()
        if self._bridge.stdout is not None:
            self._bridge.stdout.close()

    def _start(self) -> None:
        self._bridge = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        client = {"name": "hyperhive-script", "version": __version__}
        hello = {"protocolVersion": PROTOCOL_VERSION, "capabilities": {}, "clientInfo": client}
        answer = self._request("initialize", hello)
        if "error" in answer:
            raise ScriptError(f"MCP could not be initialised: {answer['error'].get('message')}")
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def _request(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self._last_id += 1
        request = self._last_id
        self._write({"jsonrpc": "2.0", "id": request, "method": method, "params": params})
        until = time.monotonic() + ANSWER_SECONDS
        while True:
            answer = json.loads(self._line(until, method))
            if isinstance(answer, dict) and answer.get("id") == request:
                return answer

    def _write(self, message: Mapping[str, Any]) -> None:
        if self._bridge is None or self._bridge.stdin is None:
            raise ScriptError("The bridge is not running.")
        try:
            self._bridge.stdin.write(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise ScriptError(f"The bridge has gone: {error.strerror}.") from error

    def _line(self, until: float, method: str) -> bytes:
        if self._bridge is None or self._bridge.stdout is None:
            raise ScriptError("The bridge is not running.")
        source = self._bridge.stdout.fileno()
        while b"\n" not in self._buffer:
            readable, _, _ = select.select([source], [], [], max(0.0, until - time.monotonic()))
            if not readable:
                raise ScriptError(f"{method} was not answered in {ANSWER_SECONDS:g} s.")
            chunk = os.read(source, 65536)
            if not chunk:
                raise ScriptError("The bridge ended without an answer.")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


def _result(result: Any) -> ToolResult:
    if not isinstance(result, Mapping):
        raise ScriptError(f"A tool's result is an object, not {result!r:.60}.")
    is_error = result.get("isError") is True
    structured = result.get("structuredContent")
    if isinstance(structured, Mapping):
        return ToolResult(structured, is_error)
    content = result.get("content")
    texts = [part.get("text") or "" for part in content or () if isinstance(part, Mapping)]
    text = "\n".join(texts)
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    return ToolResult(value if isinstance(value, Mapping) else {"text": text}, is_error)

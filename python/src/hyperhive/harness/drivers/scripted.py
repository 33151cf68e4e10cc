"""The driver ``scripted``: a script of tool calls answers, without any model.

The script is played by a process of its own that speaks MCP through the bridge, exactly as an
agent's program does. It gets ``{"script", "turn"}`` on standard input and writes one event a
line, ``{"kind", "data"}``. The format of scripts is described in ``docs/scripted.md``.
"""

import json
import sys
from collections import Counter
from typing import Any, Final

from hyperhive.domain.turns import TurnEventKind, TurnOutcome
from hyperhive.harness.drivers.mcp_access import mcp_access
from hyperhive.harness.drivers.port import Assignment, Driver, Emit, TurnResult
from hyperhive.harness.drivers.processes import Line, LineReader, describe_exit, run_program

_EVENT_BYTES_MAX: Final = 256 * 1024


class ScriptedDriver(Driver):
    """Plays the declared script once a turn."""

    async def run(self, assignment: Assignment, emit: Emit) -> TurnResult:
        """Play the script; its first error event is the reason of a failed turn."""
        if assignment.settings.script is None:
            return TurnResult(
                TurnOutcome.FAILED,
                "The agent's driver names no script. Set driver.script in its declaration.",
            )
        tools: Counter[str] = Counter()
        errors: list[str] = []

        def take_event(line: Line) -> None:
            kind, data = read_event(line)
            emit(kind, data)
            if kind is TurnEventKind.TOOL_CALL:
                tools[str(data.get("name"))] += 1
            elif kind is TurnEventKind.ERROR:
                errors.append(str(data.get("text")))

        def take_note(line: Line) -> None:
            if line.text.strip():
                emit(TurnEventKind.NOTE, {"text": line.text, "source": "stderr"})

        with mcp_access(assignment) as access:
            status = await run_program(
                (sys.executable, "-P", "-m", "hyperhive.harness.script_player"),
                directory=assignment.box.state,
                environment=access.environment,
                stdin=_performance(assignment),
                stdout=LineReader(take_event, _EVENT_BYTES_MAX),
                stderr=LineReader(take_note),
            )
        if status == 0:
            return TurnResult(TurnOutcome.OK, tools=tools)
        reason = errors[0] if errors else f"The script's player ended with {describe_exit(status)}."
        return TurnResult(TurnOutcome.FAILED, reason[:1000], tools=tools)


def read_event(line: Line) -> tuple[TurnEventKind, dict[str, Any]]:
    """Read an event that a player wrote; anything else is shown as a note."""
    try:
        event = json.loads(line.text)
        return TurnEventKind(event["kind"]), dict(event["data"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return TurnEventKind.NOTE, {"text": line.text, "source": "stdout"}


def _performance(assignment: Assignment) -> bytes:
    turn = assignment.turn
    return json.dumps(
        {
            "script": assignment.settings.script,
            "turn": {
                "id": turn.id,
                "kind": turn.kind,
                "fresh": turn.fresh,
                "messages": [message.as_json() for message in turn.messages],
                "waiting": turn.waiting,
            },
        }
    ).encode()


driver: Final[Driver] = ScriptedDriver()

"""Plays a script: the agent of the driver ``scripted``, a process per turn.

In: ``{"script": path, "turn": {"id", "kind", "fresh", "messages", "waiting"}}`` on standard input.
Out: one event a line, ``{"kind", "data"}``. Exit status 0 when every message was dealt with as the
script says, 1 with an ``error`` event when something was not. Each message goes to the first rule
it matches, and so does a checkpoint; what no rule matches is noted and counts as dealt with.
"""

import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, assert_never

from hyperhive.domain.turns import TurnEventKind, TurnKind
from hyperhive.harness.cutting import cut_texts
from hyperhive.harness.script_format import (
    Call,
    Checks,
    Fail,
    If,
    Match,
    Pause,
    Rule,
    Run,
    Say,
    ScriptError,
    Step,
    WaitFor,
    load_script,
)
from hyperhive.harness.script_programs import ProgramError, run_program
from hyperhive.harness.script_state import ScriptState
from hyperhive.harness.script_tools import Tools
from hyperhive.harness.script_values import MissingValueError, contains, fill, look_up

RECV_SECONDS_MAX: Final = 50


class Player:
    """Plays the rules of one script over the messages of one turn."""

    def __init__(
        self, rules: Sequence[Rule], turn: Mapping[str, Any], tools: Tools, state: ScriptState
    ) -> None:
        self._rules = rules
        self._turn = turn
        self._tools = tools
        self._state = state
        self._messages: list[Mapping[str, Any]] = list(turn["messages"])
        if turn["kind"] == TurnKind.CHECKPOINT:
            self._messages.append({"kind": TurnKind.CHECKPOINT})

    def play(self) -> None:
        """Deal with every message, those set aside by a ``wait_for`` included."""
        while self._messages:
            message = self._messages.pop(0)
            rule, groups = self._choose(message)
            if rule is None:
                what = "this checkpoint"
                if "kind" not in message:
                    what = f"message {message['id']} from {message['from']}"
                emit(TurnEventKind.NOTE, {"text": f"No rule matches {what}."})
                continue
            scope = {**message, **self._surroundings(), "match": groups}
            self._play(rule.steps, message, scope)
            if rule.once:
                self._state.finish(rule.name)

    def _choose(self, message: Mapping[str, Any]) -> tuple[Rule | None, dict[str, Any]]:
        for rule in self._rules:
            if rule.once and self._state.is_done(rule.name):
                continue
            groups = match_message(rule.match, message)
            if groups is not None:
                return rule, groups
        return None, {}

    def _surroundings(self) -> dict[str, Any]:
        return {
            "agent": os.environ.get("HYPERHIVE_AGENT", ""),
            "turn": self._turn["id"],
            "saved": self._state.saved,
        }

    def _play(
        self, steps: Sequence[Step], message: Mapping[str, Any], scope: Mapping[str, Any]
    ) -> None:
        for step in steps:
            try:
                self._step(step, message, scope)
            except MissingValueError as error:
                raise ScriptError(f"{step.place}: {error}.") from error

    def _step(self, step: Step, message: Mapping[str, Any], scope: Mapping[str, Any]) -> None:
        match step:
            case Call():
                self._call(step, scope)
            case WaitFor():
                self._wait_for(step, scope)
            case Run():
                self._run(step, scope)
            case Pause():
                time.sleep(step.seconds)
            case Say():
                emit(TurnEventKind.TEXT, {"text": fill(step.text, scope)})
            case Fail():
                raise ScriptError(str(fill(step.reason, scope)))
            case If():
                holds = match_message(step.match, message) is not None
                holds = holds and fault_in(scope, step.checks, scope) is None
                self._play(step.then if holds else step.otherwise, message, scope)
            case _:
                assert_never(step)

    def _call(self, step: Call, scope: Mapping[str, Any]) -> None:
        value, is_error = self._use(step.tool, fill(step.arguments, scope))
        if is_error is not step.is_error:
            was = f"refused: {value.get('text', value)}" if is_error else "not refused"
            raise ScriptError(f"{step.place}: {step.tool} was {was}")
        self._conclude(step, value, scope)

    def _run(self, step: Run, scope: Mapping[str, Any]) -> None:
        command = [str(fill(word, scope)) for word in step.command]
        told = {"name": command[0], "arguments": {"command": command}}
        emit(TurnEventKind.TOOL_CALL, told)
        try:
            status, output = run_program(command, step.seconds)
        except ProgramError as error:
            raise ScriptError(f"{step.place}: {error}") from error
        is_error = status != 0
        value = {"output": output}
        emit(TurnEventKind.TOOL_RESULT, {"name": command[0], "result": value, "is_error": is_error})
        if is_error:
            ended = f"ended with status {status}: {output[-300:]}"
            raise ScriptError(f"{step.place}: {command[0]} {ended}")
        self._conclude(step, value, scope)

    def _wait_for(self, step: WaitFor, scope: Mapping[str, Any]) -> None:
        until = time.monotonic() + step.seconds
        aside = list(self._messages)
        while True:
            for message in aside:
                if match_message(step.match, message) is not None:
                    self._messages.remove(message)
                    self._conclude(step, message, scope)
                    return
            left = until - time.monotonic()
            if left <= 0:
                raise ScriptError(f"{step.place}: no such message came in {step.seconds:g} s.")
            wait = min(RECV_SECONDS_MAX, math.ceil(left))
            value, is_error = self._use("recv", {"wait_seconds": wait, "max": 1})
            if is_error:
                raise ScriptError(f"{step.place}: recv was refused: {value.get('text', value)}")
            aside = list(value.get("messages", ()))
            self._messages += aside

    def _conclude(
        self, step: Call | WaitFor | Run, value: Mapping[str, Any], scope: Mapping[str, Any]
    ) -> None:
        fault = fault_in(value, step.expect, scope)
        if fault is not None:
            raise ScriptError(f"{step.place}: {fault}.")
        if step.save is not None:
            self._state.save(step.save, value)

    def _use(self, tool: str, arguments: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
        emit(TurnEventKind.TOOL_CALL, {"name": tool, "arguments": arguments})
        result = self._tools.call(tool, arguments)
        told = {"name": tool, "result": result.value, "is_error": result.is_error}
        emit(TurnEventKind.TOOL_RESULT, told)
        return result.value, result.is_error


def match_message(match: Match, message: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the named groups of ``body_matches`` if the message matches, else ``None``."""
    body = str(message.get("body", ""))
    if message.get("kind", TurnKind.WORK) != match.kind:
        return None
    wanted = {
        "from": match.sender,
        "broadcast": match.broadcast,
        "redelivered": match.redelivered,
    }
    if any(value is not None and message.get(key) != value for key, value in wanted.items()):
        return None
    if match.body_contains is not None and match.body_contains not in body:
        return None
    if match.body_matches is None:
        return {}
    found = match.body_matches.search(body)
    return None if found is None else found.groupdict()


def fault_in(value: Any, checks: Checks, scope: Mapping[str, Any]) -> str | None:
    """Say which check does not hold for ``value``, or ``None`` when all do."""
    for path, template in checks.equals.items():
        wanted = fill(template, scope)
        try:
            found = look_up(value, path)
        except MissingValueError as error:
            return str(error)
        if found != wanted:
            return f"{path} is {found!r:.200}, not {wanted!r:.200}"
    for path, template in checks.contains.items():
        wanted = fill(template, scope)
        try:
            found = look_up(value, path)
        except MissingValueError as error:
            return str(error)
        if not contains(found, wanted):
            return f"{path} is {found!r:.200}, which does not contain {wanted!r:.200}"
    return None


def emit(kind: TurnEventKind, data: Mapping[str, Any]) -> None:
    """Write one event of the turn's transcript."""
    sys.stdout.write(json.dumps({"kind": kind, "data": cut_texts(data)}) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Play the script that standard input names; return the exit status."""
    command = os.environ.get("HYPERHIVE_MCP_COMMAND")
    bridge = json.loads(command) if command else [sys.executable, "-P", "-m", _BRIDGE]
    tools = Tools(bridge)
    try:
        performance = json.load(sys.stdin)
        rules = load_script(Path(performance["script"]))
        state = ScriptState(Path.home() / ".hyperhive" / "script.json")
        if performance["turn"]["fresh"]:
            state.forget()
        Player(rules, performance["turn"], tools, state).play()
    except ScriptError as error:
        emit(TurnEventKind.ERROR, {"text": str(error)})
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        tools.close()
    return 0


_BRIDGE: Final = "hyperhive.harness.bridge"

if __name__ == "__main__":
    sys.exit(main())

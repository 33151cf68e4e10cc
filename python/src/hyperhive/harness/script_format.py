"""The format of scripts: TOML in, rules and steps out.

Everything that can be wrong with a script before it is played is found here, as a ScriptError
that names the place and what belongs there. ``docs/scripted.md`` describes the format.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hyperhive.domain.turns import TurnKind
from hyperhive.harness.script_values import template_fault


class ScriptError(Exception):
    """The script cannot be read, or its play came out otherwise than it says."""


@dataclass(frozen=True, slots=True)
class Match:
    """What a message must be like; a field that is ``None`` does not matter.

    A checkpoint is like no message: only a match that names its ``kind`` is for it.
    """

    kind: TurnKind = TurnKind.WORK
    sender: str | None = None
    body_contains: str | None = None
    body_matches: re.Pattern[str] | None = None
    broadcast: bool | None = None
    redelivered: bool | None = None


@dataclass(frozen=True, slots=True)
class Checks:
    """What must hold for some value: by dotted path, what it equals and what it contains."""

    equals: Mapping[str, Any] = field(default_factory=dict)
    contains: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """Use a tool; its result may be checked and saved."""

    place: str
    tool: str
    arguments: Mapping[str, Any]
    is_error: bool
    expect: Checks
    save: str | None


@dataclass(frozen=True, slots=True)
class WaitFor:
    """Receive until a message matches, for at most ``seconds``."""

    place: str
    match: Match
    seconds: float
    expect: Checks
    save: str | None


@dataclass(frozen=True, slots=True)
class Run:
    """Run a program without a shell, for at most ``seconds``; its output may be checked, saved."""

    place: str
    command: tuple[str, ...]
    seconds: float
    expect: Checks
    save: str | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for a while."""

    place: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Say:
    """Write a text to the transcript."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Fail:
    """End the turn as failed."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class If:
    """Play one list of steps or the other."""

    place: str
    match: Match
    checks: Checks
    then: tuple["Step", ...]
    otherwise: tuple["Step", ...]


Step = Call | WaitFor | Run | Pause | Say | Fail | If


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do about a message that matches; ``once``: only the first time ever."""

    name: str
    match: Match
    once: bool
    steps: tuple[Step, ...]


WAIT_SECONDS: Final = 30.0
_MATCH_KEYS: Final = ("kind", "from", "body_contains", "body_matches", "broadcast", "redelivered")
_KINDS: Final = (TurnKind.WORK.value, TurnKind.CHECKPOINT.value)
_STEP_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "call": ("args", "expect", "save"),
    "wait_for": ("seconds", "expect", "save"),
    "run": ("seconds", "expect", "save"),
    "pause": (),
    "say": (),
    "fail": (),
    "if": ("then", "else"),
}
_SAVED_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")


def load_script(path: Path) -> tuple[Rule, ...]:
    """Read a script; ScriptError says where it is wrong."""
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise ScriptError(f"{path}: {error.strerror}.") from error
    except ValueError as error:
        raise ScriptError(f"{path}: not TOML: {error}.") from error
    try:
        return read_script(data)
    except ScriptError as error:
        raise ScriptError(f"{path}: {error}") from error


def read_script(data: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Read the rules of a script, in order."""
    _only(data, ("rule",), "the script")
    tables = _tables(data, "rule", "the script")
    rules = tuple(_rule(table, number) for number, table in enumerate(tables, 1))
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise ScriptError(f"two rules are named {name!r}. Give each its own name.")
    return rules


def _rule(table: Mapping[str, Any], number: int) -> Rule:
    place = f"rule {number}"
    _only(table, ("name", "on", "once", "step"), place)
    name = _take(table, "name", str, place, default=place)
    if "name" in table:
        place = f"{place} ({name!r})"
    on = _take(table, "on", dict, place, default={})
    _only(on, _MATCH_KEYS, f"{place}, on")
    return Rule(
        name=name,
        match=_match(on, f"{place}, on"),
        once=_take(table, "once", bool, place, default=False),
        steps=_steps(table, "step", place),
    )


def _steps(table: Mapping[str, Any], key: str, place: str) -> tuple[Step, ...]:
    prefix = place if key == "step" else f"{place}, {key}"
    steps = enumerate(_tables(table, key, place), 1)
    return tuple(_step(step, f"{prefix}, step {number}") for number, step in steps)


def _step(table: Mapping[str, Any], place: str) -> Step:
    verbs = [key for key in table if key in _STEP_KEYS]
    if len(verbs) != 1:
        has = f"it has {' and '.join(verbs)}" if verbs else "it has none"
        raise ScriptError(f"{place}: a step does one of {', '.join(_STEP_KEYS)}; {has}.")
    verb = verbs[0]
    _only(table, (verb, *_STEP_KEYS[verb]), place)
    match verb:
        case "call":
            expect = _take(table, "expect", dict, place, default={})
            _only(expect, ("is_error", "equals", "contains"), f"{place}, expect")
            return Call(
                place=place,
                tool=_take(table, "call", str, place),
                arguments=_templates(_take(table, "args", dict, place, default={}), place),
                is_error=_take(expect, "is_error", bool, f"{place}, expect", default=False),
                expect=_checks(expect, f"{place}, expect"),
                save=_saved_name(table, place),
            )
        case "wait_for":
            match = _take(table, "wait_for", dict, place)
            _only(match, _MATCH_KEYS, f"{place}, wait_for")
            expect = _take(table, "expect", dict, place, default={})
            _only(expect, ("equals", "contains"), f"{place}, expect")
            return WaitFor(
                place=place,
                match=_match(match, f"{place}, wait_for"),
                seconds=_seconds(table, "seconds", place, default=WAIT_SECONDS),
                expect=_checks(expect, f"{place}, expect"),
                save=_saved_name(table, place),
            )
        case "run":
            expect = _take(table, "expect", dict, place, default={})
            _only(expect, ("equals", "contains"), f"{place}, expect")
            return Run(
                place=place,
                command=_command(table, place),
                seconds=_seconds(table, "seconds", place, default=WAIT_SECONDS),
                expect=_checks(expect, f"{place}, expect"),
                save=_saved_name(table, place),
            )
        case "pause":
            return Pause(place, _seconds(table, "pause", place))
        case "say":
            return Say(place, _templates(_take(table, "say", str, place), place))
        case "fail":
            return Fail(place, _templates(_take(table, "fail", str, place), place))
        case _:
            condition = _take(table, "if", dict, place)
            _only(condition, (*_MATCH_KEYS, "equals", "contains"), f"{place}, if")
            return If(
                place=place,
                match=_match(condition, f"{place}, if"),
                checks=_checks(condition, f"{place}, if"),
                then=_steps(table, "then", place),
                otherwise=_steps(table, "else", place),
            )


def _command(table: Mapping[str, Any], place: str) -> tuple[str, ...]:
    words = table["run"]
    if not isinstance(words, list) or not words or not all(isinstance(w, str) for w in words):
        raise ScriptError(f"{place}: 'run' is a list of texts, program first, not {words!r:.60}.")
    return tuple(_templates(words, place))


def _match(table: Mapping[str, Any], place: str) -> Match:
    kind = _take(table, "kind", str, place, default=TurnKind.WORK.value)
    if kind not in _KINDS:
        raise ScriptError(f"{place}: 'kind' is one of {', '.join(_KINDS)}, not {kind!r:.60}.")
    pattern = _take(table, "body_matches", str, place, default=None)
    try:
        compiled = None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise ScriptError(f"{place}: body_matches is no regular expression: {error}.") from error
    return Match(
        kind=TurnKind(kind),
        sender=_take(table, "from", str, place, default=None),
        body_contains=_take(table, "body_contains", str, place, default=None),
        body_matches=compiled,
        broadcast=_take(table, "broadcast", bool, place, default=None),
        redelivered=_take(table, "redelivered", bool, place, default=None),
    )


def _checks(table: Mapping[str, Any], place: str) -> Checks:
    return Checks(
        equals=_templates(_take(table, "equals", dict, place, default={}), place),
        contains=_templates(_take(table, "contains", dict, place, default={}), place),
    )


def _only(table: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    for key in table:
        if key not in known:
            raise ScriptError(f"{place}: {key!r} is not known here. Known: {', '.join(known)}.")


_REQUIRED: Final = object()


def _take(
    table: Mapping[str, Any], key: str, kind: type, place: str, default: Any = _REQUIRED
) -> Any:
    if key not in table and default is not _REQUIRED:
        return default
    value = table.get(key)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        words = {str: "a text", bool: "true or false", dict: "a table", list: "a list of tables"}
        raise ScriptError(f"{place}: {key!r} is {words[kind]}, not {value!r:.60}.")
    return value


def _seconds(table: Mapping[str, Any], key: str, place: str, default: float | None = None) -> float:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 3600:
        raise ScriptError(f"{place}: {key!r} is a number of seconds up to 3600, not {value!r:.60}.")
    return float(value)


def _tables(table: Mapping[str, Any], key: str, place: str) -> list[Mapping[str, Any]]:
    values: list[Any] = _take(table, key, list, place, default=[])
    if not all(isinstance(value, dict) for value in values):
        raise ScriptError(f"{place}: {key!r} is a list of tables, not {values!r:.60}.")
    return values


def _saved_name(table: Mapping[str, Any], place: str) -> str | None:
    name: str | None = _take(table, "save", str, place, default=None)
    if name is not None and not _SAVED_NAME.fullmatch(name):
        raise ScriptError(
            f"{place}: 'save' is a name of small letters, digits and _, not {name!r:.60}."
        )
    return name


def _templates(value: Any, place: str) -> Any:
    fault = template_fault(value)
    if fault is not None:
        raise ScriptError(f"{place}: {fault}")
    return value

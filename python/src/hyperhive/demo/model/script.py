"""The format of a model's scripts: TOML in, rules out.

Everything that can be wrong with a script is found here, as a ModelScriptError that names the
place and what belongs there. ``docs/scripted-model.md`` describes the format.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final


class ModelScriptError(Exception):
    """The script cannot be read."""


@dataclass(frozen=True, slots=True)
class Match:
    """What a request must be like; a field that is ``None`` does not matter."""

    request: int | None = None
    model: str | None = None
    prompt_contains: str | None = None
    prompt_matches: re.Pattern[str] | None = None
    system_contains: str | None = None
    offers: str | None = None
    after: str | None = None
    result_contains: str | None = None
    result_is_error: bool | None = None


@dataclass(frozen=True, slots=True)
class Say:
    """A text."""

    text: str


@dataclass(frozen=True, slots=True)
class Think:
    """A thought, shown where the client shows them."""

    text: str


@dataclass(frozen=True, slots=True)
class Use:
    """Use a tool; its arguments are templates."""

    tool: str
    arguments: Mapping[str, Any]


Block = Say | Think | Use


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that an answer reports."""

    input_tokens: int = 100
    output_tokens: int = 20
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """An error: instead of an answer when it has a ``status``, in the midst of one otherwise."""

    kind: str
    message: str
    status: int | None = None
    reset_seconds: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """What to answer to a request that matches."""

    name: str
    match: Match
    times: int | None
    pause_seconds: float
    blocks: tuple[Block, ...]
    stop: str | None
    usage: Usage
    failure: Failure | None
    cut: bool
    hang: bool


SCOPE_NAMES: Final = ("match", "model", "prompt", "request", "result", "results")
"""What a template can speak of."""

_BLOCKS: Final[Mapping[str, tuple[str, ...]]] = {"say": (), "think": (), "use": ("args",)}
_RULE_KEYS: Final = (
    "name", "on", "times", "pause", "answer", "stop", "usage", "refuse", "fail", "cut", "hang",
)  # fmt: skip
_PLACEHOLDER: Final = re.compile(r"\{\{|\}\}|\{([A-Za-z_]\w*)(?:\.\w+)*\}")


def load_script(path: Path) -> tuple[Rule, ...]:
    """Read a script from a file."""
    try:
        return parse_script(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelScriptError(f"{path} cannot be read: {error.strerror}.") from error
    except ModelScriptError as error:
        raise ModelScriptError(f"{path}: {error}") from error


def parse_script(text: str) -> tuple[Rule, ...]:
    """Read a script."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ModelScriptError(f"This is not TOML: {error}.") from error
    table = _Table(data, "the script", ("rule",))
    rules = table.take("rule", list, [])
    return tuple(_rule(rule, f"rule {number}") for number, rule in enumerate(rules, 1))


class _Table:
    """A table of the script whose keys are taken one by one."""

    def __init__(self, data: object, place: str, keys: tuple[str, ...]) -> None:
        if not isinstance(data, Mapping):
            raise ModelScriptError(f"{place} must be a table, not {data!r:.60}.")
        if unknown := next((key for key in data if key not in keys), None):
            raise ModelScriptError(f"{place}: {unknown!r} is not known. Known: {', '.join(keys)}.")
        self._data = data
        self._place = place

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        if key not in self._data:
            return default
        value = self._data[key]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)):
            return value
        names = " or ".join(each.__name__ for each in kinds)
        raise ModelScriptError(f"{self._place}: {key!r} must be {names}, not {value!r:.60}.")

    @property
    def keys(self) -> set[str]:
        return set(self._data)


def _rule(data: object, place: str) -> Rule:
    table = _Table(data, place, _RULE_KEYS)
    name = table.take("name", str, place)
    place = f"{place} ({name})" if name != place else place
    table = _Table(data, place, _RULE_KEYS)
    ends = sorted(table.keys & {"refuse", "fail", "cut", "hang"})
    if len(ends) > 1:
        raise ModelScriptError(f"{place}: {' and '.join(ends)} exclude each other.")
    blocks = tuple(
        _block(block, f"{place}, block {number}")
        for number, block in enumerate(table.take("answer", list, []), 1)
    )
    if not blocks and not ends:
        raise ModelScriptError(
            f"{place} answers nothing. Give it an 'answer', or one of refuse, fail, cut, hang."
        )
    refusal, failing = table.take("refuse", dict), table.take("fail", dict)
    failure = None
    if refusal is not None:
        failure = _refusal(refusal, f"{place}, refuse")
    elif failing is not None:
        failure = _failure(failing, f"{place}, fail")
    return Rule(
        name=name,
        match=_match(table.take("on", dict, {}), f"{place}, on"),
        times=table.take("times", int),
        pause_seconds=float(table.take("pause", (int, float), 0)),
        blocks=blocks,
        stop=table.take("stop", str),
        usage=_usage(table.take("usage", dict, {}), f"{place}, usage"),
        failure=failure,
        cut=table.take("cut", bool, False),
        hang=table.take("hang", bool, False),
    )


def _match(data: object, place: str) -> Match:
    table = _Table(data, place, tuple(Match.__dataclass_fields__))
    pattern = table.take("prompt_matches", str)
    try:
        compiled = re.compile(pattern) if pattern is not None else None
    except re.error as error:
        raise ModelScriptError(f"{place}: 'prompt_matches' is no pattern: {error}.") from error
    return Match(
        request=table.take("request", int),
        model=table.take("model", str),
        prompt_contains=table.take("prompt_contains", str),
        prompt_matches=compiled,
        system_contains=table.take("system_contains", str),
        offers=table.take("offers", str),
        after=table.take("after", str),
        result_contains=table.take("result_contains", str),
        result_is_error=table.take("result_is_error", bool),
    )


def _block(data: object, place: str) -> Block:
    keys = data.keys() if isinstance(data, Mapping) else set()
    kinds = [kind for kind in _BLOCKS if kind in keys]
    if len(kinds) != 1:
        raise ModelScriptError(f"{place} must have exactly one of {', '.join(_BLOCKS)}.")
    kind = kinds[0]
    table = _Table(data, place, (kind, *_BLOCKS[kind]))
    text = table.take(kind, str)
    arguments = table.take("args", dict, {})
    if fault := _template_fault([text, arguments]):
        raise ModelScriptError(f"{place}: {fault}")
    makes: Mapping[str, Callable[[], Block]] = {
        "say": lambda: Say(text),
        "think": lambda: Think(text),
        "use": lambda: Use(text, arguments),
    }
    return makes[kind]()


def _usage(data: object, place: str) -> Usage:
    names = tuple(Usage.__dataclass_fields__)
    table = _Table(data, place, names)
    return Usage(**{name: table.take(name, int) for name in names if name in table.keys})


def _refusal(data: object, place: str) -> Failure:
    table = _Table(data, place, ("status", "kind", "message", "reset_seconds", "headers"))
    status = table.take("status", int)
    if status is None or not 400 <= status <= 599:
        raise ModelScriptError(f"{place}: 'status' must be a number from 400 to 599.")
    headers = table.take("headers", dict, {})
    return Failure(
        kind=table.take("kind", str, "invalid_request_error"),
        message=table.take("message", str, "refused by the script"),
        status=status,
        reset_seconds=table.take("reset_seconds", (int, float)),
        headers={str(name): str(value) for name, value in headers.items()},
    )


def _failure(data: object, place: str) -> Failure:
    table = _Table(data, place, ("kind", "message"))
    return Failure(
        kind=table.take("kind", str, "api_error"),
        message=table.take("message", str, "failed by the script"),
    )


def _template_fault(value: Any) -> str | None:
    match value:
        case str():
            for found in _PLACEHOLDER.finditer(value):
                if (name := found.group(1)) and name not in SCOPE_NAMES:
                    return f"{found.group(0)} is not known. Known: {', '.join(SCOPE_NAMES)}."
        case Mapping():
            return next(filter(None, map(_template_fault, value.values())), None)
        case list():
            return next(filter(None, map(_template_fault, value)), None)
    return None

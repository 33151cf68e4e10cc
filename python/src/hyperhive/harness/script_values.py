"""Templates and dotted paths: how a script speaks of what it does not know beforehand.

``{name}`` or ``{name.key.0}`` stands for a value of the scope; a text that is nothing but one
placeholder becomes the value itself, with its type. ``{{`` and ``}}`` are the braces; any other
brace is left as it is, so that a text can hold JSON.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

MESSAGE_NAMES: Final = (
    "id", "from", "to", "at", "body", "in_reply_to", "broadcast", "attempt", "redelivered", "hint",
)  # fmt: skip
SCOPE_NAMES: Final = (*MESSAGE_NAMES, "agent", "turn", "match", "saved")

_PLACEHOLDER: Final = re.compile(r"\{\{|\}\}|\{([A-Za-z_]\w*(?:\.\w+)*)\}")


class MissingValueError(Exception):
    """There is nothing at that path; the message lists what there is."""


def template_fault(value: Any) -> str | None:
    """Say what is wrong with the placeholders in ``value``, or ``None``."""
    match value:
        case str():
            for found in _PLACEHOLDER.finditer(value):
                path = found.group(1)
                if path and path.partition(".")[0] not in SCOPE_NAMES:
                    return (
                        f"{{{path}}} is not known. Known: {', '.join(SCOPE_NAMES)}; "
                        "write {{ and }} for braces."
                    )
        case Mapping():
            return next(filter(None, map(template_fault, value.values())), None)
        case list():
            return next(filter(None, map(template_fault, value)), None)
    return None


def fill(value: Any, scope: Mapping[str, Any]) -> Any:
    """Return ``value`` with every placeholder replaced; MissingValueError if one has no value."""
    match value:
        case str():
            whole = _PLACEHOLDER.fullmatch(value)
            if whole and whole.group(1):
                return look_up(scope, whole.group(1))
            return _PLACEHOLDER.sub(lambda found: _text(found, scope), value)
        case Mapping():
            return {key: fill(item, scope) for key, item in value.items()}
        case list():
            return [fill(item, scope) for item in value]
        case _:
            return value


def look_up(value: Any, path: str) -> Any:
    """Return what is at a dotted path; a number is a place in a list, from 0."""
    walked: list[str] = []
    for key in path.split("."):
        match value:
            case Mapping() if key in value:
                value = value[key]
            case list() if key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            case _:
                raise MissingValueError(_missing(value, key, ".".join(walked)))
        walked.append(key)
    return value


def contains(value: Any, part: Any) -> bool:
    """Whether a text holds a text, a list an item, or a table a key."""
    match value:
        case str():
            return str(part) in value
        case list() | Mapping():
            return part in value
        case _:
            return False


def _text(found: re.Match[str], scope: Mapping[str, Any]) -> str:
    path = found.group(1)
    return str(look_up(scope, path)) if path else found.group(0)[0]


def _missing(value: Any, key: str, where: str) -> str:
    place = f" in {where!r}" if where else ""
    match value:
        case Mapping():
            has = f"it has {', '.join(map(str, value)) or 'nothing'}"
        case list():
            has = f"it has {len(value)} items"
        case _:
            has = f"it is {value!r:.60}"
    return f"there is no {key!r}{place}; {has}"

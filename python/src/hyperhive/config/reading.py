"""Bytes of a declaration into one plain mapping, with the faults that only the text shows.

JSON and TOML both hide duplicates: one keeps the last silently, the other gives up at the first.
Here every duplicate is a fault and reading goes on with the first table or the last key, so that
the rest of the document is checked in the same run. A document that cannot be read at all is a
``DeclarationError`` of its own, with the line.
"""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from hyperhive.config.faults import DeclarationError, Fault, key_path, kind_of, printable

DEPTH_MAX: Final = 32
"""Levels of nesting; the deepest key of a declaration is on the seventh."""

_TOML_PLACE: Final = re.compile(r" \((?:at line (\d+), column \d+|at end of document)\)$")
_WRITE_ONE: Final = "`hyperhive init` writes a declaration to start from."

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """What stands in a declaration, and what was wrong with its text."""

    data: Mapping[str, object]
    faults: tuple[Fault, ...]


class _Repeating(dict[str, object]):
    """A JSON object that remembers which keys it was given more than once."""

    repeated: tuple[str, ...] = ()


def read(path: Path) -> Document:
    """Read a declaration; ``.json`` is JSON, ``.toml`` TOML, of others the first character tells.

    Raises ``DeclarationError`` when nothing of it can be checked.
    """
    text = _text(path)
    if not text.strip():
        _refuse(path, "The document is empty.", _WRITE_ONE)
    is_json = path.suffix == ".json" or (path.suffix != ".toml" and text.lstrip().startswith("{"))
    try:
        document = read_json(path, text) if is_json else _read_toml(path, text)
    except RecursionError:
        _refuse_depth(path)
    if any(len(place) > DEPTH_MAX for place, _ in _walk(document.data)):
        _refuse_depth(path)
    return document


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        _refuse(path, "There is no such file.", f"Check the path. {_WRITE_ONE}")
    except IsADirectoryError:
        _refuse(path, "This is a directory.", "Give the path of the declaration in it.")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        _refuse(path, f"The file cannot be read: {reason}.", "Check the path and its permissions.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        _refuse(
            path,
            f"Line {line} is not UTF-8 (byte 0x{content[error.start]:02x}).",
            "Save the file as UTF-8.",
        )


def read_json(path: Path, text: str) -> Document:
    """Read a text as JSON; ``path`` only names it where something is wrong."""

    def remember(pairs: list[tuple[str, object]]) -> _Repeating:
        table = _Repeating(pairs)
        counts = Counter(key for key, _ in pairs)
        table.repeated = tuple(key for key, count in counts.items() if count > 1)
        return table

    def no_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not a number in JSON")

    try:
        data: object = json.loads(text, object_pairs_hook=remember, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        _refuse(
            path,
            f"Line {error.lineno}, column {error.colno} is not JSON: {error.msg}.",
            "Correct the line or the one before it.",
        )
    except ValueError as error:
        _refuse(path, f"This is not JSON: {error}.", "Correct the number.")
    if not isinstance(data, dict):
        _refuse(path, f"The document is {kind_of(data)}, not a table.", 'Write {"agents": {…}}.')
    repeated = tuple(
        Fault(
            key_path((*place, key)),
            None,
            f"The key {printable(json.dumps(key))} is there more than once.",
            "Keep one of them, or rename the other.",
        )
        for place, value in _walk(data)
        if isinstance(value, _Repeating)
        for key in value.repeated
    )
    return Document(data, repeated)


def _read_toml(path: Path, text: str) -> Document:
    """Blank out each duplicate as it is met, and read again."""
    lines = text.replace("\r\n", "\n").split("\n")
    faults: list[Fault] = []
    while True:
        try:
            return Document(tomllib.loads("\n".join(lines)), tuple(faults))
        except ValueError as error:
            message = str(error)
        place = _TOML_PLACE.search(message)
        if place is None:
            _refuse(path, f"This is not TOML: {printable(message)}.", "Correct the value.")
        number = int(place[1] or len(lines))
        duplicate = _duplicate(lines, number) if message.startswith("Cannot ") else None
        if duplicate is None:
            if faults:
                raise DeclarationError(faults, path)
            reason = printable(_TOML_PLACE.sub("", message))
            _refuse(path, f"Line {number} is not TOML: {reason}.", "Correct the line.")
        duplicated, end = duplicate
        faults.append(
            Fault(
                key_path(duplicated),
                None,
                f"Line {number} declares this a second time.",
                "Keep one of the two, or rename this one.",
            )
        )
        lines[number - 1 : end] = [""] * (end - number + 1)


def _duplicate(lines: list[str], number: int) -> tuple[Place, int] | None:
    """Say what line ``number`` declares and which line is its last, if it can be told."""
    declared = _keys(lines[number - 1])
    if declared is None:
        return None
    if not _is_header(lines[number - 1]):
        above = next((line for line in reversed(lines[: number - 1]) if _is_header(line)), "")
        return (*(_keys(above) or ()), *declared), number
    end = number
    while end < len(lines) and not (
        _is_header(lines[end]) and (_keys(lines[end]) or ())[: len(declared)] != declared
    ):
        end += 1
    return declared, end


def _is_header(line: str) -> bool:
    return line.lstrip().startswith("[") and _keys(line) is not None


def _keys(line: str) -> Place | None:
    is_header = line.lstrip().startswith("[")
    try:
        value: object = tomllib.loads(line if is_header else f"{line.partition('=')[0]}= 0")
    except ValueError:
        return None
    keys: list[str] = []
    while isinstance(value, dict) and len(value) == 1:
        key, value = next(iter(value.items()))
        keys.append(key)
        if isinstance(value, list):
            value = value[0]
    return tuple(keys) or None


def _walk(root: object) -> Iterator[tuple[Place, object]]:
    """Visit every value with its place, never deeper than one level past ``DEPTH_MAX``."""
    stack: list[tuple[Place, object]] = [((), root)]
    while stack:
        place, value = stack.pop()
        yield place, value
        if len(place) > DEPTH_MAX:
            continue
        if isinstance(value, Mapping):
            stack.extend(((*place, key), inner) for key, inner in value.items())
        elif isinstance(value, list):
            stack.extend(((*place, index), inner) for index, inner in enumerate(value))


def _refuse_depth(path: Path) -> NoReturn:
    _refuse(path, f"The document is nested more than {DEPTH_MAX} deep.", "Remove the nesting.")


def _refuse(path: Path, message: str, remedy: str) -> NoReturn:
    raise DeclarationError([Fault("", None, message, remedy)], path) from None

"""What the streams of agent programs have in common: one JSON object a line, of an open world.

A program of tomorrow writes lines that this version has not met, and one that is killed writes
half a line. Neither ends a turn: what cannot be read is shown as a note that says so.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from hyperhive.domain.turns import TurnEventKind
from hyperhive.harness.drivers.port import Emit
from hyperhive.harness.drivers.processes import Line

LINE_BYTES_MAX: Final = 4 * 1024 * 1024
"""A line holds a whole message or the whole result of a tool; one that is longer is not read."""
SHOWN_MAX: Final = 2000
"""How much of a line that was not understood is shown, in characters."""


def read_object(line: Line) -> dict[str, Any] | None:
    """Return the object in a line, or ``None`` when there is none."""
    if line.is_cut:
        return None
    try:
        value = json.loads(line.text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def show_unread(emit: Emit, line: Line, why: str) -> None:
    """Show a line that was not understood, unless it is blank."""
    if not line.text.strip():
        return
    data: dict[str, Any] = {"text": why, "unread": line.text[:SHOWN_MAX]}
    if line.is_cut or len(line.text) > SHOWN_MAX:
        data["cut"] = True
    emit(TurnEventKind.NOTE, data)


def note(emit: Emit, text: str, **facts: Any) -> None:
    """Add a note; its facts are for programs, its text is for people."""
    emit(TurnEventKind.NOTE, {"text": text, **facts})


def alert(emit: Emit, text: str, **facts: Any) -> None:
    """Add a note about which the operator should be told; ``"alert": true`` marks it."""
    emit(TurnEventKind.NOTE, {"text": text, "alert": True, **facts})


def mapping(value: object) -> Mapping[str, Any]:
    """Return a value that should be an object, as an empty one if it is not."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: object) -> list[Mapping[str, Any]]:
    """Return the objects of a value that should be a list of them."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def text_of(value: object) -> str:
    """Return a value that should be a text, as an empty one if it is not."""
    return value if isinstance(value, str) else ""


def number(value: object) -> int:
    """Return a value that should be a count, as 0 if it is not."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0

"""Pieces of a streamed answer, whatever the language."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_PIECE: Final = 40


@dataclass(frozen=True, slots=True)
class Stream:
    """The events of an answer, in order: what opens it, what it says, what closes it."""

    opening: list[bytes]
    body: list[bytes]
    closing: list[bytes]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in both forms a client can ask for."""

    stream: Stream
    document: Mapping[str, Any]


def event(kind: str, data: Mapping[str, Any]) -> bytes:
    """Write one server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def split(text: str) -> list[str]:
    """Cut a text into the pieces in which it is streamed."""
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]

"""Lines that real agent programs printed, read by a stream of the harness."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from hyperhive.domain.turns import TurnEventKind
from hyperhive.harness.drivers.processes import Line

FIXTURES: Final = Path(__file__).parent.parent / "clients" / "fixtures"


class Reader(Protocol):
    def take(self, line: Line) -> None: ...


@dataclass
class Transcript:
    """Keeps what is emitted."""

    events: list[tuple[TurnEventKind, Mapping[str, Any]]] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    """The conversations that a stream has named."""

    def emit(self, kind: TurnEventKind, data: Mapping[str, Any]) -> None:
        self.events.append((kind, data))

    def of(self, kind: TurnEventKind) -> list[Mapping[str, Any]]:
        return [data for other, data in self.events if other is kind]

    @property
    def notes(self) -> list[str]:
        return [data["text"] for data in self.of(TurnEventKind.NOTE)]


def lines_of(client: str, name: str) -> list[str]:
    """The lines of a fixture."""
    return (FIXTURES / client / f"{name}.jsonl").read_text().splitlines()


def play(stream: Reader, *lines: str | Mapping[str, Any]) -> None:
    """Let a stream read lines, given as text or as what they say."""
    for line in lines:
        stream.take(Line(line if isinstance(line, str) else json.dumps(line), is_cut=False))

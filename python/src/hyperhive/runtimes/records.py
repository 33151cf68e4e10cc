"""The note that a runtime keeps of each box, so that its successor finds the box again.

A note is written before the process is started and completed afterwards, each time whole or not
at all. So a process without a complete note exists only behind an incomplete one, and a server
that is killed at any point leaves nothing that the next one cannot find.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from hyperhive.domain.confinement import PROCESS


@dataclass(frozen=True, slots=True)
class BoxRecord:
    """What a runtime knows of a run of a box.

    ``pid`` is 0 in an incomplete note. ``boot`` is the boot of the machine in which ``pid`` and
    ``kernel_start`` mean something. ``ended_at`` is set once an end was seen, ``because`` if the
    runtime itself ended it. ``harness_pid`` and ``harness_start`` are the box's own first process
    where the one whose end is the box's is another. ``memory_bytes`` is what the box may use.
    """

    name: str
    incarnation: str
    digest: str
    started_at: float
    boot: str
    pid: int = 0
    kernel_start: int = 0
    ended_at: float | None = None
    exit_status: int | None = None
    kind: str = PROCESS
    harness_pid: int = 0
    harness_start: int = 0
    memory_bytes: int | None = None
    because: str | None = None

    @property
    def harness(self) -> tuple[int, int]:
        """The process to ask when the box is to end, and when the kernel started it."""
        if self.harness_pid:
            return self.harness_pid, self.harness_start
        return self.pid, self.kernel_start

    @classmethod
    def from_json(cls, name: str, text: str) -> Self:
        """Read a note; one that cannot be understood is as good as an incomplete one."""
        try:
            found: dict[str, Any] = json.loads(text)
            return cls(**found | {"name": name})
        except (ValueError, TypeError):
            return cls(name, incarnation="unknown", digest="", started_at=0.0, boot="")


class Records:
    """The notes of all boxes, one file each, in a directory that only the server can write to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read_all(self) -> list[BoxRecord]:
        """Read every note there is."""
        names = [path.stem for path in self._directory.glob("*.json")]
        return [record for name in sorted(names) if (record := self.read(name)) is not None]

    def read(self, name: str) -> BoxRecord | None:
        """Read the note of one box, or ``None`` if there is none."""
        try:
            text = self._path(name).read_text(errors="replace")
        except FileNotFoundError:
            return None
        return BoxRecord.from_json(name, text)

    def write(self, record: BoxRecord) -> None:
        """Put a note in the place of the one before."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._directory / f".{record.name}.draft"
        draft.write_text(json.dumps(asdict(record)))
        os.replace(draft, self._path(record.name))  # noqa: PTH105 - the call whose atomicity is meant

    def remove(self, name: str) -> None:
        """Take a note away; none is fine."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.json"

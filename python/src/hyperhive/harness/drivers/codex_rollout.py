"""What Codex writes down of a conversation and does not print: how much of the window it fills.

Its file of a conversation (a *rollout*) is one JSON object a line. Only its end is read; where it
is missing, moved or of another shape, nothing is known and nothing fails.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hyperhive.harness.drivers.cli_lines import mapping, number

END_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Measure:
    """The newest that a rollout says: of the last inference, not of the bill."""

    tokens: int | None = None
    window: int | None = None
    size: int = 0
    """Where the rollout ended, in bytes."""
    was_compacted: bool = False
    """Whether the conversation was compacted in what was read."""


def measure(codex_home: Path, conversation: str, since: int | None = None) -> Measure:
    """Read the end of a conversation's rollout, or what was added to it ``since`` a size."""
    found = sorted((codex_home / "sessions").glob(f"*/*/*/rollout-*-{conversation}.jsonl"))
    try:
        with found[-1].open("rb") as file:
            size = file.seek(0, 2)
            start = max(0, size - END_BYTES) if since is None else since
            file.seek(start)
            lines = file.read(4 * END_BYTES).splitlines()
    except (OSError, IndexError):
        return Measure()
    tokens = window = 0
    was_compacted = False
    for line in lines:
        record = _record(line)
        was_compacted = was_compacted or record.get("type") == "compacted"
        payload = mapping(record.get("payload"))
        if payload.get("type") == "token_count":
            info = mapping(payload.get("info"))
            tokens = number(mapping(info.get("last_token_usage")).get("total_tokens")) or tokens
            window = number(info.get("model_context_window")) or window
    return Measure(tokens or None, window or None, size, was_compacted)


def _record(line: bytes) -> dict[str, Any]:
    # Most lines are long and of no interest here.
    if b'"token_count"' not in line and b'"compacted"' not in line:
        return {}
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}

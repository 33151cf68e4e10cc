"""The difference between two locks of a flake, as somebody reads it who is to say yes."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from difflib import unified_diff
from typing import Any, Final

from hyperhive.domain.configuration import readable
from hyperhive.domain.errors import InvalidError

_REVISION_CHARS: Final = 12


def changes(old: str, new: str) -> Iterator[str]:
    """Say of each input that changes from what to what, one line each.

    Raises `InvalidError` for what is no lock.
    """
    before, after = _nodes(old), _nodes(new)
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield readable(f"{name}: {_locked(before.get(name))} → {_locked(after.get(name))}")


def difference(old: str, new: str) -> str:
    """Show the change of the lock itself, with nothing left out."""
    lines = unified_diff(old.splitlines(), new.splitlines(), "a/flake.lock", "b/flake.lock", "", "")
    return readable("\n".join(line.rstrip("\n") for line in lines) + "\n")


def _nodes(lock: str) -> Mapping[str, Any]:
    if not lock:
        return {}
    try:
        nodes = json.loads(lock)["nodes"]
        return {name: node["locked"] for name, node in nodes.items() if "locked" in node}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InvalidError(
            "The lock of the flake is none.", "Lock it again: nix flake lock."
        ) from None


def _locked(locked: Any) -> str:
    if not isinstance(locked, dict):
        return "nothing" if locked is None else "something else"
    name = locked.get("rev") or locked.get("narHash") or locked.get("path") or "?"
    words = str(name)[:_REVISION_CHARS] if "rev" in locked else str(name)
    at = locked.get("lastModified")
    if not isinstance(at, int) or not 0 <= at < 2**34:
        return words
    return f"{words} of {datetime.fromtimestamp(at, UTC).date().isoformat()}"

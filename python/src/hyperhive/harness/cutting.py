"""Making what a driver says something the server takes: valid JSON of a bounded size."""

from collections.abc import Mapping
from typing import Any, Final

TEXT_BYTES_MAX: Final = 16 * 1024
DEPTH_MAX: Final = 40
"""Deeper than any honest tool result; what lies below is left out."""


def cut_texts(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``data`` as plain JSON with every text of at most 16 KiB.

    ``"cut": true`` says that something was shortened. What JSON cannot hold becomes text.
    """
    was_cut = False

    def shortened(value: Any, depth: int) -> Any:
        nonlocal was_cut
        match value:
            case None | bool() | int() | float():
                return value
            case str():
                text, is_cut = cut_text(value)
                was_cut = was_cut or is_cut
                return text
            case Mapping() | list() | tuple() if depth >= DEPTH_MAX:
                was_cut = True
                return "…"
            case Mapping():
                return {
                    cut_text(str(key))[0]: shortened(item, depth + 1) for key, item in value.items()
                }
            case list() | tuple():
                return [shortened(item, depth + 1) for item in value]
            case _:
                return shortened(repr(value), depth)

    result = {key: shortened(value, 0) for key, value in data.items()}
    return {**result, "cut": True} if was_cut else result


def cut_text(text: str, limit: int = TEXT_BYTES_MAX) -> tuple[str, bool]:
    """Return ``text`` in at most ``limit`` bytes of UTF-8, and whether that took something away.

    Halves of characters, which JSON can name and UTF-8 cannot hold, become question marks.
    """
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded.decode(), False
    return encoded[:limit].decode("utf-8", "ignore"), True

"""What commands print: aligned tables, times, JSON, one-line errors.

Texts that agents wrote reach a terminal only through `printable`: an escape sequence or an
overriding direction mark in a message must not move the operator's cursor or forge a line.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from hyperhive.cli.settings import Settings
    from hyperhive.domain.errors import HiveError

_COLOURS: Final = {
    "ready": "32", "ok": "32", "acked": "32", "busy": "36", "leased": "36", "starting": "36",
    "draining": "33", "stopping": "33", "warn": "33", "backing_off": "33", "rate_limited": "33",
    "warning": "33", "needs_login": "31", "crashed": "31", "dead": "31", "fail": "31",
    "paused": "33", "restarting": "36", "start": "32", "restart": "36", "stop": "33",
    "failed": "31", "timed_out": "31", "died": "31", "error": "31", "critical": "31",
}  # fmt: skip
"""SGR colours of the words that say how something is."""

_BINARY_UNITS: Final = ("KiB", "MiB", "GiB", "TiB")
_BIDI: Final = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_UNPRINTABLE: Final = {
    **dict.fromkeys((*range(32), 127, *range(128, 160), 8232, 8233), "�"),
    **{ord(mark): "\ufffd" for mark in _BIDI},
    **dict.fromkeys(range(55296, 57344), "�"),
}
_UNPRINTABLE_BUT_LINES: Final = {
    code: shown for code, shown in _UNPRINTABLE.items() if code not in (0x0A, 0x09)
}


def print_json(value: Any) -> None:
    """Print a value as indented JSON, in ASCII, so that any terminal and reader takes it."""
    print(json.dumps(value, indent=2))


def print_json_line(value: Any) -> None:
    """Print a value as one line of JSON and hand it on at once."""
    print(json.dumps(value), flush=True)


def print_refusal(error: "HiveError", settings: "Settings", program: str = "hyperhive") -> None:
    """Print an error as one line on standard error, or as one line of JSON."""
    if settings.as_json:
        said = {"code": error.code, "detail": error.detail, "remedy": error.remedy}
        print(json.dumps(said), file=sys.stderr)
    else:
        # Only a declaration's error has lines: one for each of its faults.
        lines = str(error).splitlines() if hasattr(error, "faults") else [str(error)]
        print(f"{program}: " + "\n  ".join(map(printable, lines)), file=sys.stderr)


def printable(text: str) -> str:
    """Give a text as one line that a terminal only shows and never obeys."""
    return " ".join(text.split()).translate(_UNPRINTABLE)


def printable_lines(text: str) -> str:
    """Give a text with its lines, that a terminal only shows and never obeys."""
    return text.translate(_UNPRINTABLE_BUT_LINES)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, cut: bool = True) -> str:
    """Align rows under headings; the last column is cut to a terminal's width."""
    cells = [[printable("" if cell is None else str(cell)) for cell in row] for row in rows]
    widths = [
        max(len(heading), *(len(row[column]) for row in cells), 0)
        for column, heading in enumerate(headings)
    ]
    room = _terminal_columns() if cut else None
    lines = [_line(list(headings), widths, room)]
    lines += [_line(row, widths, room, paint=True) for row in cells]
    return "\n".join(lines)


def painted(word: str) -> str:
    """Colour a word that says how something is, where colours are wanted."""
    colour = _COLOURS.get(word)
    return f"\x1b[{colour}m{word}\x1b[0m" if colour and wants_colour(sys.stdout) else word


def wants_colour(stream: TextIO) -> bool:
    """Tell whether colours belong on ``stream``: a terminal, and NO_COLOR is not set."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def clock(at: float | None) -> str:
    """Show a time (seconds since the epoch) in local time; a day that is not today has a date."""
    if at is None:
        return "-"
    then, now = time.localtime(at), time.localtime()
    is_today = then[:3] == now[:3]
    return time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S", then)


def span(seconds: float) -> str:
    """Show a length of time in its two largest units."""
    left, parts = max(int(seconds), 0), list[str]()
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def size(count: int | None) -> str:
    """Show a number of bytes in the unit that fits."""
    if count is None:
        return "-"
    if count < 1024:
        return f"{count} bytes"
    unit = min((count.bit_length() - 1) // 10, len(_BINARY_UNITS))
    return f"{count / 1024**unit:.1f} {_BINARY_UNITS[unit - 1]}"


def _line(cells: list[str], widths: list[int], room: int | None, *, paint: bool = False) -> str:
    *firsts, last = cells
    before = "".join(cell.ljust(width) + "  " for cell, width in zip(firsts, widths, strict=False))
    if room is not None and len(before) + len(last) > room:
        last = last[: max(room - len(before) - 1, 8)] + "…"
    if paint:
        before = "".join(
            painted(cell) + " " * (width - len(cell) + 2)
            for cell, width in zip(firsts, widths, strict=False)
        )
        last = painted(last)
    return (before + last).rstrip()


def _terminal_columns() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None

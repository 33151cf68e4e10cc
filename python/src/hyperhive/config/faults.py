"""What is wrong with a declaration: every fault at once, each with its place and its cure.

A fault never shows a secret: values below ``environment``, ``credentials``, ``secretFile`` and
``tokenFile`` and those of unknown keys stay out of every message. Texts are escaped, so that
printing a fault cannot send control characters to a terminal.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar, Final

from hyperhive.domain.errors import HiveError

_KINDS: Final[Mapping[type, str]] = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "nothing (null)",
}

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_SECRET_KEYS: Final = frozenset({"credentials", "environment", "secretFile", "tokenFile"})
_SHOWN_CHARACTERS: Final = 80


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to correct.

    ``path`` is the key's, as in ``agents.alice.mayMessage[1]``, or empty when the fault is the
    file's; ``value`` is what stands there, as JSON, or ``None`` when nothing does or when it is
    not to be shown. ``message`` and ``remedy`` are sentences.
    """

    path: str
    value: str | None
    message: str
    remedy: str

    def __str__(self) -> str:
        """Say all of it on one line."""
        place = f"{self.path} = {self.value}" if self.value is not None else self.path
        return f"{place}: {self.message} {self.remedy}".removeprefix(": ").strip()


class DeclarationError(HiveError):
    """A declaration that cannot be used; ``faults`` holds everything to correct, not the first."""

    code: ClassVar[str] = "declaration"
    status: ClassVar[int] = 400

    def __init__(self, faults: Iterable[Fault], source: Path | None = None) -> None:
        self.faults = tuple(faults)
        self.source = source
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        subject = "The declaration" if source is None else printable(str(source))
        super().__init__("\n  ".join((f"{subject} has {count}:", *map(str, self.faults))))


def key_path(parts: Sequence[str | int]) -> str:
    """Write the place ``("agents", "alice", "tools", 1)`` as ``agents.alice.tools[1]``."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            key = part if _BARE_KEY.fullmatch(part) else printable(json.dumps(part))
            path += f".{key}" if path else key
    return path


def fault_at(parts: Sequence[str | int], value: object, message: str, remedy: str) -> Fault:
    """Make the fault of the value at a place, hiding the value where secrets live."""
    shown = None if _SECRET_KEYS.intersection(map(str, parts)) else shown_value(value)
    return Fault(key_path(parts), shown, message, remedy)


def shown_value(value: object) -> str | None:
    """Write a text, number or truth value as short JSON; ``None`` for anything larger."""
    if not isinstance(value, str | int | float):
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 64:
        return "a number of more than 64 bits"
    text = printable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _SHOWN_CHARACTERS else f'{text[: _SHOWN_CHARACTERS - 2]}…"'


def quoted(text: str) -> str:
    """Put a text in quotes for a sentence, shortened and escaped."""
    return shown_value(text) or ""


def printable(text: str) -> str:
    """Escape what a terminal or an encoder would stumble over."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def kind_of(value: object) -> str:
    """Say what kind of value this is, in the words of the reference."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    return _KINDS.get(type(value), "a date or time")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Find the known word that was probably meant, whatever its case, hyphens and underscores."""
    plain = {_plain(candidate): candidate for candidate in known}
    found = get_close_matches(_plain(word), plain, n=1)
    return plain[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str], noun: str) -> str:
    """Write the remedy for an unknown ``word``: the nearest one, else all there are."""
    names = list(known)
    if near := nearest(word, names):
        return f'Did you mean "{near}"?'
    if not names:
        return f"There are no {noun} yet."
    return f"The {noun} are: {', '.join(names)}."


def _plain(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")

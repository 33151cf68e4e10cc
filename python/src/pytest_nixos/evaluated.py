"""What an evaluation found, as values with types.

Everything a machine always has (units, files, users, assertions, warnings) is there at once.
Options and values beyond that are evaluated when they are asked for, once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Assertion:
    """One of ``config.assertions``. A message is only certain to be there if it does not hold."""

    holds: bool
    message: str


@dataclass(frozen=True, slots=True)
class File:
    """A file in ``/etc``: its text, or where it comes from."""

    text: str | None
    source: str | None
    mode: str
    user: str
    group: str


@dataclass(frozen=True, slots=True)
class Option:
    """One option, and what its module says of it; ``default`` is ``None`` if it throws."""

    value: Any
    type: str
    description: str
    defined: bool
    default: Any
    declarations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Documented:
    """What a reference says of one option; ``default`` and ``example`` are Nix text."""

    name: str
    type: str
    description: str
    read_only: bool
    default: str | None
    example: str | None


class Section(Mapping[str, str]):
    """One section of a unit. A key's value is its last line's; ``every`` gives all of them."""

    __slots__ = ("_lines",)

    def __init__(self, lines: Sequence[tuple[str, str]]) -> None:
        self._lines: Final = tuple(lines)

    def every(self, key: str) -> list[str]:
        """Give the value of each line of ``key``, in their order; none if it has no line."""
        return [value for found, value in self._lines if found == key]

    def __getitem__(self, key: str) -> str:
        values = self.every(key)
        if not values:
            raise KeyError(key)
        return values[-1]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._lines))

    def __len__(self) -> int:
        return len(dict(self._lines))

    def __repr__(self) -> str:
        return f"Section({list(self._lines)!r})"


@dataclass(frozen=True, slots=True)
class Unit:
    """A systemd unit: its text, and which units want or require it."""

    name: str
    text: str
    wanted_by: tuple[str, ...]
    required_by: tuple[str, ...]

    def section(self, name: str) -> Section:
        """Give the lines below ``[name]``; an empty section if the unit has none."""
        lines: list[tuple[str, str]] = []
        here = False
        for line in self.text.splitlines():
            if line.startswith("["):
                here = line.strip() == f"[{name}]"
            elif here and "=" in line:
                key, _, value = line.partition("=")
                lines.append((key, value))
        return Section(lines)


class Evaluated:
    """One configuration, evaluated.

    ``has_nixos`` tells whether all of NixOS took part, or only the stubs of the test.
    """

    def __init__(
        self,
        standard: Mapping[str, Any],
        more: Callable[[str, str], Any],
        inside: Callable[[str], "Evaluated"],
        *,
        has_nixos: bool,
    ) -> None:
        self._more: Final = more
        self._inside: Final = inside
        self.has_nixos: Final = has_nixos
        self.assertions: Final = [Assertion(**one) for one in standard["assertions"]]
        self.warnings: Final[list[str]] = list(standard["warnings"])
        self.units: Final = {
            name: Unit(name, one["text"], tuple(one["wantedBy"]), tuple(one["requiredBy"]))
            for name, one in standard["units"].items()
        }
        self.files: Final = {name: File(**one) for name, one in standard["files"].items()}
        self.users: Final[dict[str, dict[str, Any]]] = dict(standard["users"])
        self.groups: Final[dict[str, dict[str, Any]]] = dict(standard["groups"])

    @property
    def failed(self) -> list[str]:
        """The messages of the assertions that do not hold: what stops a switch."""
        return [one.message for one in self.assertions if not one.holds]

    def unit(self, name: str) -> Unit:
        """Give the unit of that full name (``hyperhive.service``); ``KeyError`` names all."""
        if name not in self.units:
            raise KeyError(f"there is no unit {name!r}; there are: {', '.join(sorted(self.units))}")
        return self.units[name]

    def value(self, path: str) -> Any:
        """Give the value of the configuration at ``path``, as JSON has it.

        A name with a dot is quoted (``a."b.c".d``). A derivation is its path, a function the word
        ``<function>``. Raises ``EvaluationFailed`` if there is nothing at ``path``.
        """
        return self._more("value", path)

    def inside(self, path: str) -> "Evaluated":
        """Give the machine that this one holds at ``path``, such as ``containers.NAME.config``."""
        return self._inside(path)

    def option(self, path: str) -> Option:
        """Give the option that is declared at ``path``, seen from the outermost machine."""
        found = self._more("option", path)
        return Option(**{**found, "declarations": tuple(found["declarations"])})

    def documented(self, path: str) -> list[Documented]:
        """Give what a reference shows of every visible option at and below ``path``."""
        return [
            Documented(read_only=one.pop("readOnly"), **one)
            for one in map(dict, self._more("documented", path))
        ]

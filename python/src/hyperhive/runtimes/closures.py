"""What of the host a program needs to be there, when hardly anything of it is.

The system's own directories are in every box. What lies elsewhere is worked out here: the Python
that runs the harness with its environment, and a driver's program with the package it belongs to.
A directory is shown only if it is a program's own; never a home, whatever lies in it.
"""

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

SYSTEM: Final = tuple(map(Path, ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/nix/store")))
"""What every box has, as far as the host has it."""

_HARNESS_PACKAGES: Final = ("hyperhive", "h11")
_PACKAGES_OF_NODE: Final = "node_modules"


@dataclass(frozen=True, slots=True)
class Closure:
    """Paths to show read-only under their own names, links to set, directories to look in."""

    paths: tuple[Path, ...] = ()
    links: tuple[tuple[Path, Path], ...] = ()
    """Each a link's place and its target."""
    search: tuple[Path, ...] = ()

    def __add__(self, other: "Closure") -> "Closure":
        return Closure(
            _outermost(self.paths + other.paths),
            tuple(dict.fromkeys(self.links + other.links)),
            tuple(dict.fromkeys(self.search + other.search)),
        )


def of_interpreter() -> Closure:
    """Give what the Python of this process needs, and the packages of the harness."""
    prefixes = (Path(sys.prefix), Path(sys.base_prefix), Path(sys.base_exec_prefix))
    packages = (_directory_of(package) for package in _HARNESS_PACKAGES)
    executable = Path(sys.executable)
    return Closure(
        _outermost((*prefixes, *packages, executable.resolve())), search=(executable.parent,)
    )


def of_program(program: str, search: str) -> Closure:
    """Give what a driver's program needs; nothing if it cannot be found in ``search``.

    A link is shown as a link. A program out of a directory of Node's packages brings all of that,
    because its packages look for each other there; any other brings its file alone.
    """
    found = shutil.which(program, path=search)
    if found is None:
        return Closure()
    place = Path(os.path.abspath(found))  # noqa: PTH100 - a link must stay one
    real = place.resolve()
    needed = real
    if _PACKAGES_OF_NODE in real.parts:
        needed = Path(*real.parts[: real.parts.index(_PACKAGES_OF_NODE) + 1])
    link = ((place, real),) if place != real and not is_in_system(place) else ()
    link = () if place.is_relative_to(needed) else link
    return Closure(_outermost((needed,)), link, (place.parent,))


def is_in_system(path: Path) -> bool:
    """Whether every box has this path anyway."""
    return any(path.is_relative_to(directory) for directory in SYSTEM)


def _directory_of(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed")
    return Path(spec.origin).parent


def _outermost(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Leave out what is in the system or within another of the paths."""
    wanted = sorted({path for path in paths if not is_in_system(path)})
    kept: list[Path] = []
    for path in wanted:
        if not any(path.is_relative_to(outer) for outer in kept):
            kept.append(path)
    return tuple(kept)

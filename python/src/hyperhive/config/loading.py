"""From a file or a mapping to a ``Hive``, or to every fault at once."""

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from hyperhive.config.checks import relations
from hyperhive.config.faults import DeclarationError, Fault
from hyperhive.config.hive import Hive
from hyperhive.config.reading import read
from hyperhive.config.wording import faults_from


def load(path: Path) -> Hive:
    """Read, check and return the declaration in a JSON or TOML file.

    Relative paths in it start from the file's directory. Nothing else on the disk is looked at, so
    a declaration can be checked on another machine than its own. Raises ``DeclarationError`` with
    all faults, those of an unreadable file included.
    """
    document = read(path)
    return _checked(document.data, path.absolute().parent, document.faults, path)


def parse(data: Mapping[str, object], base: Path) -> Hive:
    """Check a declaration that is already plain data; relative paths in it start from ``base``.

    Raises ``DeclarationError`` with all faults.
    """
    return _checked(data, base.absolute(), (), None)


def starting_point() -> str:
    """The TOML text of a small commented declaration that passes every check."""
    return files("hyperhive.config").joinpath("starting_point.toml").read_text(encoding="utf-8")


def _checked(
    data: Mapping[str, object], base: Path, faults: Iterable[Fault], source: Path | None
) -> Hive:
    plain = {str(key): _plain(value) for key, value in data.items()}
    found = [*faults, *relations(plain, base)]
    try:
        hive = Hive.model_validate(plain, context={"base": base}, by_alias=True, by_name=False)
    except ValidationError as error:
        found += faults_from(error.errors(include_url=False))
    else:
        if not found:
            return hive
    raise DeclarationError(sorted(dict.fromkeys(found), key=lambda fault: fault.path), source)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value

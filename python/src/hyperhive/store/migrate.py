"""Bringing a database to the schema of this version, or refusing to touch it.

An empty file gets the whole schema. An older database is copied aside first, so that a rollback
of the program has something to go back to. A newer one is refused, with the command that
restores the copy which fits.

Alembic is imported only when there is something to do: a start that changes nothing stays fast.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from hyperhive.domain.errors import UnavailableError
from hyperhive.store import engine

MIGRATIONS: Final = Path(__file__).with_name("migrations")
HEAD: Final = "0009"
KNOWN: Final = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009")
"""Every revision of this version, oldest first; a test compares them with the scripts."""


class NewerSchemaError(UnavailableError):
    """The database was written by a later version of the program."""

    def __init__(self, path: Path, revision: str, backup: Path | None) -> None:
        file = backup if backup is not None else "BACKUP"
        super().__init__(
            f"{path} has schema {revision}, which is newer than {HEAD}, the newest this version "
            "knows.",
            f"Run the later version again, or go back with: hyperhive restore {file}",
        )


def revision_of(connection: Connection) -> str | None:
    """Give the schema's revision, or ``None`` for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(found) if found else None


def migrate(
    connection: Connection,
    path: Path,
    backups: Path,
    *,
    head: str = HEAD,
    known: tuple[str, ...] = KNOWN,
    scripts: Path = MIGRATIONS,
) -> Path | None:
    """Bring the database to ``head`` and return the copy made of the older one, if any.

    Raises `NewerSchemaError` when its revision is none of ``known``.
    """
    present = revision_of(connection)
    if present == head:
        return None
    if present is not None and present not in known:
        raise NewerSchemaError(path, present, _newest_that_fits(backups, known))
    kept = None
    if present is not None:
        kept = back_up(connection, backups, f"before-{head}-from-{present}")
    _upgrade(connection, head, scripts)
    return kept


def back_up(connection: Connection, backups: Path, reason: str) -> Path:
    """Copy the database as it is now to ``<time>-<reason>.db``; under that name it is whole."""
    with new_file(backups, reason) as partial:
        engine.copy(connection, partial)
    return partial.with_suffix(".db")


@contextmanager
def new_file(directory: Path, stem: str) -> Iterator[Path]:
    """Claim a file to be filled, which is named ``<time>-<stem>.db`` once the block is left.

    Until then, and for ever if the block fails or the machine stops, no backup has that name.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for number in count(1):
        name = f"{at}-{stem}" if number == 1 else f"{at}-{stem}-{number}"
        partial, whole = directory / f"{name}.partial", directory / f"{name}.db"
        try:
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            continue
        if not whole.exists():
            break
        partial.unlink()
    try:
        yield partial
        partial.rename(whole)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _upgrade(connection: Connection, head: str, scripts: Path) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    engine.begin(connection)
    try:
        command.upgrade(config, head)
        engine.commit(connection)
    except BaseException:
        engine.roll_back(connection)
        raise


def _newest_that_fits(backups: Path, known: tuple[str, ...]) -> Path | None:
    for path in sorted(backups.glob("*.db"), reverse=True):
        if engine.fault_of(path) is not None:
            continue
        connection = engine.Database(path, read_only=True).connect()
        try:
            fits = revision_of(connection) in known
        finally:
            connection.close()
        if fits:
            return path
    return None

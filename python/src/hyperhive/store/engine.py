"""SQLite, and nothing above this file knows that it is.

Opens connections with the settings that durability rests on, and says what the writer needs to
know of a transaction: how to begin one, how to try a part of it, and whether an error has ended
it. A second engine gives the same few answers.
"""

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from sqlalchemy import (
    Connection,
    CursorResult,
    Executable,
    Select,
    Table,
    Update,
    create_engine,
    insert,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from hyperhive.domain.errors import HiveError, UnavailableError

LOCK_WAIT_SECONDS: Final = 30.0
"""How long a write waits for another process that holds the database."""

Statement = TypeVar("Statement", Select[Any], Update)
Values = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
"""What fills the places of a statement; a sequence runs it once for each."""

_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cache_size = -8000",
)


class Database:
    """One database file and the connections to it."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        self._engine = create_engine("sqlite://", creator=self._open, poolclass=NullPool)

    def connect(self) -> Connection:
        """Open a connection; transactions on it are begun and ended by hand."""
        connection = self._engine.connect()
        try:
            for pragma in () if self._read_only else _PRAGMAS:
                connection.exec_driver_sql(pragma)
        except BaseException:
            connection.close()
            raise
        return connection

    def _open(self) -> sqlite3.Connection:
        return _open(self.path, read_only=self._read_only)


class Insertion:
    """An INSERT of some columns, compiled once and given to the driver as it is: the hottest path.

    A row is a mapping that has these columns at least; the others are left empty.
    """

    def __init__(self, table: Table, *columns: str) -> None:
        compiled = insert(table).compile(dialect=sqlite.dialect(), column_keys=columns)
        self._text = str(compiled)
        self._values = itemgetter(*(compiled.positiontup or ()))

    def add(self, connection: Connection, row: Mapping[str, Any]) -> int:
        """Insert a row and return the key that it was given."""
        return int(driver(connection).execute(self._text, self._values(row)).lastrowid or 0)

    def add_all(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert rows that bring their keys."""
        driver(connection).executemany(self._text, map(self._values, rows))


class _Fetched:
    """What a prepared statement came to: as much of a library's result as the hot paths use."""

    def __init__(self, cursor: sqlite3.Cursor, make: Callable[[Iterable[Any]], Any]) -> None:
        self._cursor = cursor
        self._make = make

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def all(self) -> list[Any]:
        return list(map(self._make, self._cursor.fetchall()))

    def first(self) -> Any:
        row = self._one()
        return None if row is None else self._make(row)

    def scalar(self) -> Any:
        row = self._one()
        return None if row is None else row[0]

    def _one(self) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._cursor.fetchone()
        # A question that is not read to its end would stay open within the transaction.
        self._cursor.close()
        return row


class _Prepared:
    """A statement as the driver takes it: its text, the order of its values, the fixed ones."""

    def __init__(self, statement: "Select[Any] | Update") -> None:
        compiled: Any = statement.compile(dialect=sqlite.dialect())
        self._text = str(compiled)
        self._order = tuple(compiled.positiontup or ())
        self._fixed = dict(compiled.params)
        columns = [str(name) for name in statement.exported_columns.keys()]  # noqa: SIM118
        row: Any = namedtuple("Row", columns)  # type: ignore[misc]  # known only when it runs
        self._make = row._make

    def run(self, connection: Connection, values: Mapping[str, Any]) -> _Fetched:
        """Give it to the driver with its values."""
        given = {**self._fixed, **values}
        ordered = [given[name] for name in self._order]
        return _Fetched(driver(connection).execute(self._text, ordered), self._make)


_PREPARED: Final[dict[Executable, _Prepared]] = {}


def prepared(statement: Statement) -> Statement:
    """Have a statement compiled once and given to the driver as it is: the hot ones.

    The library's own way costs several times what SQLite takes for one row. Booleans come back
    as 0 and 1.
    """
    _PREPARED[statement] = _Prepared(statement)
    return statement


def execute(
    connection: Connection, statement: Executable, values: Values = None
) -> CursorResult[Any]:
    """Run one statement, the short way if it is `prepared`."""
    known = _PREPARED.get(statement)
    if known is None:
        return connection.execute(statement, values)
    return cast("CursorResult[Any]", known.run(connection, cast("Mapping[str, Any]", values or {})))


def begin(connection: Connection) -> None:
    """Begin a transaction that will write, waiting for whoever writes now."""
    driver(connection).execute("BEGIN IMMEDIATE")


def commit(connection: Connection) -> None:
    """Make all since `begin` durable: when this returns, it is on disk."""
    driver(connection).execute("COMMIT")


def roll_back(connection: Connection) -> None:
    """Undo all since `begin`, if an error has not done that already."""
    if driver(connection).in_transaction:
        driver(connection).execute("ROLLBACK")


def mark(connection: Connection) -> None:
    """Set the point that `undo` returns to."""
    driver(connection).execute("SAVEPOINT job")


def keep(connection: Connection) -> None:
    """Keep what was done since `mark`."""
    driver(connection).execute("RELEASE job")


def undo(connection: Connection) -> None:
    """Undo what was done since `mark`, and nothing before it."""
    raw = driver(connection)
    raw.execute("ROLLBACK TO job")
    raw.execute("RELEASE job")


def is_open(connection: Connection) -> bool:
    """Whether the transaction still stands.

    A full disk makes SQLite roll the whole of it back and forget its savepoints.
    """
    return driver(connection).in_transaction


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """See one state of the database throughout the block."""
    driver(connection).execute("BEGIN")
    try:
        yield
    finally:
        roll_back(connection)


def understood(error: BaseException) -> BaseException:
    """Turn trouble with the disk, a lock or the file into an error that says what to do."""
    if isinstance(error, HiveError):
        return error
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, sqlite3.Error):
        return error
    reason = str(cause)
    remedies = {
        "full": "Free some space in stateDir; then send it again.",
        "locked": "Another process holds the database: end it, then try again.",
        "readonly": "Make stateDir writable for the user that runs the hive.",
        "disk I/O": "Look at the disk under stateDir and at the kernel's log.",
        "not a database": "Put a backup in its place: hyperhive restore BACKUP.",
        "malformed": "Put a backup in its place: hyperhive restore BACKUP.",
        "unable to open": "See that stateDir is there and belongs to the user that runs the hive.",
    }
    remedy = next((said for sign, said in remedies.items() if sign in reason), None)
    if remedy is None:
        return error
    return UnavailableError(f"The database cannot be used: {reason}.", remedy)


@contextmanager
def explained() -> Iterator[None]:
    """Raise what is `understood` of an error in the block."""
    try:
        yield
    except Exception as error:
        reason = understood(error)
        if reason is error:
            raise
        raise reason from error


def last_used(connection: Connection, table: Table) -> int:
    """Give the highest key that the table has ever given out, deleted rows included."""
    row = (
        driver(connection)
        .execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,))
        .fetchone()
    )
    return int(row[0]) if row else 0


def copy(source: Connection, target: Path) -> None:
    """Copy the database, as it is at one moment, into a new file; others go on meanwhile."""
    copied = sqlite3.connect(target)
    try:
        driver(source).backup(copied)
        # The copy is one file, complete without the log that the original writes ahead.
        copied.execute("PRAGMA journal_mode = DELETE")
    finally:
        copied.close()


def overwrite(target: Connection, source: Path) -> None:
    """Replace the whole content of an open database by that of a file, in one transaction."""
    origin = _open(source, read_only=True)
    try:
        origin.backup(driver(target))
    finally:
        origin.close()


def fault_of(path: Path) -> str | None:
    """Say why a file is not a sound database, or ``None`` when it is."""
    try:
        connection = _open(path, read_only=True)
    except sqlite3.Error as error:
        return str(error)
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return str(error)
    finally:
        connection.close()
    return None if found == "ok" else str(found)


def driver(connection: Connection) -> sqlite3.Connection:
    """Give the driver's own connection, which SQLAlchemy wraps."""
    return cast("sqlite3.Connection", connection.connection.driver_connection)


def _open(path: Path, *, read_only: bool) -> sqlite3.Connection:
    mode = "ro" if read_only else "rwc"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=LOCK_WAIT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    # SQLite's own lower() knows the letters of ASCII only.
    connection.create_function("casefold", 1, str.casefold, deterministic=True)
    return connection

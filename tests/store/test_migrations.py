"""How a database comes to the schema of this version, and when it is left alone."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlmodel import SQLModel

from hyperhive.bus import Bus
from hyperhive.domain.errors import UnavailableError
from hyperhive.store import Store, engine, forge_tables, migrate
from hyperhive.store.store import FILE_NAME, position_of, restore_offline
from tests.builders import ManualClock, a_desk, a_store
from tests.promises import promise

pytestmark = pytest.mark.anyio


@contextmanager
def a_database(path: Path, head: str = migrate.HEAD) -> Iterator[Connection]:
    """Make a database with the schema of ``head``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = engine.Database(path).connect()
    try:
        migrate.migrate(connection, path, path.parent / "backups", head=head)
        yield connection
    finally:
        connection.close()


def schema_of(connection: Connection) -> dict[str, str]:
    """Give every table and index with the words that made it, whatever their spacing."""
    found = engine.driver(connection).execute(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type IN ('table', 'index') "
        "AND name NOT LIKE 'sqlite_%' AND name <> 'alembic_version'"
    )
    return {name: "".join(sql.split()).replace('"', "").lower() for name, sql in found}


def test_the_known_revisions_are_those_of_the_scripts() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    scripts = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]

    assert tuple(reversed(scripts)) == migrate.KNOWN
    assert migrate.KNOWN[-1] == migrate.HEAD


def test_the_migrations_make_what_the_models_declare(tmp_path: Path) -> None:
    with a_database(tmp_path / "migrated.db") as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})

        assert forge_tables.account.metadata is SQLModel.metadata
        assert compare_metadata(context, SQLModel.metadata) == []


def test_the_migrations_make_the_very_indexes_of_the_models(tmp_path: Path) -> None:
    declared = engine.Database(tmp_path / "declared.db").connect()
    SQLModel.metadata.create_all(declared)
    with a_database(tmp_path / "migrated.db") as migrated:
        made, wanted = schema_of(migrated), schema_of(declared)
    declared.close()

    indexes = {name for name in wanted if name.startswith("ix_")}
    assert {name: made.get(name) for name in indexes} == {name: wanted[name] for name in indexes}
    assert made.keys() == wanted.keys()
    assert [
        n for n in wanted if ("autoincrement" in wanted[n]) != ("autoincrement" in made[n])
    ] == []


async def test_an_empty_directory_gets_the_whole_schema_and_no_backup(tmp_path: Path) -> None:
    async with a_store(tmp_path / "new") as store:
        assert len(store.epoch) == 12
    assert not (tmp_path / "new" / "backups").exists()


async def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        epoch = store.epoch
    async with a_store(tmp_path) as store:
        assert store.epoch == epoch
    assert not (tmp_path / "backups").exists()


@promise("S4")
@pytest.mark.parametrize("older", migrate.KNOWN[:-1])
async def test_an_older_database_keeps_its_rows_and_is_copied_aside_first(
    tmp_path: Path, older: str
) -> None:
    with a_database(tmp_path / FILE_NAME, head=older) as connection:
        raw = engine.driver(connection)
        raw.execute(
            "INSERT INTO message (sender, recipient, body, at, broadcast, state, attempts, "
            "redelivered, not_before, confirmed) VALUES "
            "('queen', 'alice', 'old', 1.5, 0, 'queued', 2, 1, 0, 0)"
        )
        raw.execute(
            "INSERT INTO event (seq, at, kind, actor, data_json) VALUES (7, 1.5, 'x', 'q', '{}')"
        )

    async with a_desk(tmp_path) as desk:
        (received,) = await desk.recv("alice")
        assert (received["id"], received["body"], received["attempt"]) == (1, "old", 3)
        assert desk.store.bus.seq > 7

    (copy,) = (tmp_path / "backups").iterdir()
    assert copy.name.endswith(f"before-{migrate.HEAD}-from-{older}.db")
    with closing(sqlite3.connect(copy)) as kept:
        assert kept.execute("SELECT version_num FROM alembic_version").fetchone() == (older,)
        assert kept.execute("SELECT body FROM message").fetchone() == ("old",)
    assert position_of(copy) == 7


def test_a_migration_that_fails_leaves_the_older_database_as_it_was(tmp_path: Path) -> None:
    scripts = tmp_path / "scripts"
    (scripts / "versions").mkdir(parents=True)
    (scripts / "env.py").write_text((migrate.MIGRATIONS / "env.py").read_text())
    for script in (migrate.MIGRATIONS / "versions").glob("0*.py"):
        (scripts / "versions" / script.name).write_text(script.read_text())
    (scripts / "versions" / "9999_broken.py").write_text(
        f"from alembic import op\nrevision = '9999'\ndown_revision = '{migrate.HEAD}'\n"
        "def upgrade():\n    op.execute('CREATE TABLE half (x)')\n"
        "    op.execute('INSERT INTO nowhere VALUES (1)')\n"
    )
    path = tmp_path / "hive" / FILE_NAME
    with a_database(path) as connection:
        before = schema_of(connection)

        with pytest.raises(Exception, match="nowhere"):
            migrate.migrate(
                connection,
                path,
                path.parent / "backups",
                head="9999",
                known=(*migrate.KNOWN, "9999"),
                scripts=scripts,
            )

        assert migrate.revision_of(connection) == migrate.HEAD
        assert schema_of(connection) == before


def of_a_later_version(directory: Path, copy: Path) -> None:
    """Make a database that a later version has migrated, after copying it to ``copy``."""
    with a_database(directory / FILE_NAME) as connection:
        copy.parent.mkdir(exist_ok=True)
        engine.copy(connection, copy)
        engine.driver(connection).execute("UPDATE alembic_version SET version_num = '9999'")


@promise("S4")
async def test_a_newer_database_is_refused_with_the_command_that_restores_its_backup(
    tmp_path: Path,
) -> None:
    fits = tmp_path / "backups" / "20260102T000000Z-before-9999.db"
    of_a_later_version(tmp_path, fits)
    # None of these fits: another later one, a broken one, one that was never finished.
    with closing(sqlite3.connect(fits.with_name("20260103T000000Z-asked.db"))) as later:
        later.execute("CREATE TABLE alembic_version (version_num)")
        later.execute("INSERT INTO alembic_version VALUES ('9999')")
        later.commit()
    fits.with_name("20260104T000000Z-broken.db").write_bytes(b"no database at all" * 100)
    fits.with_name("20260105T000000Z-asked.partial").touch()
    fits.with_name("20260101T000000Z-asked.db").write_bytes(fits.read_bytes())

    with pytest.raises(migrate.NewerSchemaError) as refused:
        await Store.open(tmp_path, Bus(), clock=ManualClock())

    assert "9999" in refused.value.detail
    assert refused.value.remedy.endswith(f"hyperhive restore {fits}")
    restore_offline(tmp_path, fits)
    async with a_store(tmp_path):
        pass


async def test_a_newer_database_without_a_backup_names_the_command_all_the_same(
    tmp_path: Path,
) -> None:
    of_a_later_version(tmp_path, tmp_path / "elsewhere" / "copy.db")

    with pytest.raises(migrate.NewerSchemaError, match="hyperhive restore BACKUP"):
        await Store.open(tmp_path, Bus(), clock=ManualClock())


async def test_a_file_that_is_no_database_is_refused_with_a_way_on(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"once upon a time" * 1000)

    with pytest.raises(UnavailableError, match="hyperhive restore"):
        await Store.open(tmp_path, Bus(), clock=ManualClock())

"""The embedded forge after its database was put back to what it was: at once, or at a start."""

import shutil
from pathlib import Path

import pytest

from hyperhive.domain.forge import NewPull, RepositoryShape
from hyperhive.forge.embedded.server import ORPHANS_ALERT
from hyperhive.store import Store, alerts
from tests.contract.forges import Bench, an_embedded_forge
from tests.promises import promise

pytestmark = pytest.mark.anyio


def store_of(bench: Bench) -> Store:
    """Give the database that the forge is kept in."""
    assert bench.forge is not None
    return bench.forge._store


async def alert_of(bench: Bench) -> str | None:
    """Give what the operator is told of orphans."""
    return await store_of(bench).read(lambda read: alerts.text_of(read, ORPHANS_ALERT))


def put_back(saved: Path, home: Path) -> None:
    """Start the next forge from a backup of the database."""
    for file in (home / "state").glob("hive.db*"):
        file.unlink()
    shutil.copy(saved, home / "state" / "hive.db")


@promise("F8")
async def test_a_repository_made_after_a_restore_holds_nothing_of_another(tmp_path: Path) -> None:
    async with an_embedded_forge(tmp_path) as bench:
        alice, bob = await bench.person("alice"), await bench.person("bob")
        hers, his = await bench.org(alice, name="hers"), await bench.org(bob, name="his")
        saved = await store_of(bench).backup()
        await bench.repository(hers, "secret")

        await store_of(bench).restore(saved)
        made = await bob.client.create_repository(his, RepositoryShape("mine"))

        assert made.empty
        assert "refs/" not in await bob.git("ls-remote", bob.git.address(made.clone_url))


async def test_the_hives_own_token_outlives_a_restore(tmp_path: Path) -> None:
    async with an_embedded_forge(tmp_path) as bench:
        saved = await store_of(bench).backup()
    async with an_embedded_forge(tmp_path) as bench:
        await store_of(bench).restore(saved)
        assert (await bench.admin.me()).is_admin


@promise("F8")
async def test_a_start_from_an_older_database_keeps_what_was_made_since(tmp_path: Path) -> None:
    async with an_embedded_forge(tmp_path) as bench:
        org = await bench.org()
        older = await store_of(bench).backup()
        await bench.repository(org, "work")
        newer = await store_of(bench).backup()
        assert await alert_of(bench) is None

    put_back(older, tmp_path)
    async with an_embedded_forge(tmp_path) as bench:
        [orphan] = (tmp_path / "state" / "forge" / "orphans").iterdir()
        assert (orphan / "description").read_text() == f"{org}/work\n"
        assert orphan.name in (await alert_of(bench) or "")

    put_back(newer, tmp_path)
    async with an_embedded_forge(tmp_path) as bench:
        found = await bench.admin.repository(org, "work")
        assert found is not None
        assert not found.empty
        assert await alert_of(bench) is None


async def test_a_restore_takes_back_what_an_older_database_had_lost(tmp_path: Path) -> None:
    async with an_embedded_forge(tmp_path) as bench:
        org = await bench.org()
        older = await store_of(bench).backup()
        await bench.repository(org, "work")
        newer = await store_of(bench).backup()

    put_back(older, tmp_path)
    async with an_embedded_forge(tmp_path) as bench:
        await store_of(bench).restore(newer)
        found = await bench.admin.repository(org, "work")
        assert found is not None
        assert not found.empty


async def test_what_a_crash_left_of_a_deletion_is_no_orphan(tmp_path: Path) -> None:
    async with an_embedded_forge(tmp_path) as bench:
        org = await bench.org()
        await bench.repository(org)
        [place] = (tmp_path / "state" / "forge").glob("*.git")
        shutil.copytree(place, tmp_path / "kept")
        await bench.admin.delete_repository(org, "app")
        shutil.move(tmp_path / "kept", place)
        (place / "hive-deleted").touch()
        (place.parent / "new-half-made").mkdir()
    async with an_embedded_forge(tmp_path) as bench:
        assert [each.name for each in place.parent.iterdir()] == ["orphans"]
        assert await alert_of(bench) is None


async def test_a_database_that_still_has_a_deleted_repository_starts(tmp_path: Path) -> None:
    async with an_embedded_forge(tmp_path) as bench:
        alice = await bench.person("alice")
        org = await bench.org(alice)
        work = await alice.git.clone(await bench.repository(org))
        await alice.git.commit(work, "file", "1", "more")
        await alice.git("push", "-q", "origin", "more", cwd=work)
        await alice.client.open_pull(org, "app", NewPull("more", "main", "more"))
        saved = await store_of(bench).backup()
        await bench.admin.delete_repository(org, "app")

    put_back(saved, tmp_path)
    async with an_embedded_forge(tmp_path) as bench:
        found = await bench.admin.repository(org, "app")
        assert found is not None
        assert found.empty

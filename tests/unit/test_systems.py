"""Systems of spawned agents: built from a commit, kept by its files, and right for the flake."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.errors import InvalidError, UnavailableError
from hyperhive.domain.paths import HivePaths
from hyperhive.git.repositories import GitRepositories
from hyperhive.nix.systems import NixSystems, NoSystems
from hyperhive.services.building import Building
from hyperhive.store import alerts
from tests import nixes, proposals
from tests.promises import promise
from tests.spawning import QUEEN, Bench, a_bench

pytestmark = pytest.mark.anyio

SEEDED = {"agent.json": "{}"}
WITH_HELLO = "{ pkgs, ... }: { environment.systemPackages = [ pkgs.hello ]; }"
BROKEN = "{ pkgs, ... }: { environment.systemPackages = [ pkgs.nonsense ]; }"


@dataclass(slots=True)
class Host:
    """A host with a flake and a Nix, and carol's repositories."""

    paths: HivePaths
    kept: GitRepositories
    systems: NixSystems
    store: Path
    rendered: Path
    first: str

    async def commit(self, agent_nix: str) -> str:
        """Propose a configuration, and have it pinned."""
        made = proposals.commit(self.paths.config("carol"), agent_nix=agent_nix)
        return await self.kept.pin("carol", made)

    def said(self) -> list[str]:
        """Give how Nix was called, a line each."""
        return (self.store / "said").read_text().splitlines()

    def render(self, text: str) -> None:
        """Let the host render another flake, as a switch does."""
        number = len(list(self.rendered.parent.glob("flake-*")))
        place = self.rendered.parent / f"flake-{number}"
        (place / "module").mkdir(parents=True)
        (place / "flake.nix").write_text(text)
        (place / "module" / "guest.nix").write_text("{ }")
        self.rendered.unlink(missing_ok=True)
        self.rendered.symlink_to(place)


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    store = tmp_path / "store"
    store.mkdir()
    nixes.install(tmp_path / "programs", str(store))
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}", prepend=":")
    paths = HivePaths(tmp_path / "state", tmp_path / "run")
    paths.state_dir.mkdir()
    kept = GitRepositories(paths)
    first = await kept.seed("carol", SEEDED, subject="Spawn carol", manager="queen")
    rendered = tmp_path / "rendered"
    found = Host(paths, kept, NixSystems(paths, kept, lambda: rendered), store, rendered, first)
    found.render("{ }")
    found.systems.take_flake()
    return found


@promise("N11")
async def test_a_system_is_built_of_the_flake_a_name_and_the_files_of_a_commit(host: Host) -> None:
    made = nixes.system(host.store, "carol")

    await host.systems.build("carol", host.first)

    assert host.systems.built("carol", host.first) == str(made)
    locked, built = host.said()
    assert "pure-eval true" in built
    assert "allow-import-from-derivation false" in built
    assert "--no-update-lock-file" in built
    assert " flake lock path:" in locked
    assert list(host.paths.state_dir.glob(".build-*")) == []


async def test_what_is_locked_at_the_first_build_stays(host: Host) -> None:
    nixes.system(host.store, "carol")

    await host.systems.build("carol", host.first)

    assert (host.paths.flake / "flake.lock").read_text() == '{"nodes": {}, "version": 7}'
    assert host.systems.is_current("carol", host.first)


async def test_what_is_built_is_not_built_again(host: Host) -> None:
    nixes.system(host.store, "carol")
    await host.systems.build("carol", host.first)
    before = host.said()

    await host.systems.build("carol", host.first)
    again = await host.kept.deploy("carol", host.first, None, "the same files")
    await host.systems.build("carol", again)

    assert host.said() == before
    assert host.systems.built("carol", again) == host.systems.built("carol", host.first)


async def test_two_that_ask_at_once_have_it_built_once(host: Host) -> None:
    nixes.system(host.store, "carol")

    await asyncio.gather(*(host.systems.build("carol", host.first) for _ in range(3)))

    assert len(host.said()) == 2


async def test_a_commit_that_cannot_be_built_is_refused_with_nixs_words(host: Host) -> None:
    nixes.system(host.store, "carol")
    await host.systems.build("carol", host.first)
    broken = await host.commit(BROKEN)

    with pytest.raises(InvalidError, match="attribute 'nonsense' missing"):
        await host.systems.build("carol", broken)

    assert host.systems.built("carol", broken) == ""
    assert host.systems.built("carol", host.first) != ""


async def test_after_a_switch_the_system_of_before_is_right_until_the_new_one_is_built(
    host: Host,
) -> None:
    before = nixes.system(host.store, "carol")
    await host.systems.build("carol", host.first)

    host.render("{ another = true; }")
    host.systems.take_flake()
    assert not host.systems.is_current("carol", host.first)
    assert host.systems.built("carol", host.first) == str(before)

    before.rename(host.store / "gone")
    after = nixes.system(host.store, "carol", number=1)
    await host.systems.build("carol", host.first)
    assert host.systems.built("carol", host.first) == str(after)
    assert host.systems.is_current("carol", host.first)


async def test_a_lock_that_waits_for_its_place_changes_nothing_before(host: Host) -> None:
    before = nixes.system(host.store, "carol")
    await host.systems.build("carol", host.first)
    newer = '{"nodes": {}, "version": 7, "newer": true}'

    before.rename(host.store / "gone")
    after = nixes.system(host.store, "carol", number=1)
    await host.systems.build("carol", host.first, lock=newer)
    assert host.systems.built("carol", host.first) == str(before)

    (host.paths.flake / "flake.lock").write_text(newer)
    assert host.systems.built("carol", host.first) == str(after)


async def test_what_a_collection_of_garbage_took_is_built_again(host: Host) -> None:
    made = nixes.system(host.store, "carol")
    await host.systems.build("carol", host.first)
    made.rmdir()
    assert not host.systems.is_current("carol", host.first)

    nixes.system(host.store, "carol", number=1)
    await host.systems.build("carol", host.first)

    assert host.systems.is_current("carol", host.first)


async def test_systems_of_flakes_long_past_are_let_go(host: Host) -> None:
    nixes.system(host.store, "carol")
    for number in range(5):
        host.render(f"{{ number = {number}; }}")
        host.systems.take_flake()
        await host.systems.build("carol", host.first)

    links = [each for each in (host.paths.systems / "carol").iterdir() if each.is_symlink()]
    assert len(links) == 3


async def test_a_host_without_a_flake_builds_nothing_and_says_why(host: Host) -> None:
    host.rendered.unlink()

    with pytest.raises(UnavailableError, match="renders no flake"):
        await host.systems.build("carol", host.first)


async def test_the_files_of_a_commit_are_given_as_they_are(host: Host) -> None:
    repository = host.paths.config("carol")
    (repository / "data").mkdir()
    (repository / "data" / "bytes").write_bytes(bytes(range(256)))
    text = "* text eol=crlf ident export-ignore\n"
    made = await host.kept.pin("carol", proposals.commit(repository, _gitattributes=text))

    files = await host.kept.files("carol", made)

    assert files["data/bytes"] == bytes(range(256))
    assert files["agent.json"] == b"{}"


@pytest.fixture
async def bench(host: Host, tmp_path: Path) -> AsyncIterator[Bench]:
    """A desk over the same host's Nix, with directories of its own."""
    place = tmp_path / "desk"
    place.mkdir()
    paths = HivePaths(place, place / "run")
    systems = NixSystems(paths, GitRepositories(paths), lambda: host.rendered)
    systems.take_flake()
    async with a_bench(place, systems=systems) as found:
        yield found


def built(bench: Bench) -> str:
    """Give the system that carol is to run."""
    paths = HivePaths(bench.directory, bench.directory / "run")
    systems = NixSystems(paths, bench.kept, lambda: None)
    return systems.built("carol", bench.desk.agents.revisions["carol"])


async def test_a_new_agent_is_there_only_when_its_system_is(bench: Bench, host: Host) -> None:
    failed = await bench.spawn()
    assert failed["state"] == "failed"
    assert "The system cannot be built" in failed["error"]
    assert not (bench.directory / "applied" / "carol").exists()

    made = nixes.system(host.store, "carol")
    assert (await bench.spawn())["state"] == "done"
    assert built(bench) == str(made)


async def test_a_change_that_cannot_be_built_leaves_what_runs(bench: Bench, host: Host) -> None:
    made = nixes.system(host.store, "carol")
    await bench.spawn()
    asked = await bench.deploying.request(QUEEN, "carol", await bench.propose(nix=BROKEN))

    failed = await bench.approve(asked["id"])

    assert failed["state"] == "failed"
    assert "attribute 'nonsense' missing" in failed["error"]
    assert built(bench) == str(made)
    assert f"failed/{asked['id']}" in await bench.kept.tags("carol")


async def test_a_change_is_the_system_of_its_commit(bench: Bench, host: Host) -> None:
    nixes.system(host.store, "carol")
    made = nixes.system(host.store, "carol", "hello")
    await bench.spawn()
    asked = await bench.deploying.request(QUEEN, "carol", await bench.propose(nix=WITH_HELLO))

    done = await bench.approve(asked["id"])

    assert done["state"] == "done", done
    assert built(bench) == str(made)


@promise("N1")
async def test_where_no_system_can_be_built_no_agent_is_asked_for(bench: Bench, host: Host) -> None:
    host.rendered.unlink()

    with pytest.raises(UnavailableError, match=r"renders no flake.*spawned\.enable"):
        await bench.spawning.request(QUEEN, "carol", "sings")


async def test_what_is_purged_leaves_no_system(bench: Bench, host: Host) -> None:
    nixes.system(host.store, "carol")
    await bench.spawn()
    assert (bench.directory / "systems" / "carol").is_dir()

    await bench.spawning.destroy(THE_OPERATOR, "carol", via="test")
    await bench.spawning.forget("carol")

    assert not (bench.directory / "systems" / "carol").exists()


async def test_a_switch_has_every_system_built_anew_and_says_which_cannot_be(
    bench: Bench, host: Host
) -> None:
    made = nixes.system(host.store, "carol")
    await bench.spawn()
    systems = bench.spawning._systems
    assert isinstance(systems, NixSystems)
    building = Building(bench.desk.store, bench.desk.agents, systems)
    host.render("{ another = true; }")
    systems.take_flake()

    made.rename(host.store / "gone")
    await building.look()
    calls = len(host.said())
    await building.look()
    assert len(host.said()) == calls
    assert "carol goes on with the system that it has" in await alert(bench)

    after = nixes.system(host.store, "carol", number=1)
    building.try_again()
    await building.look()
    assert built(bench) == str(after)
    assert await alert(bench) == ""


async def alert(bench: Bench) -> str:
    """Give what the alert about carol's system says; empty where there is none."""
    found = await bench.desk.store.read(lambda asking: alerts.text_of(asking, "system:carol"))
    return found or ""


async def test_a_hive_without_guests_builds_nothing() -> None:
    systems = NoSystems()
    await systems.build("carol", "1234")

    assert (systems.fault(), systems.built("carol", "1234")) == (None, "")
    assert systems.is_current("carol", "1234")

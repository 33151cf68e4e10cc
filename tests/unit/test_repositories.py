"""Configurations in git: what the manager proposes, and how little its repository can do."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

from hyperhive.domain.configuration import Tag
from hyperhive.domain.errors import ConflictError, HiveError, InvalidError, NotFoundError
from hyperhive.domain.paths import HivePaths
from hyperhive.git import copying
from hyperhive.git.repositories import GitRepositories
from tests import proposals
from tests.promises import promise
from tests.proposals import commit

pytestmark = pytest.mark.anyio

FIRST = {"agent.json": json.dumps({"description": "sings"}), "README.md": "carol\n"}


class Shelf:
    """carol's two repositories, seeded."""

    def __init__(self, directory: Path) -> None:
        self.paths = HivePaths(directory / "state", directory / "run")
        self.paths.state_dir.mkdir()
        self.kept = GitRepositories(self.paths)
        self.proposed = self.paths.config("carol")
        self.applied = self.paths.applied_of("carol")
        self.seeded = ""

    async def seed(self) -> "Shelf":
        """Make both."""
        self.seeded = await self.kept.seed("carol", FIRST, subject="Spawn carol", manager="queen")
        return self


@pytest.fixture
async def shelf(tmp_path: Path) -> Shelf:
    return await Shelf(tmp_path).seed()


async def test_a_seeded_agent_has_a_clone_to_propose_in_and_the_same_commit_deployed(
    shelf: Shelf,
) -> None:
    assert await shelf.kept.main("carol") == shelf.seeded
    assert proposals.git(shelf.proposed, "rev-parse", "HEAD") == shelf.seeded
    assert (shelf.proposed / "agent.json").read_text() == FIRST["agent.json"]
    assert (shelf.paths.agents / "carol" / "config" / "README.md").read_text() == "carol\n"
    assert not list(shelf.paths.state_dir.glob(".repository-*"))


@promise("N4")
async def test_a_pinned_commit_stays_whatever_becomes_of_the_proposed_repository(
    shelf: Shelf,
) -> None:
    new = commit(shelf.proposed, agent_json='{"description": "hums"}')

    assert await shelf.kept.pin("carol", new[:7]) == new
    shutil.rmtree(shelf.proposed)

    assert await shelf.kept.read("carol", new, "agent.json") == '{"description": "hums"}'
    assert await shelf.kept.main("carol") == shelf.seeded


async def test_packed_objects_are_taken_over_as_well(shelf: Shelf) -> None:
    new = commit(shelf.proposed, agent_json="{}")
    proposals.git(shelf.proposed, "gc", "--quiet")

    assert await shelf.kept.pin("carol", new) == new


@pytest.mark.parametrize("name", ["HEAD", "main", "", "-h", "abc", "abcd..ef01", "@{-1}", "g" * 7])
async def test_only_a_hash_names_a_commit(shelf: Shelf, name: str) -> None:
    with pytest.raises(InvalidError, match="hash"):
        await shelf.kept.pin("carol", name)


async def test_a_commit_that_is_not_there_is_said_to_be_missing(shelf: Shelf) -> None:
    with pytest.raises(NotFoundError, match="commit"):
        await shelf.kept.pin("carol", "0123456789")


async def test_a_beginning_that_fits_several_commits_is_refused(shelf: Shelf) -> None:
    tree = proposals.git(shelf.proposed, "rev-parse", "HEAD^{tree}")
    known: dict[str, str] = {}
    for number in range(5000):
        text = f"tree {tree}\nauthor q <q> {number} +0000\ncommitter q <q> 0 +0000\n\nq\n"
        whole = f"commit {len(text)}\0{text}".encode()
        begins = hashlib.sha1(whole, usedforsecurity=False).hexdigest()[:4]
        if begins in known:
            break
        known[begins] = text
    for each in (known[begins], text):
        proposals.git(shelf.proposed, "hash-object", "-t", "commit", "-w", "--stdin", stdin=each)

    with pytest.raises(InvalidError, match="more digits"):
        await shelf.kept.pin("carol", begins)


@promise("N5")
async def test_no_trap_in_a_proposed_repository_is_sprung(shelf: Shelf, tmp_path: Path) -> None:
    new = commit(
        shelf.proposed,
        agent_json='{"description": "hums"}',
        _gitattributes="* filter=trap diff=trap merge=trap\n*.json -diff\n",
    )
    marker = tmp_path / "marker"
    proposals.trapped(shelf.proposed, marker)

    pinned = await shelf.kept.pin("carol", new)
    shown = await shelf.kept.diff("carol", shelf.seeded, pinned)
    await shelf.kept.deploy("carol", pinned, 1, "deployed")

    assert not marker.exists()
    with contextlib.suppress(subprocess.CalledProcessError):
        proposals.git(shelf.proposed, "--work-tree=.", "status")
    assert marker.exists(), "the traps are not set"
    assert '+{"description": "hums"}' in shown
    assert "trap" not in (shelf.applied / "config").read_text()


@promise("N5")
async def test_objects_of_other_repositories_are_not_reached_by_alternates(
    shelf: Shelf, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    proposals.git(secret, "init", "--quiet")
    hidden = commit(secret, agent_json='{"description": "a secret"}')
    info = shelf.proposed / ".git" / "objects" / "info"
    info.mkdir(exist_ok=True)
    (info / "alternates").write_text(f"{secret}/.git/objects\n")

    with pytest.raises(NotFoundError):
        await shelf.kept.pin("carol", hidden)


@promise("N5")
@pytest.mark.parametrize("part", ["", ".git", ".git/objects", ".git/objects/pack"])
async def test_a_link_in_place_of_a_directory_is_not_followed(
    shelf: Shelf, tmp_path: Path, part: str
) -> None:
    new = commit(shelf.proposed, agent_json="{}")
    place, elsewhere = shelf.proposed / part, tmp_path / "elsewhere"
    place.rename(elsewhere)
    place.symlink_to(elsewhere)

    with pytest.raises(InvalidError, match="without links"):
        await shelf.kept.pin("carol", new)


@promise("N5")
async def test_an_object_that_is_a_link_or_a_pipe_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    new = commit(shelf.proposed, agent_json="{}")
    place = shelf.proposed / ".git" / "objects" / new[:2] / new[2:]
    elsewhere = tmp_path / "object"
    place.rename(elsewhere)
    for kind in ("link", "pipe"):
        if kind == "link":
            place.symlink_to(elsewhere)
        else:
            os.mkfifo(place)
        with pytest.raises(InvalidError, match="no plain file"):
            await shelf.kept.pin("carol", new)
        place.unlink()


@promise("N5")
async def test_links_and_submodules_in_a_commit_are_refused_by_name(shelf: Shelf) -> None:
    (shelf.proposed / "way-out").symlink_to("/etc/passwd")
    proposals.git(
        shelf.proposed, "update-index", "--add", "--cacheinfo", f"160000,{shelf.seeded},module"
    )
    proposals.git(shelf.proposed, "add", "way-out")
    proposals.git(shelf.proposed, "commit", "--quiet", "--message", "traps")
    new = proposals.git(shelf.proposed, "rev-parse", "HEAD")

    with pytest.raises(InvalidError) as refused:
        await shelf.kept.pin("carol", new)

    assert "'way-out' is a symbolic link" in str(refused.value)
    assert "'module' is a submodule" in str(refused.value)


async def test_a_commit_without_an_agent_json_is_refused(shelf: Shelf) -> None:
    (shelf.proposed / "agent.json").unlink()
    new = commit(shelf.proposed)
    with pytest.raises(InvalidError, match=r"no agent\.json"):
        await shelf.kept.pin("carol", new)


async def test_a_large_file_is_refused_with_its_size(shelf: Shelf) -> None:
    new = commit(shelf.proposed, big_bin="0" * 200_000)
    with pytest.raises(InvalidError, match=r"'big\.bin' has 200000 bytes"):
        await shelf.kept.pin("carol", new)


@promise("N5")
async def test_a_repository_over_its_size_is_refused_and_leaves_nothing(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = commit(shelf.proposed, noise_bin=os.urandom(4000).hex())
    monkeypatch.setattr(copying, "BYTES_MAX", 2000)

    with pytest.raises(InvalidError, match="2000 bytes of objects"):
        await shelf.kept.pin("carol", new)

    assert not list(shelf.paths.state_dir.glob(".repository-*"))


@promise("N5")
async def test_an_object_whose_content_is_not_its_name_is_refused(shelf: Shelf) -> None:
    new = commit(shelf.proposed, agent_json="{}")
    place = shelf.proposed / ".git" / "objects" / new[:2] / new[2:]
    content = zlib.decompress(place.read_bytes()).replace(b"a change", b"A CHANGE")
    place.chmod(0o644)
    place.write_bytes(zlib.compress(content))

    with pytest.raises(HiveError):
        await shelf.kept.pin("carol", new)
    assert await shelf.kept.main("carol") == shelf.seeded


@promise("N5")
async def test_what_would_reorder_a_text_is_escaped_in_the_shown_change(shelf: Shelf) -> None:
    new = commit(shelf.proposed, notes_md="harmless \u202e dangerous \x1b[2K\n")
    shown = await shelf.kept.diff("carol", shelf.seeded, await shelf.kept.pin("carol", new))

    assert "+harmless \\u202e dangerous \\x1b[2K" in shown


async def test_a_change_too_long_to_be_read_is_refused(shelf: Shelf) -> None:
    files = {f"part{number}_txt": "line\n" * 20_000 for number in range(3)}
    pinned = await shelf.kept.pin("carol", commit(shelf.proposed, **files))
    with pytest.raises(InvalidError, match="smaller steps"):
        await shelf.kept.diff("carol", shelf.seeded, pinned)


async def deployments(shelf: Shelf) -> list[str]:
    return [each.commit for each in await shelf.kept.history("carol", 9)]


async def test_a_deployment_is_a_commit_of_the_hives_own_that_main_moves_to(shelf: Shelf) -> None:
    proposed = commit(shelf.proposed, "hums", agent_json="{}")
    pinned = await shelf.kept.pin("carol", proposed)

    made = await shelf.kept.deploy("carol", pinned, 7, "deploy it")

    assert await shelf.kept.main("carol") == made
    assert (await shelf.kept.tags("carol"))[Tag.DEPLOYED.of(7)] == made
    assert await shelf.kept.tree("carol", made) == await shelf.kept.tree("carol", pinned)
    said = proposals.git(shelf.applied, "log", "--max-count=1", "--format=%P %cn %s", made)
    assert said == f"{shelf.seeded} {proposed} hyperhive deploy it"
    assert await deployments(shelf) == [made, shelf.seeded]


async def test_what_lies_between_two_deployments_is_none(shelf: Shelf) -> None:
    between = commit(shelf.proposed, "never approved", agent_json='{"description": "evil"}')
    last = await shelf.kept.pin("carol", commit(shelf.proposed, "good", agent_json="{}"))

    made = await shelf.kept.deploy("carol", last, 1, "good")

    assert await deployments(shelf) == [made, shelf.seeded]
    with pytest.raises(ConflictError, match="never deployed"):
        await shelf.kept.earlier("carol", between)


async def test_a_commit_beside_the_deployed_ones_follows_them(shelf: Shelf) -> None:
    first = await shelf.kept.pin("carol", commit(shelf.proposed, "one", agent_json="{}"))
    one = await shelf.kept.deploy("carol", first, 1, "one")
    proposals.git(shelf.proposed, "reset", "--quiet", "--hard", shelf.seeded)
    beside = await shelf.kept.pin("carol", commit(shelf.proposed, "two", agent_json="{ }"))

    two = await shelf.kept.deploy("carol", beside, 2, "two")

    assert await shelf.kept.read("carol", two, "agent.json") == "{ }"
    assert await deployments(shelf) == [two, one, shelf.seeded]


async def test_an_earlier_state_is_deployed_again_as_a_new_one(shelf: Shelf) -> None:
    proposed = await shelf.kept.pin("carol", commit(shelf.proposed, "one", agent_json="{}"))
    first = await shelf.kept.deploy("carol", proposed, 1, "one")

    found = await shelf.kept.earlier("carol", shelf.seeded[:8])
    again = await shelf.kept.deploy("carol", found, None, "back to the first")

    assert found == shelf.seeded
    assert await shelf.kept.read("carol", again, "agent.json") == FIRST["agent.json"]
    assert await deployments(shelf) == [again, first, shelf.seeded]
    for revision in ("deployed/1", first, first[:9], proposed, proposed[:9].upper()):
        assert await shelf.kept.earlier("carol", revision) == first
    assert await shelf.kept.earlier("carol", shelf.seeded) == shelf.seeded


async def test_what_was_only_proposed_is_no_earlier_state(shelf: Shelf) -> None:
    pinned = await shelf.kept.pin("carol", commit(shelf.proposed, agent_json="{}"))
    for revision in (pinned, "0" * 40):
        with pytest.raises(ConflictError, match="never deployed"):
            await shelf.kept.earlier("carol", revision)
    with pytest.raises(InvalidError, match="no hash"):
        await shelf.kept.earlier("carol", "deployed/99")


async def test_an_earlier_state_with_more_than_plain_files_is_not_deployed_again(
    shelf: Shelf,
) -> None:
    (shelf.proposed / "link").symlink_to("/etc/passwd")
    linked = commit(shelf.proposed, agent_json="{}")
    proposals.git(shelf.applied, "fetch", "--quiet", str(shelf.proposed), linked)
    made = await shelf.kept.deploy("carol", linked, 1, "before links were looked for")
    with pytest.raises(InvalidError, match=r"link.* is a symbolic link"):
        await shelf.kept.earlier("carol", made)


async def test_a_deployment_cut_short_between_tag_and_main_is_completed(shelf: Shelf) -> None:
    pinned = await shelf.kept.pin("carol", commit(shelf.proposed, agent_json="{}"))
    made = await shelf.kept.deploy("carol", pinned, 3, "hums")
    proposals.git(shelf.applied, "update-ref", "refs/heads/main", shelf.seeded)

    assert await shelf.kept.deployed("carol", 3) == made
    assert await shelf.kept.main("carol") == made
    assert await shelf.kept.deployed("carol", 4) is None


async def test_a_tag_tells_its_message_and_is_not_moved(shelf: Shelf) -> None:
    pinned = await shelf.kept.pin("carol", commit(shelf.proposed, agent_json="{}"))
    await shelf.kept.tag("carol", Tag.FAILED.of(3), pinned, "it exited\n# with status 3")
    await shelf.kept.tag("carol", Tag.FAILED.of(3), shelf.seeded, "another")

    assert (await shelf.kept.tags("carol"))["failed/3"] == pinned
    said = proposals.git(shelf.applied, "tag", "--list", "--format=%(contents)", "failed/3")
    assert said == "it exited\n# with status 3"


async def test_what_the_manager_put_in_the_place_of_a_proposal_is_removed_before_seeding(
    tmp_path: Path,
) -> None:
    shelf = Shelf(tmp_path)
    shelf.paths.configs.mkdir()
    target = tmp_path / "precious"
    target.mkdir()
    (target / "file").write_text("kept")
    shelf.proposed.symlink_to(target)

    await shelf.seed()

    assert not shelf.proposed.is_symlink()
    assert (target / "file").read_text() == "kept"


async def test_removing_removes_both_and_nothing_behind_a_link(
    shelf: Shelf, tmp_path: Path
) -> None:
    target = tmp_path / "precious"
    shelf.proposed.rename(target)
    shelf.proposed.symlink_to(target)

    await shelf.kept.remove("carol")

    assert not shelf.applied.exists()
    assert not shelf.proposed.is_symlink()
    assert (target / "agent.json").exists()

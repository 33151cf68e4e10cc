"""The checkout of the docs: real git, a repository on the disk, pushes of every kind."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hyperhive.bootstrap import forging
from hyperhive.forge import docs, git, seeding
from hyperhive.forge.docs import ALERT, DocsCheckout
from hyperhive.store import Store, alerts
from tests.builders import a_store
from tests.promises import promise
from tests.surfaces.hives import until

pytestmark = pytest.mark.anyio


class Hub:
    """The docs repository, and somebody who may push to it."""

    def __init__(self, directory: Path, store: Store) -> None:
        self.bare, self.clone = directory / "hub.git", directory / "clone"
        self.docs = directory / "docs"
        self.store = store
        self.git("init", "-q", "--bare", "--initial-branch=main", str(self.bare), cwd=directory)
        self.git("init", "-q", "--initial-branch=main", str(self.clone), cwd=directory)
        self.checkout = DocsCheckout(
            store, self.docs, directory / "docs.git", lambda: str(self.bare), lambda: "X-Nobody: 1"
        )

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        who = {
            f"GIT_{role}_{key}": "a@b"
            for role in ("AUTHOR", "COMMITTER")
            for key in ("NAME", "EMAIL")
        }
        environment = {"PATH": os.environ["PATH"], "HOME": "/dev/null", **who}
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.clone,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout

    def push(self, *options: str, **files: str | None) -> None:
        """Commit files (``a__b`` is ``a/b``; ``None`` removes) and push."""
        for name, text in files.items():
            path = self.clone / name.replace("__", "/")
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        self.commit_and_push(*options)

    def clear(self) -> None:
        """Remove every file of the clone."""
        for place in self.clone.iterdir():
            if place.is_file():
                place.unlink()
            elif place.name != ".git":
                shutil.rmtree(place)

    def commit_and_push(self, *options: str) -> None:
        self.git("add", "--all", "--force", ".")
        self.git("commit", "-q", "--allow-empty", "-m", "change")
        self.git("push", "-q", *options, str(self.bare), "HEAD:main")

    def shown(self) -> dict[str, str]:
        """Give what lies in the directory."""
        return {
            str(path.relative_to(self.docs)): path.read_text()
            for path in sorted(self.docs.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }

    async def alert(self) -> str | None:
        return await self.store.read(lambda asking: alerts.text_of(asking, ALERT))


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.setattr(git, "_SETTINGS", {**git._SETTINGS, "protocol.file.allow": "always"})
    async with a_store(tmp_path / "state") as store:
        yield Hub(tmp_path, store)


@promise("F26")
async def test_the_directory_follows_pushes_and_is_never_replaced(hub: Hub) -> None:
    hub.push(readme="one", sub__a="a", sub__deep__b="b")
    assert await hub.checkout.look()
    inode = hub.docs.stat().st_ino
    assert hub.shown() == {"readme": "one", "sub/a": "a", "sub/deep/b": "b"}
    hub.push(readme="two", sub__deep__b=None)
    await hub.checkout.look()
    assert hub.shown() == {"readme": "two", "sub/a": "a"}
    assert not (hub.docs / "sub" / "deep").exists()
    assert hub.docs.stat().st_ino == inode


async def test_a_file_becomes_a_directory_and_back(hub: Hub) -> None:
    for files in ({"x": "file"}, {"x__y": "inside"}, {"x": "file again"}):
        hub.clear()
        hub.push(**files)
        assert await hub.checkout.look()
        assert hub.shown() == {name.replace("__", "/"): text for name, text in files.items()}


async def test_a_history_that_was_pushed_anew_is_followed(hub: Hub) -> None:
    hub.push(readme="one")
    await hub.checkout.look()
    hub.git("checkout", "-q", "--orphan", "other")
    hub.push("--force", readme="from another history")
    assert await hub.checkout.look()
    assert hub.shown() == {"readme": "from another history"}


@promise("F27")
async def test_a_repository_that_is_broken_keeps_the_last_good_docs(hub: Hub) -> None:
    hub.push(readme="good")
    await hub.checkout.look()
    hub.bare.rename(hub.bare.with_name("away.git"))
    assert not await hub.checkout.look()
    assert hub.shown() == {"readme": "good"}
    assert "stay as they were" in (await hub.alert() or "")
    hub.bare.with_name("away.git").rename(hub.bare)
    assert await hub.checkout.look()
    assert await hub.alert() is None


async def test_a_broken_copy_of_the_repository_is_made_anew(hub: Hub) -> None:
    hub.push(readme="one")
    await hub.checkout.look()
    copy = hub.docs.with_name("docs.git")
    for path in (copy / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"broken")
    hub.push(readme="two")
    for _ in range(3):
        await hub.checkout.look()
    assert hub.shown() == {"readme": "two"}


@promise("F28")
async def test_a_link_leads_nowhere_and_a_submodule_is_left_out(hub: Hub, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    hub.clone.mkdir(exist_ok=True)
    (hub.clone / "real").write_text("real")
    (hub.clone / "copy").symlink_to("real")
    (hub.clone / "out").symlink_to("../secret")
    (hub.clone / "absolute").symlink_to(secret)
    (hub.clone / "directory").symlink_to(".")
    (hub.clone / "winding").symlink_to("directory/../../secret")
    blob = "160000,1111111111111111111111111111111111111111,module"
    hub.git("update-index", "--add", "--cacheinfo", blob)
    hub.git("add", "real", "copy", "out", "absolute", "directory", "winding")
    hub.git("commit", "-q", "-m", "hostile")
    hub.git("push", "-q", str(hub.bare), "HEAD:main")
    assert await hub.checkout.look()
    assert hub.shown() == {"real": "real", "copy": "real"}
    assert not any(path.is_symlink() for path in hub.docs.rglob("*"))
    assert "link" in (await hub.alert() or "")


async def test_links_that_stand_in_the_directory_are_replaced_and_not_followed(
    hub: Hub, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "a").write_text("untouched")
    hub.docs.mkdir()
    (hub.docs / "sub").symlink_to(victim)
    (hub.docs / "stray").symlink_to(victim)
    hub.push(sub__a="ours")
    await hub.checkout.look()
    assert (victim / "a").read_text() == "untouched"
    assert hub.shown() == {"sub/a": "ours"}
    assert not (hub.docs / "stray").is_symlink()


async def test_a_commit_that_is_too_large_is_refused_whole_and_a_large_file_left_out(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.push(readme="one")
    await hub.checkout.look()
    monkeypatch.setattr(docs, "FILE_BYTES_MAX", 100)
    monkeypatch.setattr(docs, "TOTAL_BYTES_MAX", 150)
    hub.push(big="x" * 101, readme="two")
    assert await hub.checkout.look()
    assert hub.shown() == {"readme": "two"}
    hub.push(readme="three", more="y" * 90, most="z" * 90)
    assert not await hub.checkout.look()
    assert hub.shown() == {"readme": "two"}


async def test_an_update_that_was_interrupted_is_made_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.push(a="1", b="1", c="1")
    await hub.checkout.look()
    hub.push(a="2", b="2", c="2")
    put, count = docs._put, 0

    def dies(place: Path, content: bytes) -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise OSError("the disk is full")
        put(place, content)

    monkeypatch.setattr(docs, "_put", dies)
    assert not await hub.checkout.look()
    monkeypatch.setattr(docs, "_put", put)
    assert await hub.checkout.look()
    assert hub.shown() == {"a": "2", "b": "2", "c": "2"}


async def test_the_template_is_seeded_and_read_by_every_driver(hub: Hub) -> None:
    await seeding.seed(None, str(hub.bare), "X-Nobody: 1")
    assert await hub.checkout.look()
    assert "customs.md" in hub.shown()
    assert "skills/forge/SKILL.md" in hub.shown()


async def test_a_declared_directory_is_seeded_instead(hub: Hub, tmp_path: Path) -> None:
    source = tmp_path / "own"
    (source / ".git").mkdir(parents=True)
    (source / ".git" / "config").write_text("not for you")
    (source / "page.md").write_text("ours")
    await seeding.seed(source, str(hub.bare), "X-Nobody: 1")
    await hub.checkout.look()
    assert hub.shown() == {"page.md": "ours"}


async def test_docs_that_are_as_they_were_cost_one_question(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.push(a="1")
    await hub.checkout.look()
    asked, run = [], git.git

    async def counted(*arguments: str, **more: Any) -> bytes:
        asked.append(arguments[0])
        return await run(*arguments, **more)

    monkeypatch.setattr(docs, "git", counted)
    assert await hub.checkout.look()
    assert asked == ["ls-remote"]
    hub.push(a="2")
    assert await hub.checkout.look()
    assert hub.shown() == {"a": "2"}


async def test_a_forge_that_cannot_tell_is_asked_more_often(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs, "POLL_SECONDS", 3600.0)
    monkeypatch.setattr(docs, "UNTOLD_POLL_SECONDS", 0.05)
    hub.push(a="1")
    checkout = DocsCheckout(
        hub.store,
        hub.docs,
        hub.docs.with_name("docs.git"),
        lambda: str(hub.bare),
        lambda: "X-Nobody: 1",
        is_told=False,
    )
    running = asyncio.create_task(checkout.run())
    try:
        await until((hub.docs / "a").exists)
        hub.push(b="1")
        await until((hub.docs / "b").exists)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("url", "is_here"),
    [("http://127.0.0.1:3000", True), ("http://192.0.2.1", False)],
)
def test_a_forge_is_here_if_its_address_is(url: str, is_here: bool) -> None:
    assert forging._is_here(url) is is_here

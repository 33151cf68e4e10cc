"""The repositories of spawned agents' configurations; see `hyperhive.domain.ports.Repositories`.

``applied`` repositories are bare, belong to the server and are read by the manager. ``proposed``
ones are ordinary clones that belong to whoever the boxes run as; they are made once and then only
copied from, never worked in.
"""

import asyncio
import contextlib
import os
import shutil
import stat
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from hyperhive.domain.configuration import (
    DIFF_BYTES_MAX,
    File,
    Revision,
    Tag,
    readable,
    require_hash,
    shortened,
    tree_faults,
)
from hyperhive.domain.errors import ConflictError, InvalidError, NotFoundError
from hyperhive.domain.paths import HivePaths
from hyperhive.git.copying import Copy
from hyperhive.git.programs import GitError, git, git_bytes

_MAIN: Final = "refs/heads/main"
_PIN: Final = "refs/heads/pin"
_SEPARATOR: Final = "\x1f"


class GitRepositories:
    """The port `Repositories` over git and the hive's directories.

    ``owner`` (user and group) is whom the manager's box runs as, where that is not the server's
    own user.
    """

    def __init__(self, paths: HivePaths, owner: tuple[int, int] | None = None) -> None:
        self._paths = paths
        self._owner = owner
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def seed(
        self, agent: str, files: Mapping[str, str], *, subject: str, manager: str
    ) -> str:
        """Make both repositories of an agent; see `Repositories.seed`."""
        async with self._locks[agent], self._room() as room:
            bare, clone = room / "applied", room / "proposed"
            await git(bare, "init", "--quiet", "--bare", str(bare))
            commit = await self._first_commit(bare, files, subject)
            await git(bare, "clone", "--quiet", "--no-hardlinks", str(bare), str(clone))
            inner = clone / ".git"
            await git(inner, "remote", "remove", "origin")
            await git(inner, "config", "user.name", manager)
            await git(inner, "config", "user.email", f"{manager}@hive.invalid")
            await asyncio.to_thread(self._put_in_place, agent, bare, clone)
            return commit

    async def pin(self, agent: str, commit: str) -> str:
        """Take a proposed commit over; see `Repositories.pin`."""
        prefix = require_hash(commit)
        async with self._locks[agent], self._room() as room:
            copied = room / "copy"
            await git(copied, "init", "--quiet", "--bare", str(copied))
            copying = Copy(copied / "objects")
            parts = Path(self._paths.configs.name) / agent
            await asyncio.to_thread(copying.take, self._paths.state_dir, parts)
            for pack in copying.packs:
                await git(copied, "index-pack", str(pack))
            found = await self._find(copied, prefix)
            await self._require_plain(copied, found)
            await git(copied, "update-ref", _PIN, found)
            applied = self._paths.applied_of(agent)
            refs = f"+{_PIN}:refs/pins/{found}"
            fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head")
            await git(applied, *fetch, str(copied), refs)
            return found

    async def unpin(self, agent: str, commit: str) -> None:
        """Let a pinned commit go; see `Repositories.unpin`."""
        await git(self._paths.applied_of(agent), "update-ref", "-d", f"refs/pins/{commit}")

    async def read(self, agent: str, commit: str, path: str) -> str | None:
        """Give a file of a commit; see `Repositories.read`."""
        applied = self._paths.applied_of(agent)
        listed = await git(applied, "ls-tree", "-z", "--full-tree", commit, "--", path)
        if not listed:
            return None
        blob = listed.partition("\t")[0].split()[2]
        return await git(applied, "cat-file", "blob", blob)

    async def files(self, agent: str, commit: str) -> Mapping[str, bytes]:
        """Give every file of a commit; see `Repositories.files`."""
        applied = self._paths.applied_of(agent)
        listed = await git(applied, "ls-tree", "-r", "-z", "--full-tree", commit)
        found = {}
        for entry in filter(None, listed.split("\0")):
            facts, _, path = entry.partition("\t")
            # Not by a checkout: attributes of the tree would have a say in what comes out.
            found[path] = await git_bytes(applied, "cat-file", "blob", facts.split()[2])
        return found

    async def tree(self, agent: str, commit: str) -> str:
        """Give the hash of all files of a commit; see `Repositories.tree`."""
        applied = self._paths.applied_of(agent)
        return (await git(applied, "rev-parse", "--verify", f"{commit}^{{tree}}")).strip()

    async def diff(self, agent: str, old: str, new: str) -> str:
        """Show what a commit changes; see `Repositories.diff`."""
        options = ("--no-ext-diff", "--no-textconv", "--no-color", "--text", "--no-renames")
        try:
            said = await git(
                self._paths.applied_of(agent),
                "diff",
                *options,
                "--src-prefix=a/",
                "--dst-prefix=b/",
                old,
                new,
                "--",
                output_max=DIFF_BYTES_MAX,
            )
        except GitError as error:
            raise InvalidError(
                f"The change cannot be shown: {error.detail}",
                "Propose it in smaller steps, which somebody can read.",
            ) from error
        return readable(said)

    async def tag(self, agent: str, name: str, commit: str, message: str = "") -> None:
        """Tag a commit once; see `Repositories.tag`."""
        async with self._locks[agent]:
            await self._tag(agent, name, commit, message)

    async def tags(self, agent: str) -> Mapping[str, str]:
        """Give every tag and the commit it names; see `Repositories.tags`."""
        form = "%(refname:lstrip=2) %(objectname) %(*objectname)"
        listed = await git(
            self._paths.applied_of(agent), "for-each-ref", f"--format={form}", "refs/tags"
        )
        found = (line.split() for line in listed.splitlines())
        return {parts[0]: parts[-1] for parts in found}

    async def main(self, agent: str) -> str:
        """Give the commit that is deployed; see `Repositories.main`."""
        applied = self._paths.applied_of(agent)
        return (await git(applied, "rev-parse", "--verify", f"{_MAIN}^{{commit}}")).strip()

    async def deploy(self, agent: str, commit: str, approval: int | None, subject: str) -> str:
        """Make what a commit holds what is deployed; see `Repositories.deploy`."""
        async with self._locks[agent]:
            applied, old = self._paths.applied_of(agent), await self.main(agent)
            made = ("commit-tree", await self.tree(agent, commit), "-p", old, "-p", commit)
            new = (await git(applied, *made, "-m", subject)).strip()
            if approval is not None:
                # The tag decides; a crash after it is completed by `deployed`.
                await self._tag(agent, Tag.DEPLOYED.of(approval), new)
            await git(applied, "update-ref", "-m", subject, _MAIN, new, old)
            return new

    async def deployed(self, agent: str, approval: int) -> str | None:
        """Say what an approval deployed, if it did; see `Repositories.deployed`."""
        if not self._paths.applied_of(agent).is_dir():
            return None
        found = (await self.tags(agent)).get(Tag.DEPLOYED.of(approval))
        if found is None:
            return None
        async with self._locks[agent]:
            applied, old = self._paths.applied_of(agent), await self.main(agent)
            if old != found and await self._descends(applied, found, old):
                await git(applied, "update-ref", _MAIN, found, old)
        return found

    async def earlier(self, agent: str, revision: str) -> str:
        """Find a state that was deployed; see `Repositories.earlier`."""
        text = revision.strip()
        tagged = text.startswith(f"{Tag.DEPLOYED.value}/")
        prefix = require_hash((await self.tags(agent)).get(text, text) if tagged else text)
        known = (await self._deployments(agent)).items()
        found = {made for name, made in known if name.startswith(prefix)}
        if not found:
            raise ConflictError(
                f"{shortened(text)!r} was never deployed.",
                "Choose one out of the history of deployments, or propose it as a new change.",
            )
        if len(found) > 1:
            raise _ambiguous(len(found), prefix)
        (commit,) = found
        await self._require_plain(self._paths.applied_of(agent), commit)
        return commit

    async def history(self, agent: str, limit: int) -> list[Revision]:
        """List what was deployed, newest first; see `Repositories.history`."""
        names: defaultdict[str, list[str]] = defaultdict(list)
        for name, commit in (await self.tags(agent)).items():
            names[commit].append(name)
        form = _SEPARATOR.join(("%H", "%ct", "%an", "%s"))
        options = ("--first-parent", f"--max-count={limit}", f"--format={form}", "-z")
        listed = await git(self._paths.applied_of(agent), "log", *options, _MAIN)
        revisions = []
        for line in filter(None, listed.split("\0")):
            commit, at, author, subject = line.split(_SEPARATOR, 3)
            shown = readable(subject), readable(author)
            revisions.append(Revision(commit, *shown, float(at), tuple(sorted(names[commit]))))
        return revisions

    async def remove(self, agent: str) -> None:
        """Remove both repositories; see `Repositories.remove`."""
        async with self._locks[agent]:
            await asyncio.to_thread(self._clear, agent)

    async def _first_commit(self, bare: Path, files: Mapping[str, str], subject: str) -> str:
        entries = []
        for name, text in sorted(files.items()):
            blob = (await git(bare, "hash-object", "-w", "--stdin", stdin=text.encode())).strip()
            entries.append(f"100644 blob {blob}\t{name}\n")
        tree = (await git(bare, "mktree", stdin="".join(entries).encode())).strip()
        commit = (await git(bare, "commit-tree", tree, "-m", subject)).strip()
        await git(bare, "update-ref", _MAIN, commit)
        return commit

    async def _find(self, repository: Path, prefix: str) -> str:
        """Find the one commit whose hash begins so."""
        listed = (await git(repository, "rev-parse", f"--disambiguate={prefix}")).split()
        lines = "".join(f"{each}\n" for each in listed)
        checked = await git(repository, "cat-file", "--batch-check", stdin=lines.encode())
        kinds = (line.split() for line in checked.splitlines())
        found = [parts[0] for parts in kinds if parts[1] == "commit"]
        if not found:
            raise NotFoundError("commit", prefix)
        if len(found) > 1:
            raise _ambiguous(len(found), prefix)
        return found[0]

    async def _require_plain(self, repository: Path, commit: str) -> None:
        listed = await git(repository, "ls-tree", "-r", "-z", "-l", "--full-tree", commit)
        files = []
        for entry in filter(None, listed.split("\0")):
            facts, _, path = entry.partition("\t")
            mode, _kind, _blob, size = facts.split()
            files.append(File(path, mode, int(size) if size.isdigit() else 0))
        faults = list(tree_faults(files))
        if faults:
            raise InvalidError(f"Commit {commit[:12]} cannot be deployed.", " ".join(faults[:10]))

    async def _tag(self, agent: str, name: str, commit: str, message: str = "") -> None:
        if name in await self.tags(agent):
            return
        annotated = ("--annotate", "--cleanup=verbatim", "--file=-") if message else ()
        applied = self._paths.applied_of(agent)
        await git(applied, "tag", *annotated, name, commit, stdin=f"{message}\n".encode())

    async def _deployments(self, agent: str) -> Mapping[str, str]:
        """Give each deployment by its own hash, and by that of the commit it was made from."""
        applied = self._paths.applied_of(agent)
        listed = await git(applied, "rev-list", "--first-parent", "--parents", _MAIN)
        lines = [line.split() for line in reversed(listed.splitlines())]
        return {parts[-1]: parts[0] for parts in lines} | {parts[0]: parts[0] for parts in lines}

    async def _descends(self, repository: Path, later: str, earlier: str) -> bool:
        count = await git(repository, "rev-list", "--count", "--max-count=1", earlier, f"^{later}")
        return count.strip() == "0"

    @asynccontextmanager
    async def _room(self) -> AsyncIterator[Path]:
        """Give a directory that only the server reaches, on the file system of the hive's state."""
        made = await asyncio.to_thread(
            tempfile.mkdtemp, prefix=".repository-", dir=self._paths.state_dir
        )
        try:
            yield Path(made)
        finally:
            await asyncio.to_thread(shutil.rmtree, made, ignore_errors=True)

    def _put_in_place(self, agent: str, bare: Path, clone: Path) -> None:
        paths = self._paths
        for directory in (paths.agents, paths.agents / agent, paths.applied, paths.configs):
            self._make(directory)
        self._clear(agent)
        if self._owner is not None:
            _give(clone, *self._owner)
        bare.rename(paths.applied_of(agent))
        clone.rename(paths.config(agent))
        link = paths.agents / agent / "config"
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
        link.symlink_to(Path("..", "..", paths.configs.name, agent))

    def _make(self, directory: Path) -> None:
        try:
            directory.mkdir(mode=0o750)
        except FileExistsError:
            if not stat.S_ISDIR(directory.lstat().st_mode):
                raise NotADirectoryError(f"{directory} must be a directory") from None
        else:
            if self._owner is not None:
                os.chown(directory, -1, self._owner[1], follow_symlinks=False)

    def _clear(self, agent: str) -> None:
        for place in (self._paths.applied_of(agent), self._paths.config(agent)):
            if place.is_symlink() or place.is_file():
                place.unlink()
            elif place.exists():
                shutil.rmtree(place)


def _ambiguous(count: int, prefix: str) -> InvalidError:
    return InvalidError(f"{count} commits begin with {prefix!r}.", "Give more digits of the hash.")


def _give(root: Path, uid: int, gid: int) -> None:
    """Make a tree that nobody else can reach yet belong to somebody."""
    os.chown(root, uid, gid)
    for directory, _, _ in os.walk(root):
        with os.scandir(directory) as entries:
            for entry in entries:
                os.chown(entry.path, uid, gid, follow_symlinks=False)

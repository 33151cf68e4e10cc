"""The git programs that the embedded forge runs, on bare repositories that only it writes to.

A repository's directory is named by its number, so no name that anybody chose is ever a path, and
the number is of that repository alone, whatever database is restored: see `forge_repositories.add`.
Nobody's configuration is read and no hook runs: what a push may change is decided before git sees
it. Needs git 2.38, whose ``merge-tree`` merges without a work tree.
"""

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyperhive.domain.errors import ConflictError, InvalidError, UnavailableError
from hyperhive.forge.embedded.permissions import Seen

OLDEST_PARTS: Final = (2, 38)
OLDEST: Final = "git 2.38 or later"
ORPHANS: Final = "orphans"
"""Where repositories lie that the database does not know: it may be older than they are."""
_DELETED: Final = "hive-deleted"
"""In a directory: its repository is being deleted, so nobody misses it."""
PUSH_BYTES_MAX: Final = 1 << 30
DIFF_BYTES_MAX: Final = 4 << 20
AT_ONCE: Final = 16
"""How many git programs run for the API at the same time; the next ones wait."""
SECONDS_MAX: Final = 60.0
"""How long a program may take that nobody's network slows down."""

_CONFIG: Final = {
    "core.hooksPath": "/dev/null",
    "core.alternateRefsCommand": "true",
    "safe.directory": "*",
    "http.receivepack": "true",
    "http.uploadpack": "true",
    "http.getanyfile": "false",
    "receive.fsckObjects": "true",
    "receive.maxInputSize": str(PUSH_BYTES_MAX),
    "receive.autogc": "true",
    "receive.denyDeleteCurrent": "refuse",
    "receive.advertisePushOptions": "false",
    "transfer.hideRefs": "refs/pull",
    "uploadpack.allowFilter": "true",
    "pack.threads": "1",
    "pack.windowMemory": "64m",
    "core.bigFileThreshold": "16m",
    "gc.auto": "6700",
    "gc.autoDetach": "false",
    "protocol.allow": "never",
}
_NOBODY: Final = {
    "GIT_AUTHOR_NAME": "hive",
    "GIT_AUTHOR_EMAIL": "hive@forge.invalid",
    "GIT_COMMITTER_NAME": "hive",
    "GIT_COMMITTER_EMAIL": "hive@forge.invalid",
}


def fault() -> str | None:
    """Say why the git of this machine does not do; ``None`` when it does."""
    try:
        told = subprocess.run(
            ["git", "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return f"There is no git; the embedded forge needs {OLDEST}."
    found = re.search(r"(\d+)\.(\d+)", told)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_PARTS:
        return f"The git here is {told.strip()!r}; the embedded forge needs {OLDEST}."
    return None


@dataclass(frozen=True, slots=True)
class Merging:
    """What merging a head into a base would give: a tree, unless they conflict."""

    base: str
    head: str
    tree: str | None
    fast_forward: bool
    up_to_date: bool


def environment(*, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the whole environment of a git program: nothing of ours but where programs are."""
    settings = {**_CONFIG, **(extra or {})}
    found = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for index, (key, value) in enumerate(settings.items()):
        found |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
    return found


def branch_fault(name: str) -> str | None:
    """Say why a name cannot be a branch's, as ``git check-ref-format`` would."""
    parts = name.split("/")
    bad = (
        not name
        or len(name.encode()) > 200
        or name.startswith("-")
        or name.endswith(".")
        or any(part.startswith(".") or part.endswith(".lock") or not part for part in parts)
        or ".." in name
        or "@{" in name
        or name in ("@", "HEAD")
        or any(letter in " ~^:?*[\\" or not letter.isprintable() for letter in name)
    )
    return f"{name!r} is no name for a branch." if bad else None


class Git:
    """The repositories below one directory."""

    def __init__(self, directory: Path) -> None:
        self.root = directory
        self._places = asyncio.Semaphore(AT_ONCE)
        self._making = asyncio.Lock()
        self._mergings: dict[tuple[int, str, str], Merging] = {}

    def path(self, repository: int) -> Path:
        """Say where a repository lies."""
        return self.root / f"{repository}.git"

    async def sweep(self, present: frozenset[int]) -> list[str]:
        """Remove what a crash has left of repositories half made or half deleted, and of pushes.

        What ``present`` does not name is kept as an orphan, and taken back once it is named again.
        Give the orphans there are.
        """
        return await asyncio.to_thread(self._sweep, present)

    def _sweep(self, present: frozenset[int]) -> list[str]:
        orphans = self.root / ORPHANS
        orphans.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in present:
            self._take_back(number)
        for place in self.root.glob("new-*"):
            shutil.rmtree(place, ignore_errors=True)
        for place in self.root.glob("*.git"):
            if place.stem.isdecimal() and int(place.stem) in present:
                (place / _DELETED).unlink(missing_ok=True)
                for left in place.glob("objects/tmp_objdir-*"):
                    shutil.rmtree(left, ignore_errors=True)
            elif (place / _DELETED).exists():
                shutil.rmtree(place, ignore_errors=True)
            else:
                place.rename(orphans / place.name)
        return sorted(place.name for place in orphans.iterdir())

    def _take_back(self, repository: int) -> bool:
        """Take an orphan back, if it is one."""
        place = self.path(repository)
        orphan = self.root / ORPHANS / place.name
        if place.exists() or not orphan.is_dir():
            return False
        orphan.rename(place)
        return True

    async def ensure(self, seen: Seen) -> None:
        """Make the repository, if it is not there: whole, or not at all."""
        row = seen.repository
        place = self.path(row.id)
        if place.is_dir():
            return
        async with self._making:
            if place.is_dir() or self._take_back(row.id):
                return
            made = await asyncio.to_thread(self._fresh)
            branch = row.default_branch
            await self._run(made, "init", "--quiet", "--bare", "--template=", "-b", branch, ".")
            # For whoever finds it as an orphan.
            (made / "description").write_text(f"{seen.full_name}\n", encoding="utf-8")
            made.rename(place)

    def _fresh(self) -> Path:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="new-", dir=self.root))

    def condemn(self, repository: int) -> None:
        """Note that the repository is about to be deleted: no crash makes it an orphan."""
        (self.path(repository) / _DELETED).touch()

    async def remove(self, repository: int) -> None:
        """Remove the repository."""
        await asyncio.to_thread(shutil.rmtree, self.path(repository), ignore_errors=True)

    async def refs(self, repository: int, *patterns: str) -> dict[str, str]:
        """Give the refs below ``patterns`` with the objects they name."""
        told = await self.run(
            repository, "for-each-ref", "--format=%(refname) %(objectname)", *patterns
        )
        return dict(line.split(" ", 1) for line in told.splitlines())

    async def branch(self, repository: int, name: str) -> str | None:
        """Give the commit that a branch is at, or ``None``."""
        if branch_fault(name):
            return None
        ref = f"refs/heads/{name}"
        return (await self.refs(repository, ref)).get(ref)

    async def latest(self, repository: int) -> float | None:
        """Say of when its latest commit is; ``None`` while it has no branch."""
        told = await self.run(
            repository, "for-each-ref", "--count=1", "--sort=-committerdate",
            "--format=%(committerdate:unix)", "refs/heads",
        )  # fmt: skip
        return float(told) if told.strip() else None

    async def begin(
        self, repository: int, branch: str, title: str, author: Mapping[str, str]
    ) -> None:
        """Give an empty repository a first commit that holds a README."""
        blob = await self.run(repository, "hash-object", "-w", "--stdin", given=f"# {title}\n")
        tree = await self.run(
            repository, "mktree", given=f"100644 blob {blob.strip()}\tREADME.md\n"
        )
        commit = await self._commit(repository, tree.strip(), (), "Initial commit", author)
        await self.move(repository, branch, commit, None)

    async def move(self, repository: int, branch: str, new: str, old: str | None) -> None:
        """Move a branch from ``old``; `ConflictError` when it is not there any more."""
        try:
            await self.run(repository, "update-ref", f"refs/heads/{branch}", new, old or "0" * 40)
        except InvalidError as error:
            raise ConflictError(f"{branch} has moved.", "Look at it and try again.") from error

    async def merging(self, repository: int, base: str, head: str) -> Merging:
        """Try to merge ``head`` into ``base``, both commits, without changing any branch."""
        key = (repository, base, head)
        found = self._mergings.get(key)
        if found is None:
            found = await self._merging(repository, base, head)
            if len(self._mergings) > 2000:
                self._mergings.clear()
            self._mergings[key] = found
        return found

    async def _merging(self, repository: int, base: str, head: str) -> Merging:
        common, status = await self._told(repository, "merge-base", base, head)
        if status:
            return Merging(base, head, None, fast_forward=False, up_to_date=False)
        told, status = await self._told(repository, "merge-tree", "--write-tree", base, head)
        tree = told.split("\n", 1)[0].strip() if status == 0 else None
        at = common.strip()
        return Merging(base, head, tree, fast_forward=at == base, up_to_date=at == head)

    async def merge(
        self, repository: int, merging: Merging, message: str, author: Mapping[str, str]
    ) -> str:
        """Write the commit that merges; no branch is moved."""
        assert merging.tree is not None
        parents = (merging.base, merging.head)
        return await self._commit(repository, merging.tree, parents, message, author)

    async def diff(self, repository: int, base: str, head: str) -> str:
        """Give what ``head`` changes since it left ``base``; cut where it is too long."""
        told = await self.run(
            repository, "diff", "--no-ext-diff", "--no-textconv", "--no-color", f"{base}...{head}"
        )
        if len(told) > DIFF_BYTES_MAX:
            return told[:DIFF_BYTES_MAX] + "\n… the rest is too long; fetch the branch.\n"
        return told

    async def commits(self, repository: int, old: str, new: str, most: int) -> list[dict[str, str]]:
        """Give the commits that came with a push, newest first."""
        which = new if set(old) == {"0"} else f"{old}..{new}"
        told = await self.run(
            repository, "log", f"--max-count={most}", "--format=%H%x00%an%x00%ae%x00%s", which
        )
        names = ("id", "name", "email", "message")
        return [dict(zip(names, line.split("\0"), strict=True)) for line in told.splitlines()]

    async def keep(self, repository: int, number: int, commit: str) -> None:
        """Keep a pull request's head when its branch is gone."""
        await self.run(repository, "update-ref", f"refs/pull/{number}/head", commit)

    async def run(self, repository: int, *arguments: str, given: str | None = None) -> str:
        """Run git in a repository and give what it says; `InvalidError` when it refuses."""
        told, status = await self._told(repository, *arguments, given=given)
        if status:
            raise InvalidError(f"git {arguments[0]} refused that.")
        return told

    async def backend(self, variables: Mapping[str, str], settings: Mapping[str, str]) -> Process:
        """Start ``git http-backend`` for one request; whoever asked ends it."""
        found = {**environment(extra=settings), "GIT_PROJECT_ROOT": str(self.root), **variables}
        return await asyncio.create_subprocess_exec(
            "git", "http-backend", stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=found,
            start_new_session=True,
        )  # fmt: skip

    async def _commit(
        self,
        repository: int,
        tree: str,
        parents: tuple[str, ...],
        message: str,
        author: Mapping[str, str],
    ) -> str:
        lines = [word for parent in parents for word in ("-p", parent)]
        told, status = await self._told(
            repository, "commit-tree", tree, *lines, given=message, extra=author
        )
        if status:
            raise UnavailableError("The forge could not write a commit.", "See its log.")
        return told.strip()

    async def _told(
        self,
        repository: int,
        *arguments: str,
        given: str | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> tuple[str, int]:
        async with self._places:
            return await self._said(self.path(repository), *arguments, given=given, extra=extra)

    async def _run(self, place: Path, *arguments: str) -> None:
        _, status = await self._said(place, *arguments)
        if status:
            raise UnavailableError(
                "The forge could not make a repository.", f"See that {self.root} can be written."
            )

    async def _said(
        self,
        place: Path,
        *arguments: str,
        given: str | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> tuple[str, int]:
        process = await asyncio.create_subprocess_exec(
            "git", *arguments, cwd=place, stdin=PIPE, stdout=PIPE, stderr=DEVNULL,
            env={**environment(), **_NOBODY, **(extra or {})}, start_new_session=True,
        )  # fmt: skip
        with ended(process):
            try:
                async with asyncio.timeout(SECONDS_MAX):
                    out, _ = await process.communicate((given or "").encode())
            except TimeoutError as error:
                raise UnavailableError("git took too long.", "Try again later.") from error
        return out.decode(errors="replace"), int(process.returncode or 0)


@contextmanager
def ended(process: Process) -> Iterator[None]:
    """See to it that a program that was started has no life after its request."""
    try:
        yield
    finally:
        end(process)


def end(process: Process) -> None:
    """End a program, and what it has started, if it still runs."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)

"""The live checkout of the docs repository, which every box sees read-only at ``/docs``.

The directory itself is mounted into boxes and is never replaced: a commit is written into it file
by file, each put in the place of the one before in one step, and what the commit does not have is
removed at the end. The commit that lies there is noted only then, so an interrupted update is made
again. A commit is judged whole before anything is touched: if it is refused, or cannot be fetched,
the last good one stays and an alert says why.

What is pushed is not trusted: only plain files are written. A link to a file of the repository
becomes a copy of that file, any other link and every submodule is left out, and nothing that
stands in the directory is followed.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Final

from hyperhive.domain.errors import HiveError, InvalidError
from hyperhive.domain.forge_plan import BRANCH
from hyperhive.forge.git import git
from hyperhive.store import Store, Writing, alerts

FILE_BYTES_MAX: Final = 5 * 1024 * 1024
TOTAL_BYTES_MAX: Final = 100 * 1024 * 1024
FILES_MAX: Final = 10_000
PATH_BYTES_MAX: Final = 1024
POLL_SECONDS: Final = 30.0
"""How often the repository is looked at when nothing says that it changed."""
UNTOLD_POLL_SECONDS: Final = 5.0
"""How often, where the forge cannot say so: it is on another machine."""
ALERT: Final = "docs"
_REF: Final = "refs/hive/docs"
_NOTE: Final = "checked-out"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listed:
    """What a commit's tree holds, path by path, and what of it is left out, with the reason."""

    files: dict[str, str]
    left_out: dict[str, str]


class DocsCheckout:
    """Keeps a directory what the docs repository is."""

    def __init__(
        self,
        store: Store,
        directory: Path,
        repository: Path,
        url: Callable[[], str],
        header: Callable[[], str | None],
        *,
        is_told: bool = True,
    ) -> None:
        self._store = store
        self._directory = directory
        self._repository = repository
        self._url = url
        self._header = header
        self._is_told = is_told
        self._shown: tuple[str, dict[str, str]] | None = None
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look now: somebody has pushed."""
        self._woken.set()

    async def run(self) -> None:
        """Follow the repository for ever; an error costs an alert and keeps what is there."""
        while True:
            self._woken.clear()
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - the loop outlives every error
                _log.exception("the docs could not be updated; it is tried again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS if self._is_told else UNTOLD_POLL_SECONDS):
                    await self._woken.wait()

    async def look(self) -> bool:
        """Fetch, and write what is new; say whether the directory is now what the branch is."""
        if self._header() is None:
            return False
        try:
            left_out = await self._update()
        except (HiveError, OSError) as error:
            detail = error.detail if isinstance(error, HiveError) else str(error)
            _log.warning("the docs stay as they are: %s", detail)
            await self._tell(f"The docs stay as they were: {detail}")
            return False
        told = "; ".join(f"{path}: {why}" for path, why in sorted(left_out.items())[:5])
        await self._tell(f"Not all of the docs are shown. {told}." if left_out else None)
        return True

    async def _update(self) -> dict[str, str]:
        if self._shown is not None and self._shown[0] == await self._tip():
            return self._shown[1]
        try:
            commit = await self._fetch()
            listed = await self._list(commit)
        except HiveError:
            if not await self._is_sound():
                await asyncio.to_thread(shutil.rmtree, self._repository, ignore_errors=True)
            raise
        if commit != await asyncio.to_thread(self._noted):
            contents = await self._read(listed.files)
            await asyncio.to_thread(self._write, commit, contents)
            _log.info("the docs are those of commit %s", commit)
        self._shown = (commit, listed.left_out)
        return listed.left_out

    async def _tip(self) -> str | None:
        """Ask what commit the branch is at, and nothing more, if the last one is still here."""
        noted = await asyncio.to_thread(self._noted)
        if noted is None:
            return None
        where = (self._url(), f"refs/heads/{BRANCH}")
        said = await git("ls-remote", *where, cwd=self._repository, header=self._header())
        tip = said.decode().split("\t")[0]
        return tip if tip == noted else None

    async def _fetch(self) -> str:
        where = self._repository
        if not (where / "HEAD").is_file():
            where.mkdir(mode=0o700, parents=True, exist_ok=True)
            await git("init", "--quiet", "--bare", ".", cwd=where)
        # Forced: a branch that was pushed anew from another history is followed, too.
        wanted = f"+refs/heads/{BRANCH}:{_REF}"
        await git(
            *("fetch", "--quiet", "--no-tags", "--depth=1", "--no-write-fetch-head"),
            *("--no-recurse-submodules", self._url(), wanted),
            cwd=where,
            header=self._header(),
        )
        return (await git("rev-parse", f"{_REF}^{{commit}}", cwd=where)).decode().strip()

    async def _is_sound(self) -> bool:
        try:
            await git("rev-list", "--objects", "--all", "--quiet", cwd=self._repository)
        except HiveError:
            return False
        return True

    async def _list(self, commit: str) -> Listed:
        out = await git("ls-tree", "-r", "-z", "--long", commit, cwd=self._repository)
        entries = [entry.partition(b"\t") for entry in out.split(b"\0") if entry]
        return await self._judged(
            [(os.fsdecode(path), *about.decode().split()) for about, _, path in entries]
        )

    async def _judged(self, entries: list[tuple[str, ...]]) -> Listed:
        files: dict[str, str] = {}
        left_out: dict[str, str] = {}
        links: dict[str, str] = {}
        total = 0
        for path, mode, _, blob, size in entries:
            _check_path(path)
            if mode == "120000":
                links[path] = blob
            elif mode == "160000":
                left_out[path] = "a submodule is not shown"
            elif int(size) > FILE_BYTES_MAX:
                left_out[path] = f"it has more than {FILE_BYTES_MAX // 1024**2} MiB"
            else:
                files[path] = blob
                total += int(size)
        if len(files) + len(links) > FILES_MAX or total > TOTAL_BYTES_MAX:
            raise InvalidError(
                f"the commit has {len(files)} files and {total // 1024**2} MiB; the limits are "
                f"{FILES_MAX} files and {TOTAL_BYTES_MAX // 1024**2} MiB."
            )
        targets = await self._read(links)
        for path, target in targets.items():
            led = normpath(str(PurePosixPath(path).parent / os.fsdecode(target[:PATH_BYTES_MAX])))
            copied = files.get(led)
            if copied is None:
                left_out[path] = "a link that does not lead to a file of the repository"
            else:
                files[path] = copied
        return Listed(files, left_out)

    async def _read(self, files: dict[str, str]) -> dict[str, bytes]:
        if not files:
            return {}
        blobs = list(dict.fromkeys(files.values()))
        asked = "".join(f"{blob}\n" for blob in blobs).encode()
        out = memoryview(await git("cat-file", "--batch", cwd=self._repository, stdin=asked))
        found: dict[str, bytes] = {}
        at = 0
        for blob in blobs:
            end = bytes(out[at : at + 200]).index(b"\n") + at
            words = bytes(out[at:end]).split()
            if len(words) != 3:
                raise InvalidError(f"the object {blob} is missing.")
            size = int(words[2])
            found[blob] = bytes(out[end + 1 : end + 1 + size])
            at = end + 2 + size
        return {path: found[blob] for path, blob in files.items()}

    def _noted(self) -> str | None:
        try:
            return (self._repository / _NOTE).read_text(encoding="ascii").strip()
        except OSError:
            return None

    def _write(self, commit: str, contents: dict[str, bytes]) -> None:
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        (self._repository / _NOTE).unlink(missing_ok=True)
        made: set[Path] = set()
        for path, content in sorted(contents.items()):
            self._make_parents(PurePosixPath(path).parent, made)
            _put(self._directory / path, content)
        _remove_others(self._directory, set(contents))
        (self._repository / _NOTE).write_text(commit + "\n", encoding="ascii")

    def _make_parents(self, parent: PurePosixPath, made: set[Path]) -> None:
        place = self._directory
        for part in parent.parts:
            place /= part
            if place in made:
                continue
            if place.is_symlink() or (place.exists() and not place.is_dir()):
                place.unlink()
            if not place.is_dir():
                place.mkdir()
            place.chmod(0o755)
            made.add(place)

    async def _tell(self, said: str | None) -> None:
        def job(work: Writing) -> None:
            if said is None:
                alerts.clear_alert(work, ALERT)
            else:
                alerts.raise_alert(work, ALERT, said)

        await self._store.write(job)


def _check_path(path: str) -> None:
    parts = path.split("/")
    bad = any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts)
    too_long = len(os.fsencode(path)) > PATH_BYTES_MAX
    if bad or too_long or any(len(os.fsencode(part)) > 255 for part in parts):
        raise InvalidError(f"the commit has a path that is not written: {path[:100]!r}.")


def _put(place: Path, content: bytes) -> None:
    if not place.is_symlink() and place.is_dir():
        shutil.rmtree(place)
    fresh = place.with_name(f".{os.urandom(6).hex()}.new")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(fresh, flags, 0o644), "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o644)
        fresh.replace(place)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _remove_others(directory: Path, wanted: set[str], below: str = "") -> bool:
    """Remove what is not wanted; say whether nothing is left."""
    empty = True
    for entry in sorted(directory.iterdir()):
        path = f"{below}{entry.name}"
        if stat.S_ISDIR(entry.lstat().st_mode):
            if _remove_others(entry, wanted, f"{path}/"):
                entry.rmdir()
            else:
                empty = False
        elif path in wanted:
            empty = False
        else:
            entry.unlink()
    return empty

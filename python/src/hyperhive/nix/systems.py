"""Systems of spawned agents, built by the host's Nix; see `hyperhive.domain.ports.Systems`.

The host's configuration renders a flake. A copy of it lies in the hive's state, beside the lock
that an approval moves. To build, a further copy gets the agent's name and the files of a commit:
Nix evaluates that pure, as the server's own user, and sees nothing else of this machine. Each
result has a link, which keeps it from being collected: ``systems/NAME/TREE-KEY``, where the key
stands for the flake and its lock. Which tree a commit has is noted beside them.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from hyperhive.domain.configuration import readable
from hyperhive.domain.errors import ConflictError, InvalidError, UnavailableError
from hyperhive.domain.paths import HivePaths
from hyperhive.domain.ports import Repositories
from hyperhive.nix.flakes import FEATURES, FLAKE, LOCK, environment, write_lock
from hyperhive.programs import Bounds, run

ORIGIN: Final = "origin"
"""In the hive's copy of the flake, where that was copied from."""

FLAKES_KEPT: Final = 2
"""From how many earlier flakes and locks the systems are kept, to go back to."""

_BOUNDS: Final = Bounds(
    seconds=1800.0,
    output=16 * 1024 * 1024,
    memory=8 * 1024 * 1024 * 1024,
    file=1024 * 1024 * 1024,
)
_OPTIONS: Final = (
    *FEATURES,
    *("--option", "pure-eval", "true"),
    *("--option", "allow-import-from-derivation", "false"),
    *("--option", "accept-flake-config", "false"),
)
_SAID_LINES: Final = 20
_SAID_CHARS: Final = 2000


class NoSystems:
    """The port `Systems` of a hive whose boxes are no guests: there is nothing to build."""

    def fault(self) -> str | None:
        """Say that nothing is in the way; see `Systems.fault`."""
        return None

    async def build(self, agent: str, commit: str, *, lock: str | None = None) -> None:
        """Do nothing; see `Systems.build`."""

    def built(self, agent: str, commit: str) -> str:
        """Give nothing; see `Systems.built`."""
        del agent, commit
        return ""

    def is_current(self, agent: str, commit: str) -> bool:
        """Say yes; see `Systems.is_current`."""
        del agent, commit
        return True

    async def remove(self, agent: str) -> None:
        """Do nothing; see `Systems.remove`."""


class NixSystems:
    """The port `Systems` over Nix; ``rendered`` gives where the host's flake is, if anywhere."""

    def __init__(
        self, paths: HivePaths, kept: Repositories, rendered: Callable[[], Path | None]
    ) -> None:
        self._paths = paths
        self._kept = kept
        self._rendered = rendered
        self._one_at_a_time = asyncio.Lock()

    def fault(self) -> str | None:
        """Say why no system can be built here; see `Systems.fault`."""
        rendered = self._rendered()
        if rendered is None or not (rendered / FLAKE).is_file():
            return "The host renders no flake for the systems of spawned agents."
        if shutil.which("nix") is None:
            return "nix cannot be found in PATH."
        return None

    def take_flake(self) -> None:
        """Copy the host's flake if it is another one than before; the lock stays."""
        rendered, flake = self._rendered(), self._paths.flake
        if rendered is None or not (rendered / FLAKE).is_file():
            return
        origin = os.path.realpath(rendered)
        if _text(flake / ORIGIN) == origin:
            return
        with tempfile.TemporaryDirectory(prefix=".flake-", dir=self._paths.state_dir) as room:
            fresh = Path(room) / "flake"
            _copy(rendered, fresh)
            (fresh / ORIGIN).write_text(origin, encoding="utf-8")
            if (flake / LOCK).is_file():
                shutil.copyfile(flake / LOCK, fresh / LOCK)
            if flake.exists():
                flake.rename(Path(room) / "before")
            fresh.rename(flake)

    async def build(self, agent: str, commit: str, *, lock: str | None = None) -> None:
        """Build the system of a commit; see `Systems.build`."""
        if (fault := self.fault()) is not None:
            raise UnavailableError(fault, "Set services.hyperhive.spawned.enable on the host.")
        tree = await self._kept.tree(agent, commit)
        async with self._one_at_a_time:
            in_place = self._lock
            if not self._link(agent, tree, in_place if lock is None else lock).exists():
                await self._make(agent, commit, tree, in_place, lock)
            await asyncio.to_thread(self._note, agent, commit, tree)

    def built(self, agent: str, commit: str) -> str:
        """Give the system of a commit; see `Systems.built`."""
        tree = _text(self._notes(agent) / commit)
        if not tree:
            return ""
        current = self._link(agent, tree, self._lock)
        found = current if current.is_symlink() else _newest(self._of(agent, f"{tree}-*"))
        return str(found.readlink()) if found is not None else ""

    def is_current(self, agent: str, commit: str) -> bool:
        """Whether the system of a commit is there; see `Systems.is_current`."""
        tree = _text(self._notes(agent) / commit)
        return bool(tree) and self._link(agent, tree, self._lock).exists()

    async def remove(self, agent: str) -> None:
        """Let go of every system of an agent; see `Systems.remove`."""
        place = self._paths.systems / agent
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)

    async def _make(
        self, agent: str, commit: str, tree: str, in_place: str, lock: str | None
    ) -> None:
        """Lock what is not locked yet, and build what the lock says."""
        files = await self._kept.files(agent, commit)
        wanted = in_place if lock is None else lock
        async with self._room() as room:
            flake = room / "flake"
            await asyncio.to_thread(self._complete, flake, agent, files, wanted)
            await _nix(room, "flake", "lock", f"path:{flake}")
            used = _text(flake / LOCK)
            if lock is not None and used != lock:
                raise ConflictError(
                    "The flake has other inputs now than when this was proposed.", "Ask again."
                )
            link = self._link(agent, tree, used)
            await asyncio.to_thread(self._make_place, agent)
            to = ("--out-link", str(link), "--no-update-lock-file")
            await _nix(room, "build", *to, f"path:{flake}#system")
        if lock is None and used != in_place and self._lock == in_place:
            await asyncio.to_thread(write_lock, self._paths.flake, used)
        await asyncio.to_thread(self._tidy, agent)

    def _complete(self, flake: Path, agent: str, files: Mapping[str, bytes], lock: str) -> None:
        """Make the flake of one agent: the hive's, a lock, a name and the files of a commit."""
        _copy(self._paths.flake, flake)
        (flake / ORIGIN).unlink(missing_ok=True)
        (flake / LOCK).unlink(missing_ok=True)
        if lock:
            (flake / LOCK).write_text(lock, encoding="utf-8")
        (flake / "name").write_text(agent, encoding="utf-8")
        for path, content in files.items():
            place = flake / "agent" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)

    def _note(self, agent: str, commit: str, tree: str) -> None:
        note = self._notes(agent) / commit
        if _text(note) != tree:
            note.write_text(tree, encoding="utf-8")

    def _make_place(self, agent: str) -> None:
        self._notes(agent).mkdir(mode=0o750, parents=True, exist_ok=True)

    def _tidy(self, agent: str) -> None:
        """Let go of systems of flakes that are long past."""
        links = self._of(agent, "*-*")
        keys = dict.fromkeys(link.name.partition("-")[2] for link in links)
        current = self._key(self._lock)
        kept = {current, *[key for key in keys if key != current][:FLAKES_KEPT]}
        for link in links:
            if link.name.partition("-")[2] not in kept:
                link.unlink()

    def _of(self, agent: str, pattern: str) -> list[Path]:
        """Give the links of an agent, the newest first."""
        found = (self._paths.systems / agent).glob(pattern)
        return sorted(found, key=lambda link: -link.lstat().st_mtime)

    def _notes(self, agent: str) -> Path:
        return self._paths.systems / agent / "trees"

    def _link(self, agent: str, tree: str, lock: str) -> Path:
        return self._paths.systems / agent / f"{tree}-{self._key(lock)}"

    def _key(self, lock: str) -> str:
        origin = _text(self._paths.flake / ORIGIN)
        return sha256(f"{origin}\0{lock}".encode()).hexdigest()[:16]

    @property
    def _lock(self) -> str:
        return _text(self._paths.flake / LOCK)

    @asynccontextmanager
    async def _room(self) -> AsyncIterator[Path]:
        """Give a directory that only the server reaches."""
        made = await asyncio.to_thread(
            tempfile.mkdtemp, prefix=".build-", dir=self._paths.state_dir
        )
        try:
            yield Path(made)
        finally:
            await asyncio.to_thread(shutil.rmtree, made, ignore_errors=True)


async def _nix(room: Path, *arguments: str) -> None:
    command = ("nix", *_OPTIONS, *arguments)
    what = f"nix {arguments[0]}"
    ended = await run(command, what, environment=environment(room), bounds=_BOUNDS)
    if ended.status != 0:
        raise InvalidError(
            f"The system cannot be built: {_said(ended.said, ended.status)}",
            "Where agent.nix is at fault, correct it and commit again; the hive's log has no more.",
        )


def _said(text: bytes, status: int) -> str:
    """Give the end of what Nix said, from its error on."""
    lines = text.decode(errors="replace").splitlines()
    first = next((at for at, line in enumerate(lines) if line.startswith("error:")), 0)
    told = [line.rstrip() for line in lines[first:] if line.strip()]
    words = "\n".join(told[:3] + told[3:][-_SAID_LINES:]).removeprefix("error: ")
    return readable(words[-_SAID_CHARS:]) or f"nix ended with status {status}"


def _copy(source: Path, target: Path) -> None:
    """Copy a directory with what its links lead to, writable: files of the store are not."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for directory, names, _ in os.walk(target):
        for name in (".", *names):
            (Path(directory) / name).chmod(0o755)


def _newest(links: list[Path]) -> Path | None:
    return links[0] if links else None


def _text(path: Path) -> str:
    """Read a small file; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""

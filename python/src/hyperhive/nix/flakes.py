"""The flake of spawned agents' systems, and its lock; see `hyperhive.domain.ports.Inputs`.

Newer inputs are looked for in a copy, so that whatever Nix does there, what is in place stays as
it is until somebody has seen the difference and said yes. While a lock is on trial the one of
before lies beside the flake's directory, as ``NAME.lock.before``.
"""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from hyperhive.domain.errors import ConflictError, InvalidError, UnavailableError
from hyperhive.nix.parsing import said
from hyperhive.programs import Bounds, run

FLAKE: Final = "flake.nix"
LOCK: Final = "flake.lock"
LOCK_BYTES_MAX: Final = 256 * 1024

_BOUNDS: Final = Bounds(
    # A call of a tool may take 50 seconds in all.
    seconds=45.0,
    output=1024 * 1024,
    memory=4 * 1024 * 1024 * 1024,
    file=1024 * 1024 * 1024,
)
_PASSED: Final = (
    "NIX_REMOTE",
    "NIX_SSL_CERT_FILE",
    "SSL_CERT_FILE",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
"""How the host reaches its Nix and the network."""
FEATURES: Final = ("--extra-experimental-features", "nix-command flakes")
NO_FLAKE: Final = "There are no inputs to update: no agent of this hive is built from a flake."
REMEDY: Final = (
    "Declared agents follow the host's configuration: update its flake and switch. `rebuild` makes "
    "a box anew from what is configured now."
)


def environment(room: Path) -> dict[str, str]:
    """Give the variables with which Nix runs; what it keeps for itself goes into ``room``."""
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {"LC_ALL": "C.UTF-8", "NO_COLOR": "1", "HOME": str(room), **passed}


class NoInputs:
    """The port `Inputs` of a hive whose boxes are built from none."""

    async def lock(self) -> str:
        """Refuse; see `Inputs.lock`."""
        raise ConflictError(NO_FLAKE, REMEDY)

    async def newer(self) -> str:
        """Refuse; see `Inputs.newer`."""
        raise ConflictError(NO_FLAKE, REMEDY)

    async def try_out(self, lock: str) -> None:
        """Refuse; see `Inputs.try_out`."""
        del lock
        raise ConflictError(NO_FLAKE, REMEDY)

    async def keep(self) -> None:
        """Refuse; see `Inputs.keep`."""
        raise ConflictError(NO_FLAKE, REMEDY)

    async def put_back(self) -> bool:
        """Do nothing; see `Inputs.put_back`."""
        return False


class FlakeInputs:
    """The port `Inputs` over a directory with a flake; ``options`` are further ones for Nix."""

    def __init__(self, directory: Path, options: tuple[str, ...] = ()) -> None:
        self._directory = directory
        self._options = options

    async def lock(self) -> str:
        """Give the lock that is in place; see `Inputs.lock`."""
        return await asyncio.to_thread(self._read, self._directory)

    async def newer(self) -> str:
        """Lock the flake anew in a copy; see `Inputs.newer`."""
        await self.lock()
        made = await asyncio.to_thread(tempfile.mkdtemp, prefix=".flake-", dir=self._parent)
        try:
            return await self._locked(Path(made))
        finally:
            await asyncio.to_thread(shutil.rmtree, made, ignore_errors=True)

    async def try_out(self, lock: str) -> None:
        """Put a lock in place on trial; see `Inputs.try_out`."""
        before = await self.lock()
        await asyncio.to_thread(self._try_out, lock, before)

    async def keep(self) -> None:
        """End the trial; see `Inputs.keep`."""
        await self.lock()
        await asyncio.to_thread(self._before.unlink, missing_ok=True)

    async def put_back(self) -> bool:
        """Undo what is on trial; see `Inputs.put_back`."""
        return await asyncio.to_thread(self._put_back)

    async def _locked(self, room: Path) -> str:
        copy = room / "flake"
        # Without a lock each input is locked to its newest state.
        await asyncio.to_thread(
            shutil.copytree,
            self._directory,
            copy,
            symlinks=True,
            ignore=shutil.ignore_patterns(LOCK),
        )
        command = ("nix", *FEATURES, *self._options, "flake", "lock", f"path:{copy}")
        ended = await run(command, "nix flake lock", environment=environment(room), bounds=_BOUNDS)
        if ended.status != 0:
            words = said(ended.said, ended.status)
            raise UnavailableError(f"The newest inputs cannot be found: {words}.", "Try it later.")
        return await asyncio.to_thread(self._read, copy)

    @property
    def _parent(self) -> Path:
        return self._directory.parent

    def _read(self, directory: Path) -> str:
        if not (directory / FLAKE).is_file():
            raise ConflictError(NO_FLAKE, REMEDY)
        lock = directory / LOCK
        if not lock.is_file():
            return ""
        if lock.stat().st_size > LOCK_BYTES_MAX:
            raise InvalidError(
                f"{LOCK} has more than {LOCK_BYTES_MAX} bytes.",
                "Give the flake fewer inputs, or let them follow each other.",
            )
        return lock.read_text(encoding="utf-8")

    @property
    def _before(self) -> Path:
        return self._parent / f"{self._directory.name}.lock.before"

    def _try_out(self, lock: str, before: str) -> None:
        if not self._before.exists():
            _write(self._before, before)
        write_lock(self._directory, lock)

    def _put_back(self) -> bool:
        if not self._before.exists():
            return False
        if self._before.stat().st_size:
            self._before.replace(self._directory / LOCK)
        else:
            # Nothing was locked; an empty file would be no lock.
            (self._directory / LOCK).unlink(missing_ok=True)
            self._before.unlink()
        return True


def write_lock(directory: Path, lock: str) -> None:
    """Put a lock beside a flake, whole or not at all."""
    _write(directory / LOCK, lock)


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)

"""Taking the objects out of a repository that somebody else can write, without running git in it.

Only what git's objects are made of is copied: loose objects and packs. Configuration, hooks,
attributes, alternates, replacements, grafts, indexes and whatever else could make git do or read
something stay behind. No link is followed at any place, nothing but plain files is opened for
reading, and a repository that is too large is refused before it fills the disk.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from hyperhive.domain.errors import InvalidError

BYTES_MAX: Final = 32 * 1024 * 1024
FILES_MAX: Final = 20_000

_FANOUT: Final = re.compile(r"[0-9a-f]{2}")
_LOOSE: Final = re.compile(r"[0-9a-f]{38}")
_PACK: Final = re.compile(r"pack-[0-9a-f]{40}\.pack")
_PIECE: Final = 1024 * 1024
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Copy:
    """One copying, and what is left of its budget."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._bytes = BYTES_MAX
        self._files = FILES_MAX
        self.packs: list[Path] = []

    def take(self, root: Path, parts: Path) -> None:
        """Copy the objects of the repository at ``parts`` below ``root``, which is the hive's own.

        Raises `InvalidError` where that is no ordinary repository or too large a one.
        """
        with ExitStack() as stack:
            directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, directory)
            place = Path()
            for part in (*parts.parts, ".git", "objects"):
                place /= part
                directory = _enter(directory, part, place)
                stack.callback(os.close, directory)
            self._fan_out(directory)

    def _fan_out(self, objects: int) -> None:
        for name in self._names(objects):
            if _FANOUT.fullmatch(name):
                self._directory(objects, name, _LOOSE)
            elif name == "pack":
                self._directory(objects, name, _PACK)

    def _directory(self, objects: int, name: str, wanted: re.Pattern[str]) -> None:
        inner = _enter(objects, name, Path("objects", name))
        try:
            for file in self._names(inner):
                if wanted.fullmatch(file):
                    self._file(inner, file, self._target / name / file)
        finally:
            os.close(inner)

    def _names(self, directory: int) -> Iterator[str]:
        with os.scandir(directory) as entries:
            for entry in entries:
                self._files -= 1
                if self._files < 0:
                    raise InvalidError(
                        f"The proposed repository has more than {FILES_MAX} files of objects.",
                        "Pack them: git gc.",
                    )
                yield entry.name

    def _file(self, directory: int, name: str, target: Path) -> None:
        try:
            source = os.open(name, _FILE, dir_fd=directory)
        except OSError as error:
            raise InvalidError(
                f"The proposed repository has an object that is no plain file: {error.strerror}.",
                "Clone it anew.",
            ) from None
        try:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                raise InvalidError(
                    "The proposed repository has an object that is no plain file.",
                    "Clone it anew.",
                )
            target.parent.mkdir(exist_ok=True)
            with target.open("xb") as copy:
                while piece := os.read(source, _PIECE):
                    self._bytes -= len(piece)
                    if self._bytes < 0:
                        raise InvalidError(
                            f"The proposed repository has more than {BYTES_MAX} bytes of objects.",
                            "Keep large files out of it and begin its history anew.",
                        )
                    copy.write(piece)
        finally:
            os.close(source)
        if target.suffix == ".pack":
            self.packs.append(target)


def _enter(directory: int, part: str, place: Path) -> int:
    try:
        return os.open(part, _DIRECTORY, dir_fd=directory)
    except OSError:
        raise InvalidError(
            f"{str(place)!r} of the configurations is no directory of its own.",
            "The proposal must be an ordinary git repository, without links: git init, then "
            "commit there.",
        ) from None

"""Putting a reminder's text into a file of its agent's state, which the agent itself may rearrange.

Every component is opened relative to the one before and never through a link, so that neither
what is there nor what is put there meanwhile leads anywhere else. A file appears whole under its
name or not at all, and only where nothing is, or where an earlier reminder's text stands
unchanged. Whoever repeats a write finds its own text and is content.

It belongs to whom the state belongs to, who is the agent whatever user this process is. No caller
has to undo anything: what a crash leaves behind is a part file, which the next attempt removes.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600
PART_SUFFIX: Final = ".part"


class NotWrittenError(Exception):
    """The text is not in its file, and this is why, in a sentence for the agent."""


def write(
    state_dir: Path, agent: str, path: str, text: str, earlier: Sequence[str], *, part: str
) -> None:
    """Put ``text`` into ``path`` below an agent's state and onto the disk.

    ``earlier`` are the texts that may be replaced; ``part`` names the file while it grows. Raises
    `NotWrittenError`; then nothing that the agent had was changed.
    """
    *parents, name = path.split("/")
    try:
        with ExitStack() as stack:
            root = stack.enter_context(_opened(state_dir))
            for component in ("agents", agent, "state"):
                root = stack.enter_context(_opened(component, root))
            owner = os.fstat(root)
            place = root
            for component in parents:
                place = stack.enter_context(_made(component, place, owner))
            _put(place, name, text.encode(), [one.encode() for one in earlier], owner, part)
    except OSError as error:
        raise NotWrittenError(_why(error)) from error


def _put(
    place: int, name: str, text: bytes, earlier: Sequence[bytes], owner: os.stat_result, part: str
) -> None:
    # Where a crash came after the file had its name, nothing else would remove it.
    with suppress(FileNotFoundError):
        os.unlink(part, dir_fd=place)
    present = _present(place, name, longest=max(len(text), *map(len, earlier), 0))
    if present == text:
        # Of the attempt before, perhaps: it may not have come to be flushed.
        _flush(place, name)
        return
    if present is not None and present not in earlier:
        raise NotWrittenError(
            "there is another file, which is no earlier reminder's, or was changed since."
        )
    file = os.open(part, _CREATE, FILE_MODE, dir_fd=place)
    try:
        try:
            _fill(file, text)
            _give(file, owner)
            os.fsync(file)
        finally:
            os.close(file)
        if present is None:
            # Unlike a rename this fails where something has come meanwhile.
            os.link(part, name, src_dir_fd=place, dst_dir_fd=place, follow_symlinks=False)
            os.unlink(part, dir_fd=place)
        else:
            os.rename(part, name, src_dir_fd=place, dst_dir_fd=place)
    except BaseException:
        with suppress(OSError):
            os.unlink(part, dir_fd=place)
        raise
    os.fsync(place)


def _present(place: int, name: str, *, longest: int) -> bytes | None:
    """Read what is there, as far as it can matter; ``None`` when nothing is."""
    try:
        # A device or a pipe is not even opened.
        mode = os.stat(name, dir_fd=place, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
    _require_file(mode)
    file = os.open(name, _READ, dir_fd=place)
    try:
        _require_file(os.fstat(file).st_mode)
        found = bytearray()
        while len(found) <= longest and (more := os.read(file, longest + 1 - len(found))):
            found += more
        return bytes(found)
    finally:
        os.close(file)


def _require_file(mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
    }
    raise NotWrittenError(f"there is {kinds.get(stat.S_IFMT(mode), 'a device')} of that name.")


def _flush(place: int, name: str) -> None:
    file = os.open(name, _READ, dir_fd=place)
    try:
        os.fsync(file)
    finally:
        os.close(file)
    os.fsync(place)


def _fill(file: int, text: bytes) -> None:
    left = memoryview(text)
    while left:
        left = left[os.write(file, left) :]


@contextmanager
def _opened(component: str | Path, place: int | None = None) -> Iterator[int]:
    # The hive's own directory may be reached through links of the admin's; nothing below it.
    flags = _DIRECTORY if place is not None else _DIRECTORY & ~os.O_NOFOLLOW
    opened = os.open(component, flags, dir_fd=place)
    try:
        yield opened
    finally:
        os.close(opened)


@contextmanager
def _made(component: str, place: int, owner: os.stat_result) -> Iterator[int]:
    """Open a directory that belongs to the agent, made if it is missing."""
    made = False
    with suppress(FileExistsError):
        os.mkdir(component, DIRECTORY_MODE, dir_fd=place)
        made = True
    with _opened(component, place) as opened:
        if made:
            _give(opened, owner)
            os.fsync(place)
        yield opened


def _give(opened: int, owner: os.stat_result) -> None:
    """Hand over what this process has just made, and nothing that was put in its place."""
    found = os.fstat(opened)
    is_ours = found.st_uid == os.geteuid()
    if is_ours and os.geteuid() == 0 and found.st_uid != owner.st_uid:
        os.fchown(opened, owner.st_uid, owner.st_gid)


def _why(error: OSError) -> str:
    """Say in a sentence what the system says, without the paths of the host."""
    if isinstance(error, NotADirectoryError) or error.errno == errno.ELOOP:
        return "a component of the path is a link or no directory."
    if isinstance(error, FileExistsError):
        return "something else has come into its place."
    return f"{(error.strerror or 'it failed').lower()}."

"""What every box finds: its directories, its environment, its log.

Directories are made if they are missing and left alone otherwise; a link in the place of one is
refused, and so is one that another user owns than the box's. The environment is built from
nothing: of the host's only the few variables of `FROM_HOST` get in, so no secret of the server's
environment reaches an agent.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from hyperhive.domain.actors import Role
from hyperhive.domain.instances import BoxSpec
from hyperhive.domain.paths import GIT_CONFIG
from hyperhive.runtimes.users import User

FROM_HOST: Final = ("PATH", "LANG", "TZ", "TMPDIR")
"""Variables of the server's environment that a box sees, too."""

LOG_BYTES_MAX: Final = 5 * 1024 * 1024
"""A log that is larger when its box starts is put aside; one older log is kept."""

TAIL_BYTES_MAX: Final = 1024 * 1024
"""How far back a log is read."""

UMASK: Final = 0o007
"""What one agent writes into the shared directory another one of the group can edit."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a box finds what, under the names that it sees."""

    agents: Path
    state: Path
    shared: Path
    docs: Path
    applied: Path
    home: Path
    socket: Path
    credentials: Path


def host_places(spec: BoxSpec) -> Places:
    """Give the host's own paths, for a box that has no others."""
    paths, name = spec.paths, spec.name
    return Places(
        paths.agents,
        paths.state(name),
        paths.shared,
        paths.docs,
        paths.applied,
        paths.home(name),
        paths.socket(name),
        paths.credentials(name),
    )


def environment_of(
    spec: BoxSpec,
    host: Mapping[str, str],
    *,
    places: Places | None = None,
    operator: str = "",
) -> dict[str, str]:
    """Give the whole environment of a box; what the hive sets wins over what is declared.

    ``operator`` is where the operator's page is; the box's probe tries to reach it.
    """
    found = host_places(spec) if places is None else places
    kept = {name: host[name] for name in FROM_HOST if name in host}
    own = {
        "HYPERHIVE_AGENT": spec.name,
        "HYPERHIVE_SOCKET": str(found.socket),
        "HYPERHIVE_AGENTS": str(found.agents),
        "HYPERHIVE_STATE": str(found.state),
        "HYPERHIVE_SHARED": str(found.shared),
        "HYPERHIVE_DOCS": str(found.docs),
        "HOME": str(found.home),
        # The agent's own settings come after the system's, and win.
        "GIT_CONFIG_SYSTEM": str(found.socket.with_name(GIT_CONFIG)),
    }
    if spec.credentials:
        own["HYPERHIVE_CREDENTIALS"] = str(found.credentials)
    if spec.role is Role.MANAGER:
        own["HYPERHIVE_APPLIED"] = str(found.applied)
    if operator:
        own["HYPERHIVE_OPERATOR"] = operator
    return {"PATH": os.defpath, "LANG": "C.UTF-8"} | kept | dict(spec.environment) | own


def marks_of(name: str, socket: Path) -> dict[str, str]:
    """Give the variables by which a box's processes can be told from all others.

    ``socket`` is its path on the host, which no other hive has. In a box with paths of its own
    the process that holds it together has them, and takes the others with it.
    """
    return {"HYPERHIVE_AGENT": name, "HYPERHIVE_SOCKET": str(socket)}


def make_directories(spec: BoxSpec, owner: User | None = None) -> None:
    """Make what is missing of the directories that a box sees.

    With an ``owner`` that the server drops to, what the box writes to is made that user's, and
    what it reaches that through is opened to that user's group, also where root has made it
    before. Raises `OSError` where making one fails or something else stands in its place.
    """
    paths = spec.paths
    make = partial(_make, owner=owner if owner is not None and owner.dropped_to else None)
    for root in (paths.state_dir, paths.run_dir):
        root.parent.mkdir(parents=True, exist_ok=True)
        make(root.resolve(), 0o750)
    state, home, run = paths.state(spec.name), paths.home(spec.name), paths.run(spec.name)
    for directory in (
        paths.agents,
        state.parent,
        home.parent,
        paths.docs,
        paths.applied,
        paths.configs,
    ):
        make(directory, 0o750)
    for directory in (paths.logs, run.parent):
        make(directory, 0o750)
    if not run.is_dir():
        make(run, 0o700, is_the_boxes=True)
    for directory in (state, home):
        make(directory, 0o700, is_the_boxes=True)
    make(paths.shared, 0o2770, is_the_boxes=True)
    if spec.credentials:
        make(paths.credentials(spec.name).parent, 0o750)
        make(paths.credentials(spec.name), 0o750)
        write_credentials(spec, owner)


def write_credentials(spec: BoxSpec, owner: User | None = None) -> None:
    """Copy an agent's credentials to where its box sees them, as they are now.

    One that is missing on the host is missing there, too: the driver says that it needs a login.
    """
    place = spec.paths.credentials(spec.name)
    for name, source in spec.credentials.items():
        target, fresh = place / name, place / f".{name}.new"
        try:
            secret = source.read_bytes()
        except OSError:
            target.unlink(missing_ok=True)
            continue
        fresh.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(fresh, flags, 0o400), "wb") as file:
            file.write(secret)
            if owner is not None and owner.dropped_to:
                os.fchown(file.fileno(), owner.uid, owner.gid)
        fresh.replace(target)


def open_log(path: Path) -> int:
    """Open a log to append to, putting one that has grown large aside; give the descriptor."""
    if path.is_file() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(_older(path))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o640)


def last_lines(path: Path, lines: int) -> list[str]:
    """Read the end of a log and, if that is not enough, of the one before it."""
    if lines <= 0:
        return []
    found = _tail(path)
    if len(found) < lines:
        found = _tail(_older(path)) + found
    return found[-lines:]


def _make(directory: Path, mode: int, *, owner: User | None, is_the_boxes: bool = False) -> None:
    try:
        # A service that may give no set-group-id bit is refused even where all is there already.
        directory.mkdir(mode=mode & 0o777)
    except FileExistsError:
        if directory.is_symlink() or not directory.is_dir():
            raise NotADirectoryError(f"{directory} must be a directory") from None
        if owner is not None and is_the_boxes and directory.lstat().st_uid != owner.uid:
            raise PermissionError(
                f"{directory} must belong to {owner.name}: chown -R {owner.name} {directory}"
            ) from None
        if owner is not None and not is_the_boxes:
            _let_through(directory, owner)
    else:
        if owner is not None:
            uid = owner.uid if is_the_boxes else -1
            os.chown(directory, uid, owner.gid, follow_symlinks=False)
        # The process's umask took bits away, and a set-group-id bit is never given by mkdir.
        directory.chmod(mode)


def _let_through(directory: Path, owner: User) -> None:
    """Open a directory of root's to the owner's group, unless it can be passed already."""
    found = directory.lstat()
    for_all, for_group = (found.st_mode & 0o005) == 0o005, (found.st_mode & 0o050) == 0o050
    if found.st_uid == 0 and not for_all and not (for_group and found.st_gid == owner.gid):
        os.chown(directory, -1, owner.gid, follow_symlinks=False)
        directory.chmod(stat.S_IMODE(found.st_mode) | 0o050)


def _older(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - TAIL_BYTES_MAX))
            return log.read(TAIL_BYTES_MAX).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []

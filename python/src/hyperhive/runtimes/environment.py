"""What a box without isolation finds: its directories, its environment, its log.

Directories are made if they are missing and left alone otherwise; a link in the place of one is
refused. The environment is built from nothing: of the host's only the few variables of
`FROM_HOST` get in, so no secret of the server's environment reaches an agent.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hyperhive.domain.actors import Role
from hyperhive.domain.instances import BoxSpec

FROM_HOST: Final = ("PATH", "LANG", "TZ", "TMPDIR")
"""Variables of the server's environment that a box sees, too."""

LOG_BYTES_MAX: Final = 5 * 1024 * 1024
"""A log that is larger when its box starts is put aside; one older log is kept."""

TAIL_BYTES_MAX: Final = 1024 * 1024
"""How far back a log is read."""

UMASK: Final = 0o007
"""What one agent writes into the shared directory another one of the group can edit."""


def environment_of(spec: BoxSpec, host: Mapping[str, str]) -> dict[str, str]:
    """Give the whole environment of a box; what the hive sets wins over what is declared."""
    paths = spec.paths
    kept = {name: host[name] for name in FROM_HOST if name in host}
    own = {
        **marks_of(spec.name, paths.socket(spec.name)),
        "HYPERHIVE_AGENTS": str(paths.agents),
        "HYPERHIVE_STATE": str(paths.state(spec.name)),
        "HYPERHIVE_SHARED": str(paths.shared),
        "HYPERHIVE_DOCS": str(paths.docs),
        "HOME": str(paths.home(spec.name)),
    }
    if spec.role is Role.MANAGER:
        own["HYPERHIVE_APPLIED"] = str(paths.applied)
    return {"PATH": os.defpath, "LANG": "C.UTF-8"} | kept | dict(spec.environment) | own


def marks_of(name: str, socket: Path) -> dict[str, str]:
    """Give the variables by which every process of a box can be told from all others."""
    return {"HYPERHIVE_AGENT": name, "HYPERHIVE_SOCKET": str(socket)}


def make_directories(spec: BoxSpec) -> None:
    """Make what is missing of the directories that a box sees.

    Raises `OSError` where that fails or something else stands in a directory's place.
    """
    paths = spec.paths
    for root in (paths.state_dir, paths.run_dir):
        if not root.is_dir():
            root.mkdir(mode=0o750, parents=True, exist_ok=True)
    state, home, run = paths.state(spec.name), paths.home(spec.name), paths.run(spec.name)
    for directory in (paths.agents, state.parent, home.parent, paths.docs, paths.applied):
        _make(directory, 0o750)
    for directory in (paths.logs, run.parent):
        _make(directory, 0o750)
    for directory in (state, home, run):
        _make(directory, 0o700)
    _make(paths.shared, 0o2770)


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


def _make(directory: Path, mode: int) -> None:
    try:
        directory.mkdir(mode=mode)
    except FileExistsError:
        if directory.is_symlink() or not directory.is_dir():
            raise NotADirectoryError(f"{directory} must be a directory") from None
    else:
        # The process's umask took bits away, and a set-group-id bit is never given by mkdir.
        directory.chmod(mode)


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

"""Which kind of box the demo's agents get, and why: bubblewrap where it works.

It works where a box can be made and whoever runs in it can read what the demo shows there. A
server of root's drops to an ordinary user for that, and a directory of root's is opened to him.
"""

import os
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hyperhive.config import RuntimeKind
from hyperhive.domain.errors import UnavailableError
from hyperhive.runtimes.bubblewrap import BubblewrapRuntime
from hyperhive.runtimes.starting import identity
from hyperhive.runtimes.users import User, box_user


class Wanted(StrEnum):
    """What the command line can ask for."""

    AUTO = "auto"
    PROCESS = "process"
    BUBBLEWRAP = "bubblewrap"


@dataclass(frozen=True, slots=True)
class Choice:
    """A kind of box, and why it is that one: the end of a sentence, without its full stop."""

    kind: RuntimeKind
    reason: str


def choose(wanted: Wanted, place: Path, programs: Sequence[Path] = ()) -> Choice:
    """Choose for a demo in ``place`` whose agents run ``programs``.

    The demo's files must be there already: where root drops to a user, they are opened to that
    user's group. Raises `UnavailableError` if bubblewrap is wanted and does not work.
    """
    if wanted is Wanted.PROCESS:
        return Choice(RuntimeKind.PROCESS, "as you asked")
    fault = BubblewrapRuntime.fault() or _out_of_reach(place, programs)
    if fault is None:
        why = "as you asked" if wanted is Wanted.BUBBLEWRAP else "it works on this machine"
        return Choice(RuntimeKind.BUBBLEWRAP, why)
    if wanted is Wanted.BUBBLEWRAP:
        raise UnavailableError(
            f"The demo's agents cannot run in bubblewrap: {fault}", "Or: --runtime process."
        )
    return Choice(RuntimeKind.PROCESS, f"bubblewrap does not work here: {fault.rstrip('.')}")


def _out_of_reach(place: Path, programs: Sequence[Path]) -> str | None:
    """Say what the user of the boxes cannot read, once the demo's own directory is opened."""
    user = box_user()
    if not user.dropped_to:
        return None
    scripts = sorted((place / "scripts").iterdir())
    for path in (place, place / "scripts", *scripts):
        _open_to(path, user)
    for path in (*scripts, *programs):
        if not _can_read(path, user):
            return f"{user.name}, as whom the agents would run, cannot read {path}."
    return None


def _open_to(path: Path, user: User) -> None:
    found = path.stat()
    os.chown(path, -1, user.gid)
    path.chmod(stat.S_IMODE(found.st_mode) | (0o050 if path.is_dir() else 0o040))


def _can_read(path: Path, user: User) -> bool:
    """Find out by trying as that user: rights of every directory on the way count."""
    command = ["/bin/sh", "-c", 'test -r "$1"', "sh", str(path)]
    done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, check=False, **identity(user))
    return done.returncode == 0

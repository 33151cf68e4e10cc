"""Whom the boxes run as: an ordinary user, whoever runs the server.

A server of an ordinary user runs its boxes as itself. One of root drops to one fixed user before
it starts anything, because root in a box, even a closed one, is more than any agent needs.
"""

import grp
import os
import pwd
from dataclasses import dataclass
from typing import Final

from hyperhive.domain.errors import UnavailableError

DEFAULT_USER: Final = "hyperhive"


@dataclass(frozen=True, slots=True)
class User:
    """An ordinary user; ``dropped_to`` when the server is another one, that is root."""

    name: str
    uid: int
    gid: int
    group: str
    dropped_to: bool


def box_user(configured: str | None = None) -> User:
    """Give the user that boxes run as.

    Raises `UnavailableError` where the server is root and there is nobody to drop to, or where an
    ordinary user's server is to run boxes as somebody else.
    """
    own = os.geteuid()
    if own != 0:
        if configured is not None and _found(configured).uid != own:
            raise UnavailableError(
                f"Only root can run boxes as {configured!r}.",
                f"Start the hive as root or as {configured!r}.",
            )
        return _of(own, os.getegid(), dropped_to=False)
    user = _found(configured or DEFAULT_USER)
    if user.uid == 0:
        raise UnavailableError(
            f"Boxes never run as root, and {user.name!r} is root.", "Name an ordinary user."
        )
    return user


def _found(name: str) -> User:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise UnavailableError(
            f"The hive runs as root, and there is no ordinary user {name!r} for its boxes.",
            f"Create one (useradd --system --user-group {name}), or start the hive as an ordinary "
            "user.",
        ) from None
    return _of(entry.pw_uid, entry.pw_gid, dropped_to=entry.pw_uid != os.geteuid())


def _of(uid: int, gid: int, *, dropped_to: bool) -> User:
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"user-{uid}"
    try:
        group = grp.getgrgid(gid).gr_name
    except KeyError:
        group = f"group-{gid}"
    return User(name, uid, gid, group, dropped_to)

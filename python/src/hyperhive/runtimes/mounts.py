"""What a bubblewrap box sees, and the proof that it sees the right thing.

`arrange` gives bubblewrap's arguments. Each of the hive's directories is opened first, one
component after the other and none of them through a link; when bubblewrap has mounted it,
`Arrangement.verify` compares what is mounted with what was opened, before anything runs in the
box. So whoever can rename a mount's source, or put a link in its place, gets a box refused and
nothing else. Every directory that holds a mount point is read-only.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from hyperhive.domain import confinement
from hyperhive.domain.actors import Role
from hyperhive.domain.confinement import box_config, box_state
from hyperhive.domain.errors import UnavailableError
from hyperhive.domain.instances import BoxSpec
from hyperhive.runtimes.closures import SYSTEM, Closure
from hyperhive.runtimes.environment import Places
from hyperhive.runtimes.users import User

SCRATCH_BYTES: Final = 512 * 1024 * 1024
"""Room in each of the two file systems in memory, ``/tmp`` and ``/dev/shm``."""

_SCRATCH: Final = ("/tmp", "/dev/shm")  # noqa: S108 - the box's own
_LINK: Final = Path("/var/tmp")  # noqa: S108 - the box's own
"""A link to the first of these: nothing can be mounted below a link."""
_ETC: Final = (
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "fonts",
    "host.conf",
    "hosts",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "pki",
    "protocols",
    "resolv.conf",
    "services",
    "ssl",
    "static",
    "timezone",
)
_NIXOS_SYSTEM: Final = Path("/run/current-system")


class SwappedError(OSError):
    """What stands where a directory of the hive should be is something else."""


class Arrangement:
    """bubblewrap's arguments for one box, and the directories that were opened for it."""

    def __init__(self, stack: ExitStack) -> None:
        self.arguments: list[str] = []
        self.descriptors: list[int] = []
        """What bubblewrap must inherit."""
        self._stack = stack
        self._sources: list[tuple[int, Path, Path]] = []

    def add(self, *arguments: object) -> None:
        """Append arguments."""
        self.arguments += map(str, arguments)

    def show(self, root: Path, parts: Path, mount_point: Path, *, writable: bool = False) -> None:
        """Mount what lies at ``parts`` below ``root``; only ``root`` may lead through links."""
        source = root / parts
        descriptor = open_below(root, parts)
        self._stack.callback(os.close, descriptor)
        self._sources.append((descriptor, source, mount_point))
        self.add("--bind" if writable else "--ro-bind", source, mount_point)

    def write_file(self, mount_point: str, text: str) -> None:
        """Put a read-only file into the box that the host does not have."""
        descriptor = os.memfd_create("hyperhive-file")
        self._stack.callback(os.close, descriptor)
        os.write(descriptor, text.encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        self.descriptors.append(descriptor)
        self.add("--perms", "0444", "--ro-bind-data", descriptor, mount_point)

    def verify(self, root: Path) -> None:
        """Raise `SwappedError` unless each mount below ``root`` is the directory opened for it.

        ``root`` is the box's, seen from here: ``/proc/PID/root`` of a process that waits in it.
        """
        for descriptor, source, mount_point in self._sources:
            opened, mounted = os.fstat(descriptor), (root / mount_point.relative_to("/")).stat()
            if (opened.st_dev, opened.st_ino) != (mounted.st_dev, mounted.st_ino):
                raise SwappedError(f"{source} was exchanged while the box was made")


def open_below(root: Path, parts: Path) -> int:
    """Open a path for its identity alone, following no link below ``root``."""
    descriptor = os.open(root, os.O_PATH | os.O_CLOEXEC)
    try:
        for part in parts.parts:
            flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
            inner = os.open(part, flags, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
            # A link is not refused but opened itself.
            if stat.S_ISLNK(os.fstat(descriptor).st_mode):
                raise SwappedError(f"{root / parts}: {part!r} is a link, and none is followed")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def places(agent: str) -> Places:
    """Give the paths that the box of an agent has."""
    return Places(
        agents=confinement.AGENTS,
        state=box_state(agent),
        shared=confinement.SHARED,
        docs=confinement.DOCS,
        applied=confinement.APPLIED,
        home=confinement.HOME,
        socket=confinement.RUN / "agent.sock",
        credentials=confinement.CREDENTIALS,
    )


def arrange(spec: BoxSpec, user: User, closure: Closure, stack: ExitStack) -> Arrangement:
    """Say what the box sees; what was opened for it is closed with ``stack``.

    Raises `OSError` where a directory of the hive is missing, a link, or within a program's own,
    and `UnavailableError` where something is to be shown that a box has no place for.
    """
    made = Arrangement(stack)
    _refuse_overlap(spec, closure)
    show_system(made, user, spec.name)
    if not spec.confinement.has_network:
        made.add("--unshare-net")
    show_programs(made, closure)
    _show_hive(made, spec)
    for mount in spec.confinement.mounts:
        source = mount.host_path.relative_to("/")
        made.show(Path("/"), source, mount.mount_point, writable=not mount.is_read_only)
    made.add("--remount-ro", "/", "--chdir", box_state(spec.name))
    return made


def show_system(made: Arrangement, user: User, host_name: str) -> None:
    """Add the namespaces, the host's programs and libraries, and what every Linux has."""
    made.add("--unshare-user", "--disable-userns", "--unshare-pid", "--unshare-ipc")
    made.add(
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--hostname",
        host_name,
        "--new-session",
        "--as-pid-1",
    )
    for directory in SYSTEM:
        _show_as_it_is(made, directory)
    for name in ("lib32", "libx32"):
        _show_as_it_is(made, Path("/") / name)
    if _NIXOS_SYSTEM.is_symlink():
        made.add("--symlink", _NIXOS_SYSTEM.readlink(), _NIXOS_SYSTEM)
    for name in _ETC:
        made.add("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    made.write_file("/etc/passwd", _accounts(user))
    made.write_file("/etc/group", f"root:x:0:\n{user.group}:x:{user.gid}:\nnogroup:x:65534:\n")
    made.add("--proc", "/proc", "--dev", "/dev")
    for scratch in _SCRATCH:
        made.add("--perms", "1777", "--size", SCRATCH_BYTES, "--tmpfs", scratch)
    made.add("--remount-ro", "/dev", "--symlink", _SCRATCH[0], _LINK)


def show_programs(made: Arrangement, closure: Closure) -> None:
    """Add what runs in the box and lies outside the system's directories."""
    for path in closure.paths:
        made.add("--ro-bind", path, path)
    for place, target in closure.links:
        made.add("--symlink", target, place)


def _show_hive(made: Arrangement, spec: BoxSpec) -> None:
    state_dir, agents = spec.state_dir, Path("agents")
    own = agents / spec.name / "state"
    if spec.role is Role.MANAGER:
        made.show(state_dir, agents, confinement.AGENTS)
        made.show(state_dir, Path("applied"), confinement.APPLIED)
        made.show(state_dir, Path("configs"), confinement.CONFIGS, writable=True)
        if spec.confinement.manager_writes:
            for other in _other_states(spec):
                made.show(state_dir, agents / other / "state", box_state(other), writable=True)
    made.show(state_dir, own, box_state(spec.name), writable=True)
    if spec.role is not Role.MANAGER and _has_proposals(spec):
        made.show(state_dir, Path("configs") / spec.name, box_config(spec.name))
    made.show(state_dir, Path("shared"), confinement.SHARED, writable=True)
    made.show(state_dir, Path("docs"), confinement.DOCS)
    made.show(state_dir, Path("homes") / spec.name, confinement.HOME, writable=True)
    made.show(spec.run_dir, Path("agents") / spec.name, confinement.RUN)


def _has_proposals(spec: BoxSpec) -> bool:
    """Whether the agent's configuration is where the manager has it; a link there is nothing."""
    try:
        return stat.S_ISDIR(spec.paths.config(spec.name).lstat().st_mode)
    except OSError:
        return False


def _other_states(spec: BoxSpec) -> Iterator[str]:
    for directory in sorted(spec.paths.agents.iterdir()):
        if directory.name != spec.name and (directory / "state").is_dir():
            yield directory.name


def _refuse_overlap(spec: BoxSpec, closure: Closure) -> None:
    for path in closure.paths:
        for ours in (spec.state_dir, spec.run_dir):
            if ours.is_relative_to(path):
                raise OSError(f"{path} is needed in the box, and {ours} lies within it")
        for seen in confinement.BOX_PATHS:
            if path.is_relative_to(seen):
                raise OSError(f"{path} is needed in the box, which has a {seen} of its own")
    links = (place for place, _ in closure.links)
    points = (mount.mount_point for mount in spec.confinement.mounts)
    for path in (*closure.paths, *links, *points):
        if path.is_relative_to(_LINK):
            raise UnavailableError(
                f"{path} is needed in the box, whose {_LINK} is a link to its own {_SCRATCH[0]}.",
                f"Keep it elsewhere, such as in /opt or /usr/local; nothing below {_LINK} can be "
                "shown to a box.",
            )


def _show_as_it_is(made: Arrangement, directory: Path) -> None:
    if directory.is_symlink():
        made.add("--symlink", directory.readlink(), directory)
    elif directory.is_dir():
        made.add("--ro-bind", directory, directory)


def _accounts(user: User) -> str:
    shell = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
    return (
        "root:x:0:0:root:/:/bin/false\n"
        f"{user.name}:x:{user.uid}:{user.gid}:an agent:{confinement.HOME}:{shell}\n"
        "nobody:x:65534:65534:nobody:/:/bin/false\n"
    )

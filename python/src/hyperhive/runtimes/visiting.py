"""A program of somebody's in a box like an agent's, on this process's own terminal.

It has the mounts, the home, the user and the environment of the agent's box, so what a login
leaves in the home is there for the agent's next turn. The agent's harness must start no turn
meanwhile; that is the caller's to see to. An agent that is a container has only the one, which
must run: the program runs beside its harness.

What runs in the box never has the caller's terminal, only a new one of its own whose characters
are passed on: an agent can plant what is run in its home, and that must not be able to type into
the shell of whoever looks in.
"""

import fcntl
import os
import pwd
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from hyperhive.domain import confinement
from hyperhive.domain.confinement import BUBBLEWRAP, NIXOS_CONTAINER, PROCESS
from hyperhive.domain.errors import ConflictError, ForbiddenError, InvalidError, UnavailableError
from hyperhive.domain.instances import BoxSpec
from hyperhive.runtimes import environment, mounts, processes
from hyperhive.runtimes.bubblewrap import BubblewrapLauncher
from hyperhive.runtimes.closures import of_interpreter, of_program
from hyperhive.runtimes.limits import RlimitHolder
from hyperhive.runtimes.mounts import Arrangement
from hyperhive.runtimes.nixos_container import HARNESS, unit_of
from hyperhive.runtimes.starting import Start, file_of, identity
from hyperhive.runtimes.users import User, box_user

Opener = Callable[[BoxSpec, int], "subprocess.Popen[bytes]"]
"""Starts what a specification says, with a descriptor of its terminal, as leader of a session."""

BEAT_SECONDS: Final = 30.0
"""How often the caller is asked to say that the visit goes on."""
_LOOK_SECONDS: Final = 0.2
_AT_ONCE: Final = 65536
_TERMINAL: Final = ("TERM", "COLORTERM")
"""Variables that say what the caller's terminal can do."""
_OF_A_SERVICE: Final = frozenset(
    {"INVOCATION_ID", "JOURNAL_STREAM", "NOTIFY_SOCKET", "SYSTEMD_EXEC_PID", "WATCHDOG_PID"}
    | {"WATCHDOG_USEC"}
)
_NUMBER_ONE: Final = (
    "/bin/sh",
    "-c",
    f'HYPERHIVE_SOCKET={confinement.RUN}/agent.sock "$@"; exit $?',
    "box",
)
"""What reaps in the box; unlike for a harness, the program stays in the terminal's foreground."""


def visit(
    spec: BoxSpec,
    quiet: AbstractContextManager[None],
    beat: Callable[[], None],
    opener: Opener | None = None,
) -> int:
    """Run ``spec.argv`` in the box until it ends, and give its status as a shell would.

    It runs within ``quiet``; ``beat`` is called every `BEAT_SECONDS` meanwhile. Raises
    `InvalidError` without a terminal, `ForbiddenError` for who may not act as the box's user,
    `ConflictError` while another visit of this home lasts, and `UnavailableError` where the program
    or the box cannot be started.
    """
    if not (os.isatty(0) and os.isatty(1)):
        raise InvalidError("This needs a terminal.", "Run it by hand, with its output unpiped.")
    try:
        user = _user_of(spec)
        opener = opener or _opener(spec, user)
        environment.make_directories(spec, user)
        with _claimed(spec.paths.home(spec.name)), quiet, ExitStack() as stack:
            master, slave = os.openpty()
            stack.callback(os.close, master)
            try:
                _copy_size(master)
                if user is not None and user.dropped_to:
                    os.fchown(slave, user.uid, -1)
                child = opener(spec, slave)
            finally:
                os.close(slave)
            return _relayed(child, master, beat)
    except OSError as error:
        raise UnavailableError(
            f"{spec.argv[0]} cannot be run in a box of {spec.name}: {error}.",
            "Name another program after `--`, or see `hyperhive doctor`.",
        ) from error


class Plain:
    """Opens a box that is a plain process."""

    def __init__(self, user: User | None) -> None:
        self._user = user

    def __call__(self, spec: BoxSpec, terminal: int) -> "subprocess.Popen[bytes]":
        """Start it; see `Opener`."""
        variables = environment.environment_of(spec, os.environ)
        return subprocess.Popen(
            spec.argv,
            cwd=spec.paths.state(spec.name),
            env=variables | _of_the_terminal(),
            **_on(terminal, self._user),
        )


class Walled(BubblewrapLauncher):
    """Opens a box of bubblewrap."""

    def __call__(self, spec: BoxSpec, terminal: int) -> "subprocess.Popen[bytes]":
        """Make it and start what runs in it; see `Opener`."""
        search = os.environ.get("PATH", os.defpath)
        closure = self._closure
        for program in (*spec.confinement.programs, spec.argv[0]):
            closure += of_program(program, search)
        with ExitStack() as stack:
            made = mounts.arrange(spec, self._user, closure, stack)
            # It leads a session already, and must keep the terminal that this has.
            made.arguments.remove("--new-session")
            made.add("--die-with-parent", "--clearenv")
            marks = environment.marks_of(spec.name, spec.paths.socket(spec.name))
            variables = self._variables(spec, closure, search) | _of_the_terminal() | marks
            for name, value in variables.items():
                made.add("--setenv", name, value)
            start = _StartOnTerminal(self._program, self._user, self.holder, spec, terminal)
            return start.run(made).child


class Guest:
    """Opens a container of the host, which must run: the namespaces of its harness, as its user."""

    def __init__(self, user: User | None) -> None:
        self._user = user

    def __call__(self, spec: BoxSpec, terminal: int) -> "subprocess.Popen[bytes]":
        """Enter it and start what is to run there; see `Opener`."""
        harness = processes.first_of_unit(f"{unit_of(spec.name)}/", f"/{HARNESS}.service")
        if harness is None or self._user is None:
            raise UnavailableError(
                f"The container of {spec.name} does not run.", f"hyperhive start {spec.name}"
            )
        who = (f"--setuid={self._user.uid}", f"--setgid={self._user.gid}")
        # Of all its variables only those that systemd means for the harness itself are left out.
        kept = processes.environment_of(harness).items()
        variables = {name: value for name, value in kept if name not in _OF_A_SERVICE}
        return subprocess.Popen(
            [
                *(_of_the_host("setpriv"), "--no-new-privs"),
                *(_of_the_host("nsenter"), "--all", f"--target={harness}", "--wd", *who, "--"),
                # It is found where the container has its programs.
                *("/bin/sh", "-c", 'exec "$0" "$@"', *spec.argv),
            ],
            env=variables | _of_the_terminal(),
            **_on(terminal, None),
        )


class _StartOnTerminal(Start):
    """Starts a box as every box is started, checked before anything runs in it."""

    def _spawn(self, made: Arrangement, stack: ExitStack) -> "subprocess.Popen[bytes]":
        arguments = file_of(made.arguments, stack)
        return subprocess.Popen(
            [self._program, "--args", str(arguments), "--", *_NUMBER_ONE, *self._spec.argv],
            env=environment.marks_of(self._spec.name, self._spec.paths.socket(self._spec.name)),
            pass_fds=[arguments, *made.descriptors],
            **_on(self._log, self._user),
        )

    def _reason(self) -> str:
        return "it cannot be started there"


def _opener(spec: BoxSpec, user: User | None) -> Opener:
    if spec.runtime == PROCESS:
        return Plain(user)
    if spec.runtime == BUBBLEWRAP and user is not None:
        return Walled(user, of_interpreter(), RlimitHolder())
    if spec.runtime == NIXOS_CONTAINER:
        if os.geteuid() != 0:
            raise ForbiddenError(
                f"{spec.name} is a container, which only root may enter.", "Run this as root."
            )
        return Guest(user)
    raise InvalidError(f"A box of the kind {spec.runtime!r} cannot be visited.")


def _user_of(spec: BoxSpec) -> User | None:
    """Give whom the agent's box runs as: who owns its home. ``None`` is root, for plain boxes."""
    home = spec.paths.home(spec.name)
    owner, own = (home if home.exists() else spec.state_dir).stat().st_uid, os.geteuid()
    if own == 0:
        if owner == 0:
            return None if spec.runtime == PROCESS else box_user()
        try:
            return box_user(pwd.getpwuid(owner).pw_name)
        except KeyError:
            raise ForbiddenError(
                f"The box of {spec.name} belongs to the user {owner}, who has no name here."
            ) from None
    if own != owner:
        raise ForbiddenError(
            f"The box of {spec.name} belongs to another user.",
            f"Run this as root or as the user with the number {owner}.",
        )
    return box_user()


def _on(terminal: int, user: User | None) -> dict[str, Any]:
    """Give what makes a child lead a session on a terminal, as the box's user."""
    who = {} if user is None else identity(user)
    streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    return {
        **streams,
        **who,
        "start_new_session": True,
        "umask": environment.UMASK,
        "preexec_fn": _take_terminal,
    }


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _of_the_host(program: str) -> str:
    """Find a program here: the variables that it is run with are those of the container."""
    found = shutil.which(program)
    if found is None:
        raise UnavailableError(f"{program} is not in PATH.", "Install util-linux.")
    return found


def _of_the_terminal() -> dict[str, str]:
    return {name: os.environ[name] for name in _TERMINAL if name in os.environ}


@contextmanager
def _claimed(home: Path) -> Iterator[None]:
    """Keep a home to one visitor."""
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                f"Somebody else is working in {home}.", "Wait until they are done."
            ) from None
        yield
    finally:
        os.close(descriptor)


def _relayed(child: "subprocess.Popen[bytes]", master: int, beat: Callable[[], None]) -> int:
    """Pass characters on between this process's terminal and the child's until the child ends."""
    before = termios.tcgetattr(0)
    resized = signal.signal(signal.SIGWINCH, lambda *_: _copy_size(master))
    os.set_blocking(master, False)
    try:
        tty.setraw(0)
        _pass_on(child, master, beat)
    finally:
        termios.tcsetattr(0, termios.TCSAFLUSH, before)
        signal.signal(signal.SIGWINCH, resized)
        if child.poll() is None:
            child.kill()
        status = child.wait()
    return 128 - status if status < 0 else status


def _pass_on(child: "subprocess.Popen[bytes]", master: int, beat: Callable[[], None]) -> None:
    typed, reads, due = b"", [0, master], time.monotonic() + BEAT_SECONDS
    while True:
        ready, takes, _ = select.select(reads, [master] if typed else [], [], _LOOK_SECONDS)
        if master in ready:
            shown = _read(master)
            if not shown:
                return
            while shown:
                shown = shown[os.write(1, shown) :]
        elif child.poll() is not None:
            # What it left running may hold the terminal open for ever.
            return
        if 0 in ready:
            given = os.read(0, _AT_ONCE)
            typed += given
            if not given:
                reads.remove(0)
        if takes:
            typed = typed[os.write(master, typed) :]
        if time.monotonic() >= due:
            due = time.monotonic() + BEAT_SECONDS
            beat()


def _read(master: int) -> bytes:
    """Read what the child wrote; nothing once nobody has its terminal open."""
    try:
        return os.read(master, _AT_ONCE)
    except OSError:
        return b""


def _copy_size(master: int) -> None:
    """Make the child's terminal as large as this one."""
    size = fcntl.ioctl(1, termios.TIOCGWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
    fcntl.ioctl(master, termios.TIOCSWINSZ, size)

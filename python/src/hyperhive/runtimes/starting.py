"""The start of one bubblewrap box: it is mounted and waits, is checked and limited, and goes on.

bubblewrap's process number 1 waits, with everything mounted and before it starts anything, for a
byte from here. So nothing runs in a box that was not looked at, and a failure at any point leaves
no process.
"""

import json
import os
import select
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from hyperhive.domain import confinement
from hyperhive.domain.instances import BoxSpec
from hyperhive.runtimes import environment, processes
from hyperhive.runtimes.launching import Launched
from hyperhive.runtimes.limits import Holder
from hyperhive.runtimes.mounts import Arrangement
from hyperhive.runtimes.processes import Process
from hyperhive.runtimes.users import User

START_SECONDS: Final = 20.0
"""How long making a box may take."""

END_SECONDS: Final = 5.0
"""How long a box whose start failed may take to be gone."""

_POLL_SECONDS: Final = 0.002
_NUMBER_ONE: Final = (
    "/bin/sh",
    "-c",
    f'HYPERHIVE_SOCKET={confinement.RUN}/agent.sock "$@" & wait "$!"',
    "box",
)
"""What reaps in the box and ends with the harness: the kernel ends the rest then. bubblewrap's own
would go on for whatever the harness left. Its environment has the mark by which the host finds it,
the harness's has the socket's path in the box. The shell lets the harness ignore SIGINT."""
_NOT_STARTED: Final = (126, 127)
_SLOW: Final = f"bubblewrap took longer than {START_SECONDS:g} s"
_OF_THE_BUS: Final = ("DBUS_SESSION_BUS_ADDRESS", "PATH", "XDG_RUNTIME_DIR")
"""What systemd-run needs to find the user's manager; nothing of it reaches the box."""


class Start:
    """One start of ``spec``'s box by ``program``, bubblewrap; ``log`` gets all that is written."""

    def __init__(
        self,
        program: str,
        user: User,
        holder: Holder,
        spec: BoxSpec,
        log: int,
    ) -> None:
        self._program = program
        self._user = user
        self._holder = holder
        self._spec = spec
        self._log = log
        self._deadline = time.monotonic() + START_SECONDS

    def run(self, made: Arrangement) -> Launched:
        """Return when the harness runs, or has run and ended; otherwise raise `OSError`."""
        with ExitStack() as stack:
            told, tells = _pipe(stack)
            waits, goes = _pipe(stack)
            outcome = os.memfd_create("hyperhive-outcome")
            stack.callback(os.close, outcome)
            made.add("--info-fd", tells.fileno(), "--block-fd", waits.fileno())
            made.add("--json-status-fd", outcome)
            made.descriptors += [tells.fileno(), waits.fileno(), outcome]
            child = self._spawn(made, stack)
            init = 0
            try:
                tells.close()
                waits.close()
                init = self._number_one(told)
                made.verify(self._await_mounts(init, child))
                self._holder.limit(init, self._spec.confinement.limits, self._user)
                goes.write(b"!")
                return Launched(child, self._harness(init, child, outcome))
            except BaseException:
                # Number 1 first: it would go on as soon as nobody is left to hold it.
                if init:
                    processes.end_all(partial(_alive, init), END_SECONDS)
                child.kill()
                child.wait()
                raise

    def _spawn(self, made: Arrangement, stack: ExitStack) -> "subprocess.Popen[bytes]":
        arguments = file_of(made.arguments, stack)
        prefix = self._holder.prefix(self._spec.confinement.limits, self._user)
        marks = environment.marks_of(self._spec.name, self._spec.paths.socket(self._spec.name))
        bus = {name: os.environ[name] for name in _OF_THE_BUS if name in os.environ}
        return subprocess.Popen(
            [
                *prefix,
                self._program,
                "--args",
                str(arguments),
                "--",
                *_NUMBER_ONE,
                *self._spec.argv,
            ],
            env=(bus if prefix else {}) | marks,
            pass_fds=[arguments, *made.descriptors],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            umask=environment.UMASK,
            **({} if prefix else identity(self._user)),
        )

    def _number_one(self, told: BinaryIO) -> int:
        """Learn the host's id of the box's process 1."""
        said = b""
        while True:
            left = max(0.0, self._deadline - time.monotonic())
            if not select.select([told], [], [], left)[0]:
                raise TimeoutError(_SLOW)
            piece = os.read(told.fileno(), 4096)
            if not piece:
                break
            said += piece
        try:
            return int(json.loads(said)["child-pid"])
        except (ValueError, KeyError):
            raise OSError(self._reason()) from None

    def _await_mounts(self, init: int, child: "subprocess.Popen[bytes]") -> Path:
        """Wait until process 1 has left the host's root for its own, which is read-only by then.

        Making it read-only is the last that is mounted; before it, the root is the host's or one
        that can be written to.
        """
        root, host = Path(f"/proc/{init}/root"), Path("/").stat().st_dev
        while True:
            with suppress(FileNotFoundError, ProcessLookupError):
                is_read_only = os.statvfs(root).f_flag & os.ST_RDONLY
                if is_read_only and root.stat().st_dev != host:
                    return root
            if _ended(child) is not None:
                raise OSError(self._reason())
            self._pause()

    def _harness(self, init: int, child: "subprocess.Popen[bytes]", outcome: int) -> Process | None:
        """Wait until the harness is no longer a copy of number 1; ``None`` if it has ended."""
        while True:
            for pid in processes.children(init):
                with suppress(OSError):
                    if _command_of(pid) not in {b"", _command_of(init)}:
                        return processes.look_up(pid)
            if (ended := _ended(child)) is not None:
                if b"exit-code" not in os.pread(outcome, 4096, 0) or ended in _NOT_STARTED:
                    raise OSError(self._reason())
                return None
            self._pause()

    def _pause(self) -> None:
        if time.monotonic() >= self._deadline:
            raise TimeoutError(_SLOW)
        time.sleep(_POLL_SECONDS)

    def _reason(self) -> str:
        """Find what bubblewrap wrote last to the box's log."""
        said = environment.last_lines(self._spec.paths.log(self._spec.name), 1)
        return said[0] if said else "bubblewrap ended without a word"


def file_of(arguments: Sequence[str], stack: ExitStack) -> int:
    """Give a descriptor from which bubblewrap reads arguments, out of sight of the box."""
    descriptor = os.memfd_create("hyperhive-arguments")
    stack.callback(os.close, descriptor)
    os.write(descriptor, b"".join(os.fsencode(argument) + b"\0" for argument in arguments))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def identity(user: User) -> dict[str, Any]:
    """Give what makes a child of root that user's, and nothing for one who is it already."""
    if not user.dropped_to:
        return {}
    return {"user": user.uid, "group": user.gid, "extra_groups": []}


def _pipe(stack: ExitStack) -> tuple[BinaryIO, BinaryIO]:
    reads, writes = os.pipe()
    return (
        stack.enter_context(open(reads, "rb", buffering=0)),  # noqa: PTH123 - a descriptor
        stack.enter_context(open(writes, "wb", buffering=0)),  # noqa: PTH123
    )


def _ended(child: "subprocess.Popen[bytes]") -> int | None:
    """Give the status of a child that has ended; it is not reaped, so that its watch learns it."""
    found = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return None if found is None else found.si_status


def _alive(pid: int) -> list[Process]:
    found = processes.look_up(pid)
    return [] if found is None or found.is_zombie else [found]


def _command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()

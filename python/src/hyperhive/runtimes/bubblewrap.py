"""Boxes with walls, on any Linux that has bubblewrap, as an ordinary user.

Each box has namespaces of its own for users, mounts, processes, IPC, host name and, where the
kernel has them, cgroups; the paths inside are the same for every agent. It sees the host's programs
read-only, its own directories of the hive, and nothing else. It has no capability and cannot get
one. bubblewrap's first process leads a session of its own; within, a shell is number 1 and the
harness its child, and when the harness ends the kernel ends everything with it.

The network is the host's unless the declaration takes it away: what listens on this machine, the
operator's page included, can then be reached from the box, and only its login protects it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from hyperhive.domain.confinement import BUBBLEWRAP
from hyperhive.domain.errors import HiveError, UnavailableError
from hyperhive.domain.instances import BoxSpec
from hyperhive.domain.paths import HivePaths
from hyperhive.domain.ports import Clock
from hyperhive.runtimes import environment, mounts
from hyperhive.runtimes.closures import Closure, is_in_system, of_interpreter, of_program
from hyperhive.runtimes.launching import Launched
from hyperhive.runtimes.limits import Holder, MemoryGuard, RlimitHolder
from hyperhive.runtimes.local import LocalRuntime
from hyperhive.runtimes.records import BoxRecord
from hyperhive.runtimes.starting import Start, file_of, identity
from hyperhive.runtimes.users import User, box_user

_TRIAL_SECONDS: Final = 10.0
_INSTALL: Final = 'Install bubblewrap, or declare runtime = "process".'


class BubblewrapRuntime(LocalRuntime):
    """The port `Runtime` over bubblewrap.

    ``user`` is whom root drops to. ``operator`` is the address of the operator's page
    (``host:port``), for the probe to try. Raises `UnavailableError` where there is no bubblewrap
    or nobody to run boxes as; whether boxes can be made says `fault`.
    """

    def __init__(
        self,
        paths: HivePaths,
        clock: Clock,
        *,
        user: str | None = None,
        operator: str = "",
        closure: Closure | None = None,
        holder: Holder | None = None,
    ) -> None:
        launcher = BubblewrapLauncher(
            box_user(user),
            of_interpreter() if closure is None else closure,
            RlimitHolder() if holder is None else holder,
            operator=operator,
        )
        super().__init__(paths, clock, launcher)
        self._holder = launcher.holder
        self._guard = MemoryGuard(self._with_memory_limit, self._end_because, self._in_thread)

    @property
    def limits_kind(self) -> str:
        """Say in a word what holds a box to its limits on this machine; see `Holder.kind`."""
        return self._holder.kind

    @property
    def limits_held(self) -> Mapping[str, str]:
        """Say what holds a box's ``memory``, ``cpu`` and ``tasks`` on this machine."""
        return self._holder.held

    @classmethod
    def fault(cls, user: str | None = None) -> str | None:
        """Say why no box can be made on this machine, or ``None``; it makes one to find out."""
        try:
            BubblewrapLauncher(box_user(user), of_interpreter(), RlimitHolder()).try_out()
        except (HiveError, OSError) as error:
            return str(error)
        return None

    def close(self) -> None:
        """Let go of all boxes; they run on, without the watch over their memory."""
        self._guard.close()
        super().close()

    def _begin_guarding(self, record: BoxRecord) -> None:
        if record.memory_bytes is not None and not self._holder.holds_memory:
            self._guard.ensure_running()

    def _with_memory_limit(self) -> list[BoxRecord]:
        return [
            record
            for record, is_alive in self._survey()
            if is_alive and record.memory_bytes is not None
        ]


class BubblewrapLauncher:
    """Starts a harness within walls."""

    kind = BUBBLEWRAP
    isolation = "bubblewrap"

    def __init__(self, user: User, closure: Closure, holder: Holder, *, operator: str = "") -> None:
        self.holder = holder
        self._user = user
        self._closure = closure
        self._operator = operator
        self._program = _bubblewrap()

    def launch(self, spec: BoxSpec) -> Launched:
        """Make the box and start the harness in it; see `Launcher.launch`."""
        environment.make_directories(spec, self._user)
        search = os.environ.get("PATH", os.defpath)
        closure = self._closure
        for program in spec.confinement.programs:
            closure += of_program(program, search)
        with ExitStack() as stack:
            made = mounts.arrange(spec, self._user, closure, stack)
            made.add("--clearenv")
            marks = environment.marks_of(spec.name, spec.paths.socket(spec.name))
            for name, value in (self._variables(spec, closure, search) | marks).items():
                made.add("--setenv", name, value)
            log = environment.open_log(spec.paths.log(spec.name))
            stack.callback(os.close, log)
            return Start(self._program, self._user, self.holder, spec, log).run(made)

    def exit_status(self, status: int | None) -> int | None:
        """bubblewrap passes the harness's status on, a signal as 128 and its number."""
        return 128 - status if status is not None and 128 < status <= 192 else status

    def try_out(self, python: str = sys.executable) -> None:
        """Make a box without a hive and run a Python in it; raises as `launch` does."""
        with ExitStack() as stack:
            made = mounts.Arrangement(stack)
            mounts.show_system(made, self._user, "trial")
            mounts.show_programs(made, self._closure)
            made.add("--remount-ro", "/", "--chdir", "/", "--clearenv")
            arguments = file_of(made.arguments, stack)
            try:
                done = subprocess.run(
                    [self._program, "--args", str(arguments), "--", python, "-ISc", ""],
                    pass_fds=[arguments, *made.descriptors],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=_TRIAL_SECONDS,
                    check=False,
                    **identity(self._user),
                )
            except subprocess.TimeoutExpired:
                raise UnavailableError("A trial box did not end in time.") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise UnavailableError(
                f"bubblewrap cannot make a box for {self._user.name}: {said}.",
                "Allow user namespaces to ordinary users and let that user read this Python, or "
                'declare runtime = "process".',
            )

    def _variables(self, spec: BoxSpec, closure: Closure, search: str) -> dict[str, str]:
        seen = [
            entry
            for entry in search.split(os.pathsep)
            if is_in_system(Path(entry)) or Path(entry).is_relative_to("/run/current-system")
        ]
        path = os.pathsep.join(dict.fromkeys([*map(str, closure.search), *seen]))
        host = {"PATH": path or os.defpath}
        host |= {name: os.environ[name] for name in ("LANG", "TZ") if name in os.environ}
        seen_places = mounts.places(spec.name)
        return environment.environment_of(
            spec, host, places=seen_places, operator=self._operator
        ) | {"TMPDIR": "/tmp"}  # noqa: S108 - the box's own


def _bubblewrap() -> str:
    found = shutil.which("bwrap")
    if found is None:
        raise UnavailableError("bubblewrap (bwrap) is not installed.", _INSTALL)
    return found

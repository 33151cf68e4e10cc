"""Servers that start in a tenth of a second, so that one can be killed fifty times in a minute.

Nine tenths of a server's start is importing it, and to be killed while importing shows nothing. So
one process imports it once and forks each server from there. From the fork on, it is
``hyperhive serve`` and nothing else, and it is killed like any other process.

``python -m tests.faults.quick_server DECLARATION [up]`` reads ``start`` and ``reap PID`` from
standard input and answers each with a line: the new process's id, or the status of the one that
ended. With ``up`` each server also runs the agents; their boxes outlive it.
"""

import gc
import os
import pwd
import subprocess
import sys
import traceback
from pathlib import Path

from tests.faults.hives import HiveOfProcesses, is_alive


class QuickServer:
    """Starts and kills servers of one hive, one at a time."""

    def __init__(self, hive: HiveOfProcesses, *, with_agents: bool = False) -> None:
        self.pid = 0
        identity = hive.identity()
        user = identity.get("user")
        modes = ["up"] if with_agents else []
        with hive.output.open("ab") as output:
            self._starter = subprocess.Popen(
                [hive.player.python, "-m", "tests.faults.quick_server", str(hive.config), *modes],
                cwd=Path(__file__).resolve().parents[2],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                bufsize=0,
                env=identity.get("env"),
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
            )
        self._ask("ready")

    def start(self) -> None:
        """Start the next server."""
        self.pid = self._ask("start")

    def is_running(self) -> bool:
        """Whether the server runs."""
        return is_alive(self.pid)

    def signal(self, number: int) -> int:
        """Send it a signal that ends it, and give its status once it has ended."""
        os.kill(self.pid, number)
        return self._ask(f"reap {self.pid}")

    def close(self) -> None:
        """End the starter; its server must have ended."""
        assert self._starter.stdin is not None
        assert self._starter.stdout is not None
        self._starter.stdin.close()
        self._starter.wait()
        self._starter.stdout.close()

    def _ask(self, what: str) -> int:
        assert self._starter.stdin is not None
        assert self._starter.stdout is not None
        self._starter.stdin.write(f"{what}\n".encode())
        return int(self._starter.stdout.readline())


def main(declaration: Path, *, with_agents: bool) -> None:
    """Start servers on request until standard input ends."""
    from hyperhive import bootstrap

    serve = bootstrap.up if with_agents else bootstrap.serve

    gc.freeze()
    for line in iter(sys.stdin.readline, ""):
        verb, _, pid = line.strip().partition(" ")
        if verb == "ready":
            answer = 0
        elif verb == "start":
            answer = os.fork()
            if answer == 0:
                _serve(serve, declaration)
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(int(pid), 0)[1])
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _serve(serve: object, declaration: Path) -> None:
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        status = serve(declaration)  # type: ignore[operator]  # of bootstrap
    except BaseException:  # noqa: BLE001 - told to whoever reads the output
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(Path(sys.argv[1]), with_agents=sys.argv[2:] == ["up"])

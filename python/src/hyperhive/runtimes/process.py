"""Boxes that are plain processes: no isolation at all, on any Linux, as any user.

An agent can read and do whatever the user can who runs the server; its paths and its identity are
told to it by the environment, not enforced. What this runtime does guarantee is what every local
box has: each harness leads a session of its own, ends with everything it started, and is found
again by the next server.
"""

import os
import subprocess

from hyperhive.domain.confinement import PROCESS
from hyperhive.domain.instances import BoxSpec
from hyperhive.domain.paths import HivePaths
from hyperhive.domain.ports import Clock
from hyperhive.runtimes import environment
from hyperhive.runtimes.launching import Launched
from hyperhive.runtimes.local import LocalRuntime


class ProcessRuntime(LocalRuntime):
    """The port `Runtime` over plain processes of this machine.

    ``operator`` is the address of the operator's page (``host:port``), for the probe to try.
    """

    def __init__(self, paths: HivePaths, clock: Clock, *, operator: str = "") -> None:
        super().__init__(paths, clock, ProcessLauncher(operator))


class ProcessLauncher:
    """Starts the harness as it is."""

    kind = PROCESS
    isolation = "none"

    def __init__(self, operator: str = "") -> None:
        self._operator = operator

    def launch(self, spec: BoxSpec) -> Launched:
        """Start the harness in the agent's directories; see `Launcher.launch`."""
        environment.make_directories(spec)
        variables = environment.environment_of(spec, os.environ, operator=self._operator)
        log = environment.open_log(spec.paths.log(spec.name))
        try:
            child = subprocess.Popen(
                spec.argv,
                cwd=spec.paths.state(spec.name),
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=environment.UMASK,
            )
        finally:
            os.close(log)
        return Launched(child, None)

    def exit_status(self, status: int | None) -> int | None:
        """The child is the harness."""
        return status

"""A person at a terminal: what a program shows there, and what is typed."""

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.faults.hives import WAIT_SECONDS

HYPERHIVE = (sys.executable, "-P", "-m", "hyperhive.cli.main")


class Terminal:
    """A command on a pseudo-terminal of its own; every wait is bounded."""

    def __init__(self, command: Sequence[str], cwd: Path | None = None, **identity: Any) -> None:
        self._master, slave = os.openpty()
        self.name = os.ttyname(slave)
        self.shown = ""
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            **identity,
        )
        os.close(slave)

    def sees(self, text: str) -> None:
        """Wait until a text is shown."""
        deadline = time.monotonic() + WAIT_SECONDS
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self._master, 65536).decode(errors="replace")
                except OSError:
                    assert text in self.shown, self.shown

    def types(self, text: str) -> None:
        """Write a line."""
        os.write(self._master, f"{text}\r".encode())

    def status(self) -> int:
        """Wait for the end."""
        with contextlib.suppress(OSError):
            while select.select([self._master], [], [], WAIT_SECONDS)[0]:
                self.shown += os.read(self._master, 65536).decode(errors="replace")
        return self._process.wait(WAIT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

"""A command on a terminal of its own, as a person has it: what it shows and what is typed."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from types import TracebackType
from typing import Final, Self

SECONDS_MAX: Final = 60.0


class Terminal:
    """`hyperhive` on a pseudo-terminal; every wait is bounded and shows what there was to see."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._shown = ""
        self._seen = 0
        self.status: int | None = None

    def __enter__(self) -> Self:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hyperhive.cli.main", *self._arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "dumb", "COLUMNS": "100"},
            start_new_session=True,
        )
        os.close(theirs)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        """Type a text."""
        os.write(self._ours, text.encode())

    def until(self, text: str) -> str:
        """Wait until a text is shown that was not waited for before; give all up to it."""
        deadline = time.monotonic() + SECONDS_MAX
        while (found := self._shown.find(text, self._seen)) < 0:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} is not shown:\n{self._shown}"
            assert self._read(left), f"it ended before {text!r} was shown:\n{self._shown}"
        self._seen = found + len(text)
        return self._shown[: self._seen]

    def rest(self) -> str:
        """Wait for the end and give all that was shown."""
        deadline = time.monotonic() + SECONDS_MAX
        while self._read(deadline - time.monotonic()):
            assert time.monotonic() < deadline, f"it does not end:\n{self._shown}"
        self.status = self._process.wait(SECONDS_MAX)
        return self._shown

    def _read(self, seconds: float) -> bool:
        """Take in what is shown next; ``False`` at the end."""
        ready, _, _ = select.select([self._ours], [], [], max(0.0, seconds))
        if not ready:
            return True
        try:
            piece = os.read(self._ours, 65536)
        except OSError:
            # Linux says so when nobody has the other end open any more.
            return False
        self._shown += piece.decode(errors="replace")
        return bool(piece)

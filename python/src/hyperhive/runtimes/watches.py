"""Notices the end of a box's first process, whether this server started it or found it.

The kernel says so at once through a process descriptor; where it has none, looking twice a second
does. Of an own child the exit status is read without reaping it: as long as the zombie stays, its
id, which is also the id of its session, cannot be given to a stranger, and what the child left
in that session can be ended safely. Reap it afterwards.
"""

import asyncio
import os
import subprocess
from collections.abc import Callable
from typing import Final

from hyperhive.runtimes import processes
from hyperhive.runtimes.records import BoxRecord

_POLL_SECONDS: Final = 0.5


class Watch:
    """One box that is alive or has died before our eyes; `ended` is set then."""

    def __init__(
        self,
        record: BoxRecord,
        child: subprocess.Popen[bytes] | None,
        now: Callable[[], float],
        when_ended: Callable[[], None],
    ) -> None:
        self.record = record
        self.ended = asyncio.Event()
        self.ended_at: float | None = None
        self.exit_status: int | None = None
        self._now = now
        self._child = child
        self._when_ended = when_ended
        self._left: tuple[processes.Process, ...] = ()
        self._poller: asyncio.Task[None] | None = None
        self._handle: int | None = None
        try:
            self._handle = processes.open_handle(record.pid, record.kernel_start)
        except OSError:
            self._poller = asyncio.get_running_loop().create_task(self._poll())
            return
        if self._handle is None:
            self._note_end()
        else:
            asyncio.get_running_loop().add_reader(self._handle, self._note_end)

    @property
    def owns_session(self) -> bool:
        """Whether the session of the box's id is certainly still the box's."""
        if self._child is not None and self._child.returncode is None:
            return True
        return any(processes.is_alive(left.pid, left.kernel_start) for left in self._left)

    def close(self) -> None:
        """Stop watching; an own child that has ended is reaped, one that lives is let go."""
        self._let_go_of_handle()
        if self._poller is not None:
            self._poller.cancel()
        if self._child is not None and self._child.poll() is None:
            # It is meant to outlive this object, which would otherwise warn of it.
            self._child.returncode = 0

    def _note_end(self) -> None:
        self._let_go_of_handle()
        if self._child is None:
            self._left = tuple(processes.in_session(self.record.pid))
        else:
            self.exit_status = _status_of(self._child)
        self.ended_at = self._now()
        self.ended.set()
        self._when_ended()

    def _let_go_of_handle(self) -> None:
        if self._handle is not None:
            asyncio.get_running_loop().remove_reader(self._handle)
            os.close(self._handle)
            self._handle = None

    async def _poll(self) -> None:
        while processes.is_alive(self.record.pid, self.record.kernel_start):  # noqa: ASYNC110 - no event
            await asyncio.sleep(_POLL_SECONDS)
        self._note_end()


def _status_of(child: subprocess.Popen[bytes]) -> int | None:
    if child.returncode is not None:
        return child.returncode
    try:
        found = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

"""What differs from one kind of local box to another: how its first process comes to be.

All else (notes, watching, ending, finding again) is `local.LocalRuntime`'s, for every kind.
"""

import subprocess
from dataclasses import dataclass
from typing import Protocol

from hyperhive.domain.instances import BoxSpec
from hyperhive.runtimes.processes import Process


@dataclass(frozen=True, slots=True)
class Launched:
    """A box that was just started.

    ``child`` is the process whose end is the box's end, a child of this one and leader of a
    session of its own. ``harness`` is the box's own first process where that is another; ``None``
    where it has ended already.
    """

    child: "subprocess.Popen[bytes]"
    harness: Process | None


class Launcher(Protocol):
    """One way to start a box. Everything in it may block, and runs in a thread."""

    @property
    def kind(self) -> str:
        """Name the kind of box, as a declaration does."""
        ...

    @property
    def isolation(self) -> str:
        """Say in a word what keeps such a box from the rest of the host."""
        ...

    def launch(self, spec: BoxSpec) -> Launched:
        """Make the directories and start the box; return when its first process exists.

        Every process that can outlive a failure carries `environment.marks_of` in its environment.
        Raises `OSError` or `HiveError` with the reason.
        """
        ...

    def exit_status(self, status: int | None) -> int | None:
        """Turn the status of ``child`` into that of the box's own first process."""
        ...

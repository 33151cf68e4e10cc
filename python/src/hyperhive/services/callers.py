"""Whoever waits for an answer, and whether they are still there."""

from collections.abc import Callable


class Caller:
    """A client whose request is being answered; it can go away meanwhile.

    The surface that holds the connection calls `leave`; whoever works for the client looks at
    ``gone`` before handing anything over, and is told at once through `when_gone`.
    """

    def __init__(self) -> None:
        self.gone = False
        self._told: list[Callable[[], None]] = []

    def leave(self) -> None:
        """Note that nobody reads the answer any more."""
        self.gone = True
        for tell in self._told:
            tell()

    def when_gone(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called when the client goes, or at once if it has gone."""
        self._told.append(tell)
        if self.gone:
            tell()

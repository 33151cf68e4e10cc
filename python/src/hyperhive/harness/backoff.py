"""How long to wait before trying again: doubling, from a first pause to a longest one."""


class Backoff:
    """Pauses in seconds: ``first``, twice that, and so on, never more than ``most``.

    The defaults keep a restart of the server, which takes seconds, unnoticeable.
    """

    def __init__(self, first: float = 0.05, most: float = 1.0) -> None:
        self._first = first
        self._most = most
        self._next = first

    def pause(self) -> float:
        """Return the pause to make now; the following one is longer."""
        pause = self._next
        self._next = min(self._next * 2, self._most)
        return pause

    def reset(self) -> None:
        """Begin with the first pause again, after something went well."""
        self._next = self._first

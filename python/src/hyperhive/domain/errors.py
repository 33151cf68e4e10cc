"""Every refusal a hive can give, as one tree.

A class builds its own sentence; call sites pass facts. Each surface maps the tree once, by
``code`` and ``status``, and shows ``str(error)``, which always ends with what the caller can
do next.

    HiveError
    ├── InvalidError        the request is malformed
    ├── TooLargeError       a text is over its limit
    ├── UnauthorizedError   nobody is logged in
    ├── ForbiddenError      the caller may not do that, and which option says so
    ├── NotFoundError       no such thing, and which there are
    ├── ConflictError       the thing is in another state than the request needs
    │   ├── OvertakenError        and it never will be again
    │   ├── SessionUnknownError   a harness must say hello first
    │   └── TurnOverError         the turn has ended on the server
    ├── QuotaError          too much, and when there is room again
    │   └── QuotaUsedError      an agent has used what it is granted of one quota
    ├── NotOfferedError     this forge never does such a thing
    └── UnavailableError    the hive cannot do it just now; nothing was stored
        └── ForgeUnavailableError   the forge cannot; when to try again
"""

from collections.abc import Iterable
from typing import ClassVar


class HiveError(Exception):
    """A refusal with a reason (``detail``) and a way on (``remedy``).

    ``code`` is stable and machine-readable; ``status`` is the HTTP status that fits it.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, detail: str, remedy: str = "") -> None:
        self.detail = detail
        self.remedy = remedy
        super().__init__(f"{detail} {remedy}".strip())


class InvalidError(HiveError):
    """The request is malformed or out of range."""

    code = "invalid"
    status = 400


class TooLargeError(HiveError):
    """A text or request is larger than its limit (bytes), which ``option`` declares if any does."""

    code = "too_large"
    status = 413

    def __init__(self, what: str, size: int, limit: int, remedy: str, *, option: str = "") -> None:
        declared = f" ({option})" if option else ""
        super().__init__(f"The {what} has {size} bytes; the limit is {limit}{declared}.", remedy)
        self.size = size
        self.limit = limit


class UnauthorizedError(HiveError):
    """The operator's API was called by someone who is not logged in."""

    code = "unauthorized"
    status = 401


class ForbiddenError(HiveError):
    """The caller is known and may not do that."""

    code = "forbidden"
    status = 403


class NotFoundError(HiveError):
    """There is no such thing; ``known`` lists the names there are."""

    code = "not_found"
    status = 404

    def __init__(self, noun: str, name: object, known: Iterable[str] = ()) -> None:
        names = sorted(known)
        remedy = f"Known: {', '.join(names)}." if names else ""
        super().__init__(f"There is no {noun} {str(name)!r}.", remedy)
        self.noun = noun
        self.name = str(name)


class ConflictError(HiveError):
    """The thing exists, but is not in the state that the request needs."""

    code = "conflict"
    status = 409


class OvertakenError(ConflictError):
    """What was asked for can never be done as it was asked: something else has happened since."""


class SessionUnknownError(ConflictError):
    """The harness speaks for a session the server does not have (any more)."""

    code = "session_unknown"

    def __init__(self, session: str) -> None:
        super().__init__(f"Session {session!r} is not open here.", "Say hello first.")


class TurnOverError(ConflictError):
    """The turn has ended on the server; nothing can be added to it."""

    code = "turn_over"

    def __init__(self, turn: int) -> None:
        super().__init__(f"Turn {turn} is over.", "Stop what still runs for it and wait for work.")


class QuotaError(HiveError):
    """The caller has used what it is granted."""

    code = "quota"
    status = 429


class QuotaUsedError(QuotaError):
    """An agent has used up one of its quotas.

    ``frees_in_seconds`` is when it can go on, ``None`` when no time frees it.
    """

    def __init__(
        self, quota: str, used: float, limit: float, frees_in_seconds: float | None, remedy: str
    ) -> None:
        super().__init__(f"The quota {quota} is used up: {used:g} of {limit:g}.", remedy)
        self.quota = quota
        self.used = used
        self.limit = limit
        self.frees_in_seconds = frees_in_seconds


class NotOfferedError(HiveError):
    """What was asked is no part of what is there; asking again changes nothing."""

    code = "not_offered"
    status = 501


class UnavailableError(HiveError):
    """The hive cannot do it now; nothing was stored, and trying again later is right."""

    code = "unavailable"
    status = 503


class ForgeUnavailableError(UnavailableError):
    """The forge is down, slow or failing; ``retry_after_seconds`` is how long to leave it alone.

    What was asked of it may have been done all the same.
    """

    def __init__(self, detail: str, *, retry_after_seconds: float = 5.0) -> None:
        super().__init__(detail, "The hive tries again by itself.")
        self.retry_after_seconds = retry_after_seconds

"""How requests reach a forge: with time-outs, a budget, and refusals in the hive's own words.

A request that asks, or that may be done twice, is tried again a few times when the forge cannot be
reached, fails, or answers half; one that may not is tried again only when nothing was sent. No
answer is larger than `ANSWER_BYTES_MAX`, and none takes longer than the budget. What the forge
refuses is raised here, so that no call site looks at a status.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from requests import PreparedRequest, Response, exceptions
from requests.adapters import HTTPAdapter

from hyperhive.domain.errors import (
    ConflictError,
    ForbiddenError,
    ForgeUnavailableError,
    HiveError,
    InvalidError,
    NotFoundError,
    NotOfferedError,
    UnauthorizedError,
)

ANSWER_BYTES_MAX: Final = 16 << 20
BUDGET_SECONDS: Final = 30.0
CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 10.0
WAITS: Final = (0.1, 0.5, 2.0)
"""Seconds before a request is tried again."""
_REPEATABLE: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "PATCH"})
_FAILING: Final = frozenset({429, 500, 502, 503, 504})


class Transport(HTTPAdapter):
    """What a session sends its requests by."""

    def __init__(
        self,
        *,
        budget_seconds: float = BUDGET_SECONDS,
        read_seconds: float = READ_SECONDS,
        waits: tuple[float, ...] = WAITS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(pool_connections=2, pool_maxsize=16, max_retries=0)
        self._budget = budget_seconds
        self._read = read_seconds
        self._waits = waits
        self._sleep = sleep

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,  # noqa: ARG002, FBT001, FBT002 - the signature of requests
        timeout: Any = None,  # noqa: ARG002 - the budget decides
        verify: Any = True,  # noqa: FBT002 - the signature of requests
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        """Send a request, as often as it takes and may be; raises `HiveError`."""
        until = time.monotonic() + self._budget
        waits = list(self._waits)
        while True:
            failure, is_safe = self._attempt(request, until, verify, cert, proxies)
            if isinstance(failure, Response):
                return failure
            may_repeat = is_safe or request.method in _REPEATABLE
            wait = waits.pop(0) if waits and may_repeat else None
            if wait is None or time.monotonic() + wait >= until:
                raise failure
            self._sleep(wait)

    def _attempt(
        self, request: PreparedRequest, until: float, verify: Any, cert: Any, proxies: Any
    ) -> tuple[Response | ForgeUnavailableError, bool]:
        """Try once; with a failure, say whether surely nothing was done."""
        timeout = (CONNECT_SECONDS, self._read)
        try:
            response = super().send(
                request, stream=True, timeout=timeout, verify=verify, cert=cert, proxies=proxies
            )
        except exceptions.ConnectTimeout:
            return ForgeUnavailableError("The forge cannot be reached."), True
        except exceptions.Timeout:
            return ForgeUnavailableError("The forge does not answer in time."), False
        except exceptions.RequestException as error:
            refused = "refused" in str(error) or "resolve" in str(error)
            return ForgeUnavailableError("The forge cannot be reached."), refused
        try:
            body = _whole(response, until)
        except (exceptions.RequestException, OSError):
            return ForgeUnavailableError("The forge broke off in the middle of its answer."), False
        except TimeoutError:
            return ForgeUnavailableError("The forge is too slow."), False
        finally:
            response.close()
        response._content = body  # noqa: SLF001 - where requests keeps what was read
        response._content_consumed = True  # noqa: SLF001
        if response.status_code in _FAILING:
            after = _seconds(response.headers.get("retry-after"))
            said = f"The forge fails ({response.status_code})."
            failure = ForgeUnavailableError(said, retry_after_seconds=after)
            return failure, response.status_code in (429, 503)
        if response.status_code >= 300:
            raise refusal(response.status_code, body, request.path_url)
        return response, True


def refusal(status: int, body: bytes, path: str) -> HiveError:
    """Say what a forge refused, by what the caller can do."""
    said = _message(body) or f"The forge answered {status}."
    where = path.partition("?")[0].removeprefix("/api/v1")
    lowered = said.lower()
    if status == 401:
        return UnauthorizedError("The forge does not accept the token.", "Give it a valid one.")
    if "already exist" in lowered or "already in use" in lowered or "been used already" in lowered:
        return ConflictError(said, "Look at what is there.")
    if "still owns" in lowered or "still has" in lowered or "only owner" in lowered:
        return ConflictError(said, "Remove what it owns first.")
    if status == 403:
        return ForbiddenError(f"The forge does not allow that: {said}")
    if status == 404:
        return NotFoundError("such thing on the forge", where)
    if status in (405, 409, 423):
        return ConflictError(said, "Look at its present state, then decide anew.")
    if status in (400, 406, 413, 415, 422):
        return InvalidError(f"The forge refused a value: {said}")
    if status == 501:
        return NotOfferedError(said)
    return ForgeUnavailableError(f"The forge answered {status}, which was not expected.")


def _whole(response: Response, until: float) -> bytes:
    parts, size = [], 0
    for chunk in response.iter_content(64 * 1024):
        size += len(chunk)
        if time.monotonic() > until or size > ANSWER_BYTES_MAX:
            raise TimeoutError
        parts.append(chunk)
    announced = response.headers.get("content-length", "")
    encoded = response.headers.get("content-encoding")
    is_plain = announced.isdecimal() and encoded is None and response.request.method != "HEAD"
    if is_plain and size < int(announced):
        raise exceptions.ChunkedEncodingError("the answer is cut short")
    return b"".join(parts)


def _message(body: bytes) -> str:
    try:
        value = json.loads(body)
    except ValueError:
        return ""
    said = value.get("message") if isinstance(value, Mapping) else None
    return str(said)[:500] if said else ""


def _seconds(text: str | None) -> float:
    return min(float(text), 3600.0) if text and text.isdecimal() else 5.0

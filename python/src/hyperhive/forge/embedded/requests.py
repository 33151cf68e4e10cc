"""A request to the embedded forge and its answer, as the raw ASGI server has them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote

from hyperhive.domain.errors import InvalidError, NotFoundError, TooLargeError
from hyperhive.store import Row

BODY_MAX: Final = 1 << 20
PAGE: Final = 30
PAGE_MAX: Final = 50
NUMBER_MAX: Final = 2**62
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with; a list is paged where it is written."""

    body: Any = None
    status: int = 200
    media_type: str = "application/json"
    headers: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class Ask:
    """One request to the API, by the account that its token or password is of."""

    method: str
    path: str
    url: str
    account: Row | None
    scopes: frozenset[str]
    by_password: bool
    query: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def who(self) -> Row:
        """The account; routes that let anybody in do not ask."""
        assert self.account is not None
        return self.account

    def text(self, key: str, default: str = "", *, most: int = 255) -> str:
        """Give a text of the body."""
        value = self.given.get(key)
        if value is None:
            return default
        if not isinstance(value, str) or "\0" in value:
            raise InvalidError(f"{key} is not a text.")
        if len(value) > most:
            raise TooLargeError(key, len(value), most, "Shorten it.")
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Give a truth value of the body."""
        value = self.given.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise InvalidError(f"{key} is neither true nor false.")
        return value

    def whole(self, key: str) -> int | None:
        """Give a number of the body."""
        value = self.given.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > NUMBER_MAX:
            raise InvalidError(f"{key} is not a whole number.")
        return value

    def texts(self, key: str) -> list[str]:
        """Give a list of texts of the body."""
        value = self.given.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise InvalidError(f"{key} is not a list of texts.")
        if len(value) > 1000:
            raise InvalidError(f"{key} has more than 1000 entries.")
        return value

    def name(self, key: str, *, most: int = 100) -> str:
        """Give a name of the body: one that is a part of an address and nothing else."""
        value = self.text(key)
        if (
            not _NAME.fullmatch(value)
            or len(value) > most
            or value.lower().endswith((".git", ".wiki", ".lock", ".atom", ".rss"))
            or ".." in value
        ):
            raise InvalidError(
                f"{value[:60]!r} is no name.",
                f"{key} is 1 to {most} letters, digits, `.`, `_` and `-`, and begins and ends "
                "with a letter or digit.",
            )
        return value


def query_of(raw: bytes) -> dict[str, str]:
    """Read a query; of a key that comes more than once the last value counts."""
    try:
        found = parse_qs(raw.decode("ascii"), keep_blank_values=True, max_num_fields=50)
    except ValueError as error:
        raise InvalidError("The query cannot be read.") from error
    return {key: values[-1] for key, values in found.items()}


def body_of(raw: bytes) -> Mapping[str, Any]:
    """Read a body: an object, or nothing."""
    if not raw.strip():
        return {}
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidError("The body is not JSON.") from error
    if not isinstance(value, dict):
        raise InvalidError("The body is not an object.")
    if not _is_text(value):
        raise InvalidError("The body holds half a character.")
    return value


def number_of(what: str, text: str) -> int:
    """Read the number of something from an address; no other text names one."""
    if not (text.isascii() and text.isdecimal() and len(text) < 18):
        raise NotFoundError(what, text[:60])
    return int(text)


def _is_text(value: Any) -> bool:
    """Say whether all that JSON holds can be written: it can escape half of a surrogate pair."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def parts_of(path: str) -> list[str] | None:
    """Split the raw path, each part decoded; ``None`` for one that no name can be."""
    parts = [unquote(part) for part in path.split("/")]
    bad = any("\0" in part or part in (".", "..") for part in parts)
    return None if bad else parts


def paged(ask: Ask, rows: Sequence[Any]) -> tuple[Sequence[Any], list[tuple[str, str]]]:
    """Cut the page that was asked for, with the headers that tell of the others."""
    page, limit = _number(ask, "page", 1), _number(ask, "limit", PAGE)
    size = min(max(limit, 1), PAGE_MAX)
    page = max(page, 1)
    last = max(-(-len(rows) // size), 1)
    headers = [("x-total-count", str(len(rows)))]
    links = [
        (rel, number)
        for rel, number, is_there in (
            ("next", page + 1, page < last),
            ("last", last, page < last),
            ("first", 1, page > 1),
            ("prev", page - 1, page > 1),
        )
        if is_there
    ]
    if links:
        rest = "".join(
            f"&{quote(key)}={quote(value)}"
            for key, value in ask.query.items()
            if key not in ("page", "limit")
        )
        where = f"{ask.url}{quote(ask.path)}"
        text = ", ".join(
            f'<{where}?limit={size}&page={number}{rest}>; rel="{rel}"' for rel, number in links
        )
        headers.append(("link", text))
    return rows[(page - 1) * size : page * size], headers


def _number(ask: Ask, key: str, default: int) -> int:
    value = ask.query.get(key, "")
    return int(value) if value.isdecimal() and len(value) < 10 else default

"""The page's files as they are sent: read, named and compressed once.

A browser keeps them and asks each time whether they are still the same (``no-cache`` with an
``ETag``), so that a page never runs with modules of another version and seldom loads any. The
compressed form is another representation and has a tag of its own.
"""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from hyperhive.domain.errors import NotFoundError
from hyperhive.surfaces.dashboard import STATIC

_WORTH_IT: Final = 0.9
"""What hardly gets smaller is sent as it is."""


@dataclass(frozen=True, slots=True)
class Form:
    """One representation of a file: its bytes, what names them, and how they are coded."""

    body: bytes
    tag: str
    coding: str | None = None


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page."""

    media_type: str
    plain: Form
    zipped: Form | None


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered to a request for a file."""

    status: int
    body: bytes
    media_type: str
    headers: Mapping[str, str]


def reply(name: str, *, accepted: str, known: str) -> Reply:
    """Answer with a file, or that the client has it already.

    ``accepted`` and ``known`` are the request's ``Accept-Encoding`` and ``If-None-Match``. Raises
    `NotFoundError` for a name that is none of the page's files.
    """
    found = _assets().get(name)
    if found is None:
        raise NotFoundError("file", name[:200])
    form = found.zipped if found.zipped is not None and _takes_gzip(accepted) else found.plain
    headers = {"cache-control": "no-cache", "etag": form.tag, "vary": "accept-encoding"}
    if _matches(known, form.tag):
        return Reply(304, b"", found.media_type, headers)
    if form.coding is not None:
        headers["content-encoding"] = form.coding
    return Reply(200, form.body, found.media_type, headers)


@cache
def _assets() -> dict[str, Asset]:
    files = [path for path in STATIC.rglob("*.*") if path.is_file()]
    return {
        path.relative_to(STATIC).as_posix(): _asset(path.name, path.read_bytes()) for path in files
    }


def _asset(name: str, body: bytes) -> Asset:
    digest = hashlib.sha256(body).hexdigest()[:32]
    smaller = gzip.compress(body, mtime=0)
    is_worth_it = len(smaller) < _WORTH_IT * len(body)
    return Asset(
        mimetypes.guess_type(name)[0] or "application/octet-stream",
        Form(body, f'"{digest}"'),
        Form(smaller, f'"{digest}-gzip"', "gzip") if is_worth_it else None,
    )


def _takes_gzip(accepted: str) -> bool:
    """Whether an ``Accept-Encoding`` allows gzip: by its name, or else by ``*``."""
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        coding, _, parameter = (piece.strip() for piece in part.partition(";"))
        name, _, value = parameter.partition("=")
        try:
            weights[coding] = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            weights[coding] = 0.0
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _matches(known: str, tag: str) -> bool:
    """Whether an ``If-None-Match`` names a tag; weak and strong count alike in it."""
    tags = [each.strip().removeprefix("W/") for each in known.split(",")]
    return known.strip() == "*" or tag in tags

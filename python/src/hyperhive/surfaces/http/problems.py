"""Errors as problem details: every refusal says what happened and what to do instead."""

from http import HTTPStatus
from typing import Any, Final

from hyperhive.domain.errors import HiveError

MEDIA_TYPE = "application/problem+json"

_REMEDIES: Final = {
    "invalid": "Compare the request with the API's document, /api/openapi.json.",
    "too_large": "Send less at once.",
    "unauthorized": "Log in at /login, or send the operator's secret as a bearer token.",
    "forbidden": "Use the hive's own page, or the hyperhive command on its host.",
    "not_found": "See /api/openapi.json for what there is.",
    "method_not_allowed": "See /api/openapi.json for the methods of this address.",
    "conflict": "Look at its present state, then decide anew.",
    "quota": "Try again later.",
    "unavailable": "Try again in a moment.",
    "internal": "Try again; if it stays so, read the server's log.",
}
"""The way on where whoever refuses names none, by code."""


def problem(status: int, detail: str, *, code: str, remedy: str = "") -> dict[str, Any]:
    """Give the body of an error; without a remedy, it is the usual one of its code."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "remedy": remedy or _REMEDIES.get(code, ""),
    }


def problem_of(error: HiveError) -> dict[str, Any]:
    """Give the body that tells of a domain error."""
    return problem(error.status, error.detail, code=error.code, remedy=error.remedy)

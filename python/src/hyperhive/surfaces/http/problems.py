"""Errors as problem details: every refusal says what happened and what to do instead."""

from http import HTTPStatus
from typing import Any

from hyperhive.domain.errors import HiveError

MEDIA_TYPE = "application/problem+json"


def problem(status: int, detail: str, *, code: str, remedy: str = "") -> dict[str, Any]:
    """Give the body of an error."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "remedy": remedy,
    }


def problem_of(error: HiveError) -> dict[str, Any]:
    """Give the body that tells of a domain error."""
    return problem(error.status, error.detail, code=error.code, remedy=error.remedy)

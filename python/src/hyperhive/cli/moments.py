"""Times as a person gives them on the command line."""

import re
import time
from datetime import datetime
from typing import Final

import click

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SECONDS: Final = re.compile(r"\d+(?:\.\d+)?")
_FROM_NOW: Final = re.compile(r"([+-])(\d+(?:\.\d+)?)([smhd])")


def moment(value: str) -> float:
    """Read a time, in seconds since the epoch; what is none is refused with what would be one.

    A time is an ISO 8601 date (local unless it says otherwise), a distance from now such as
    ``+2h`` or ``-1d``, or seconds since the epoch.
    """
    if found := _FROM_NOW.fullmatch(value):
        sign, count, unit = found.groups()
        return time.time() + float(f"{sign}{count}") * _UNITS[unit]
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError):
        said = f"{value!r} is no time; give 2026-11-28T09:00, +2h, -1d or seconds."
        raise click.BadParameter(said) from None

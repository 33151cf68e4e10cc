"""Times as they are given on the command line."""

import time
from datetime import UTC, datetime

import click
import pytest

from hyperhive.cli.moments import moment

AT = datetime(2026, 11, 28, 9, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "given", ["2026-11-28T09:00+00:00", "2026-11-28 09:00:00Z", str(AT), str(int(AT))]
)
def test_a_date_and_seconds_are_times(given: str) -> None:
    assert moment(given) == AT


@pytest.mark.parametrize(
    ("given", "hours"), [("+2h", 2), ("-1d", -24), ("+90m", 1.5), ("+36s", 0.01)]
)
def test_a_distance_is_counted_from_now(given: str, hours: float) -> None:
    before = time.time()
    found = moment(given)
    assert before <= found - hours * 3600 <= time.time()


@pytest.mark.parametrize("given", ["", "soon", "+2", "2 h", "2026-13-01", "tomorrow"])
def test_what_is_no_time_is_refused_with_what_would_be_one(given: str) -> None:
    with pytest.raises(click.BadParameter, match=r"\+2h, -1d"):
        moment(given)

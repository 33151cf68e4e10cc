"""When a box that crashed may start again."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperhive.domain.backoff import (
    RestartRules,
    delay_seconds,
    is_crash_loop,
    is_healthy_run,
    wait_seconds,
)

FAR_APART = 1000.0


@pytest.mark.parametrize(
    ("crashes", "seconds"),
    [(0, 0), (1, 5), (2, 10), (3, 20), (7, 320), (8, 600), (9, 600), (10_000, 600)],
)
def test_each_crash_doubles_the_delay_up_to_ten_minutes(crashes: int, seconds: float) -> None:
    assert delay_seconds(crashes) == seconds


def test_a_box_that_never_crashed_starts_at_once() -> None:
    assert wait_seconds((), now=100.0) == 0


def test_a_start_waits_for_what_is_left_of_the_delay() -> None:
    assert wait_seconds((100.0,), now=102.0) == 3.0


def test_a_start_is_due_when_the_delay_is_over() -> None:
    assert wait_seconds((100.0,), now=105.0) == 0


def test_five_crashes_in_fifteen_minutes_are_a_crash_loop() -> None:
    assert is_crash_loop((0.0, 200.0, 400.0, 600.0, 900.0))


def test_five_crashes_in_more_than_fifteen_minutes_are_none() -> None:
    assert not is_crash_loop((0.0, 200.0, 400.0, 600.0, 900.1))


def test_four_crashes_at_once_are_no_crash_loop() -> None:
    assert not is_crash_loop((1.0, 1.0, 1.0, 1.0))


def test_only_the_latest_crashes_make_a_crash_loop() -> None:
    quick = (0.0, 1.0, 2.0, 3.0)
    slow = (FAR_APART, 2 * FAR_APART, 3 * FAR_APART, 4 * FAR_APART)
    assert not is_crash_loop(quick + slow)


def test_a_crash_loop_does_not_heal_by_waiting() -> None:
    assert wait_seconds((1.0, 2.0, 3.0, 4.0, 5.0), now=1e9) == math.inf


def test_nobody_waits_for_a_crash_that_a_clock_set_back_has_put_in_the_future() -> None:
    assert wait_seconds((5000.0,), now=1000.0) == 0


def test_a_clock_set_back_does_not_end_a_crash_loop() -> None:
    assert wait_seconds((5001.0, 5002.0, 5003.0, 5004.0, 5005.0), now=1000.0) == math.inf


def test_a_limit_of_one_crash_means_that_nothing_is_started_again() -> None:
    assert wait_seconds((1.0,), now=1e9, rules=RestartRules(loop_crashes=1)) == math.inf


def test_a_run_of_ten_minutes_is_healthy() -> None:
    assert is_healthy_run(100.0, 700.0)


def test_a_shorter_run_is_not() -> None:
    assert not is_healthy_run(100.0, 699.9)


@given(
    gaps=st.lists(st.floats(0, 5000), min_size=1, max_size=30),
    later=st.floats(0, 5000),
)
def test_crashes_not_worth_keeping_change_no_answer(gaps: list[float], later: float) -> None:
    rules = RestartRules()
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    kept = times[-rules.crashes_worth_keeping :]
    now = times[-1] + later
    assert wait_seconds(kept, now, rules) == wait_seconds(times, now, rules)


@given(
    first=st.floats(0.001, 86_400), longest=st.floats(0.001, 86_400), crashes=st.integers(1, 100)
)
def test_a_delay_never_exceeds_its_longest(first: float, longest: float, crashes: int) -> None:
    rules = RestartRules(first_delay_seconds=first, longest_delay_seconds=longest)
    assert delay_seconds(crashes, rules) <= delay_seconds(crashes + 1, rules) <= longest

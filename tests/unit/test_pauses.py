"""Pauses: each cause its own, ended only by what set it."""

from hyperhive.domain.pauses import (
    Cause,
    Pause,
    next_end,
    read,
    standing,
    with_pause,
    without,
)


def a_pause(cause: Cause, until: float | None = None) -> Pause:
    return Pause(cause, "why", since=0.0, until=until)


def test_resuming_one_cause_leaves_the_others() -> None:
    pauses = (a_pause(Cause.OPERATOR), a_pause(Cause.RATE_LIMIT, 50))

    assert without(pauses, Cause.OPERATOR) == (a_pause(Cause.RATE_LIMIT, 50),)


def test_a_second_pause_of_a_cause_replaces_the_first() -> None:
    assert with_pause((a_pause(Cause.SPEND, 10),), a_pause(Cause.SPEND, 20)) == (
        a_pause(Cause.SPEND, 20),
    )


def test_a_pause_with_an_end_ends_by_itself() -> None:
    assert standing((a_pause(Cause.RATE_LIMIT, 50),), now=50) == ()


def test_the_next_turn_may_start_when_the_last_of_the_timed_pauses_is_over() -> None:
    assert next_end((a_pause(Cause.RATE_LIMIT, 50), a_pause(Cause.SPEND, 90)), now=1) == 90


def test_no_time_is_named_where_somebody_has_to_resume() -> None:
    assert next_end((a_pause(Cause.RATE_LIMIT, 50), a_pause(Cause.OPERATOR)), now=1) is None


def test_what_was_stored_reads_back() -> None:
    pauses = (a_pause(Cause.LOGIN), a_pause(Cause.DISK, 3))

    assert read([pause.as_json() for pause in pauses]) == pauses

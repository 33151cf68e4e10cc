"""The rules of a message's life, without a store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperhive.domain import messages as rules
from hyperhive.domain.errors import InvalidError, TooLargeError
from hyperhive.domain.messages import MessageState, fate_of_released, is_due
from hyperhive.domain.turns import COUNTED, TurnOutcome
from tests.promises import promise

NOW = 1_700_000_000.0


@promise("M7")
def test_the_waits_between_deliveries_are_none_30_s_2_min_and_10_min() -> None:
    waits = []
    for attempts in range(4):
        fate = fate_of_released(attempts, TurnOutcome.FAILED, NOW)
        assert fate.attempts == attempts + 1
        waits.append(max(fate.not_before - NOW, 0.0))

    assert waits == [0.0, 30.0, 120.0, 600.0]


@promise("M9")
def test_the_fifth_failed_attempt_is_the_last() -> None:
    fate = fate_of_released(4, TurnOutcome.TIMED_OUT, NOW)

    assert (fate.state, fate.attempts, fate.reason) == (MessageState.DEAD, 5, "timed_out")


@promise("M8")
@pytest.mark.parametrize("outcome", sorted(TurnOutcome))
def test_only_a_failure_a_limit_and_a_death_count(outcome: TurnOutcome) -> None:
    fate = fate_of_released(4, outcome, NOW)

    counts = outcome in {TurnOutcome.FAILED, TurnOutcome.TIMED_OUT, TurnOutcome.DIED}
    assert fate.attempts == (5 if counts else 4)
    assert fate.state is (MessageState.DEAD if counts else MessageState.QUEUED)
    assert (outcome in COUNTED) == counts
    assert counts or is_due(fate.not_before, NOW)


@given(
    outcome=st.sampled_from(TurnOutcome),
    attempts=st.integers(0, rules.ATTEMPTS_MAX - 1),
    now=st.floats(0, 4e9),
    later=st.floats(0, 4e9),
)
def test_nothing_waits_longer_than_the_longest_wait_whatever_the_clock_does(
    outcome: TurnOutcome, attempts: int, now: float, later: float
) -> None:
    fate = fate_of_released(attempts, outcome, now)

    waits = 0.0
    while not is_due(fate.not_before, later + waits):
        waits += 30.0
    assert waits <= rules.REDELIVERY_SECONDS[-1] + 30.0


@pytest.mark.parametrize("body", ["", " \n\t", "x" * (16 * 1024 + 1), "é" * 8193, "a\ud800b"])
def test_a_body_that_cannot_be_sent_is_refused_with_a_remedy(body: str) -> None:
    with pytest.raises((InvalidError, TooLargeError)) as refused:
        rules.check_body(body)

    assert refused.value.remedy


@promise("M11")
def test_a_body_over_the_limit_is_told_to_become_a_file() -> None:
    said = r"16385 bytes; the limit is 16384 \(quotas\.messageBytes\)\. Put the text in a"
    with pytest.raises(TooLargeError, match=said):
        rules.check_body("x" * 16385)


@pytest.mark.parametrize("body", ["x", "x" * 16384, "é" * 8192, "\U0001f41d" * 4096])
def test_a_body_up_to_the_limit_is_taken(body: str) -> None:
    rules.check_body(body)


@pytest.mark.parametrize("key", ["", "k" * 129])
def test_a_key_of_another_length_is_refused(key: str) -> None:
    with pytest.raises(InvalidError):
        rules.check_key(key)


def test_requests_that_differ_have_different_fingerprints() -> None:
    asked = [
        ("alice", "b", None),
        ("alice", "b", 1),
        ("alice", "b1", None),
        ("aliceb", "", None),
        ("alice", "None", None),
    ]

    assert len({rules.fingerprint(*parts) for parts in asked}) == len(asked)


def test_a_preview_shows_a_short_body_whole_and_a_long_one_cut() -> None:
    assert rules.preview("x" * 280) == "x" * 280
    assert rules.preview("x" * 281) == "x" * 279 + "…"


@pytest.mark.parametrize(
    ("broadcast", "redelivered", "hint"),
    [
        (False, False, None),
        (True, False, rules.BROADCAST_HINT),
        (False, True, rules.REDELIVERY_HINT),
        (True, True, f"{rules.BROADCAST_HINT}; {rules.REDELIVERY_HINT}"),
    ],
)
def test_the_hint_says_what_a_receiver_should_bear_in_mind(
    broadcast: bool, redelivered: bool, hint: str | None
) -> None:
    assert rules.hint(broadcast=broadcast, redelivered=redelivered) == hint


@pytest.mark.parametrize("outcome", [TurnOutcome.UNCONFIRMED, TurnOutcome.EXPIRED])
def test_from_the_third_unanswered_delivery_on_each_is_an_attempt(outcome: TurnOutcome) -> None:
    fates = [rules.fate_of_released(0, outcome, NOW, unanswered=n) for n in range(4)]

    assert [fate.attempts for fate in fates] == [0, 0, 1, 1]
    assert rules.fate_of_released(4, outcome, NOW, unanswered=9).state is MessageState.DEAD


@pytest.mark.parametrize("outcome", [TurnOutcome.CANCELLED, TurnOutcome.RATE_LIMITED])
def test_what_is_nobodys_silence_is_never_an_attempt(outcome: TurnOutcome) -> None:
    assert rules.fate_of_released(0, outcome, NOW, unanswered=9).attempts == 0

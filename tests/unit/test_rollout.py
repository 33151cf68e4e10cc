"""The order of a rollout: the manager first, told before anyone else starts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperhive.domain.agents import AgentState
from hyperhive.domain.rollout import (
    Announce,
    Back,
    Cut,
    Digest,
    Phase,
    Replace,
    Rollout,
    RolloutRules,
    Seen,
    Step,
    advance,
    begin,
)

RULES = RolloutRules(drain_seconds=60, ready_seconds=90, at_once=4)
NAMES = ("alice", "bob", "carol", "dave", "erin", "frank", "queen")


def a_rollout(names: tuple[str, ...] = NAMES, now: float = 0.0) -> Rollout:
    return begin(1, "a rebuild", names, "queen", now, RULES)


def at_rest(names: tuple[str, ...] = NAMES) -> dict[str, Seen]:
    return {name: Seen(AgentState.READY, f"{name}-old") for name in names}


def renewed(seen: dict[str, Seen], *names: str) -> dict[str, Seen]:
    return seen | {name: Seen(AgentState.READY, f"{name}-new") for name in names}


def played(rollout: Rollout, agents: dict[str, Seen], now: float) -> tuple[Rollout, list[Step]]:
    """Advance until nothing more is to be done at this moment."""
    done: list[Step] = []
    while True:
        before = rollout
        rollout, steps = advance(rollout, agents, now, RULES)
        done += steps
        if rollout == before:
            return rollout, done
        for step in steps:
            if isinstance(step, Cut):
                agents = agents | {step.name: replace(agents[step.name], turn=None)}


def test_the_manager_is_restarted_before_anyone_else() -> None:
    _, steps = played(a_rollout(), at_rest(), now=1)

    assert steps == [Replace("queen")]


@pytest.mark.parametrize("state", [AgentState.NEEDS_LOGIN, AgentState.RATE_LIMITED])
def test_who_may_not_work_for_want_of_a_login_or_a_rate_is_back_all_the_same(
    state: AgentState,
) -> None:
    rollout, _ = played(a_rollout(("queen",)), at_rest(("queen",)), now=1)
    _, steps = played(rollout, {"queen": Seen(state, "queen-new")}, now=2)

    assert Back("queen") in steps


def test_the_others_start_after_the_announcement_to_a_ready_manager() -> None:
    rollout, _ = played(a_rollout(), at_rest(), now=1)

    _, steps = played(rollout, renewed(at_rest(), "queen"), now=2)

    assert steps[:2] == [Back("queen"), Announce()]
    assert all(isinstance(step, Replace) for step in steps[2:])


def test_no_more_than_four_are_restarted_at_once() -> None:
    rollout, _ = played(a_rollout(), at_rest(), now=1)

    rollout, steps = played(rollout, renewed(at_rest(), "queen"), now=2)

    assert [step.name for step in steps if isinstance(step, Replace)] == [
        "alice", "bob", "carol", "dave",
    ]  # fmt: skip
    _, steps = played(rollout, renewed(at_rest(), "queen", "bob"), now=3)
    assert steps == [Back("bob"), Replace("erin")]


def test_a_running_turn_may_finish_until_the_time_is_up_and_is_then_cut() -> None:
    agents = at_rest() | {"bob": Seen(AgentState.BUSY, "bob-old", turn=7)}
    rollout, steps = played(a_rollout(), agents, now=59)
    assert steps == []

    rollout, steps = played(rollout, agents, now=60)

    assert steps == [Cut("bob", 7), Replace("queen")]
    assert rollout.cut == ("bob",)


def test_a_manager_that_does_not_become_ready_is_reported_and_the_others_start() -> None:
    rollout, _ = played(a_rollout(), at_rest(), now=0)

    rollout, steps = played(rollout, at_rest(), now=90)

    assert isinstance(steps[0], Back)
    assert "not ready in time" in steps[0].failure
    assert steps[1] == Announce()
    assert "queen" in rollout.failed


@pytest.mark.parametrize("state", [AgentState.STOPPED, AgentState.CRASHED])
def test_nobody_waits_for_an_agent_that_only_the_operator_can_start(state: AgentState) -> None:
    rollout, _ = played(a_rollout(("queen", "alice")), at_rest(), now=0)
    agents = renewed(at_rest(), "queen")
    rollout, _ = played(rollout, agents, now=1)

    rollout, steps = played(rollout, agents | {"alice": Seen(state, None)}, now=2)

    assert rollout.phase is Phase.FINISHED
    assert state.value in rollout.failed["alice"]
    assert steps[-1] == Digest()


def test_a_rollout_without_the_manager_tells_it_and_leaves_it_alone() -> None:
    rollout, steps = played(a_rollout(("alice",)), at_rest(), now=1)

    assert steps == [Announce(), Replace("alice")]
    _, steps = played(rollout, renewed(at_rest(), "alice"), now=2)
    assert steps == [Back("alice"), Digest()]


def test_the_digest_comes_once_and_last() -> None:
    rollout, _ = played(a_rollout(("queen", "alice")), at_rest(), now=1)
    agents = renewed(at_rest(), "queen")
    rollout, _ = played(rollout, agents, now=2)

    rollout, steps = played(rollout, renewed(agents, "alice"), now=3)

    assert steps == [Back("alice"), Digest()]
    assert rollout.phase is Phase.FINISHED
    assert advance(rollout, agents, 4, RULES) == (rollout, ())


@given(
    st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
    st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 40)), max_size=60),
)
def test_every_rollout_finishes_with_each_agent_restarted_or_given_up(
    names: list[str], moves: list[tuple[str, int]]
) -> None:
    rollout, agents, now = a_rollout(tuple(names)), at_rest(), 0.0
    for name, pause in [*moves, *[(name, 95) for name in NAMES]]:
        rollout, _ = played(rollout, agents, now)
        now += pause
        if name in rollout.going:
            agents = renewed(agents, name)
        assert len(rollout.going) <= RULES.at_once
    while rollout.phase is not Phase.FINISHED:
        now += 100
        rollout, _ = played(rollout, agents, now)

    assert sorted([*rollout.restarted, *rollout.failed]) == sorted(names)

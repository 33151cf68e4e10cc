"""What separates the declared hive from the observed one."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hyperhive.domain.actors import Role
from hyperhive.domain.agents import AgentState
from hyperhive.domain.backoff import RestartRules, wait_seconds
from hyperhive.domain.instances import BoxSpec, Crash, Instance, Phase, Recorded, Replacement
from hyperhive.domain.plan import (
    Action,
    Restart,
    Start,
    Stop,
    lost,
    next_due_seconds,
    plan,
    standings,
)

NOW = 10_000.0


def a_spec(name: str = "alice", role: Role = Role.WORKER, *, argument: str = "run") -> BoxSpec:
    return BoxSpec(name, role, ("harness", argument), Path("/state"), Path("/run"))


def an_instance(spec: BoxSpec, phase: Phase = Phase.RUNNING, incarnation: str = "i1") -> Instance:
    return Instance(spec.name, phase, incarnation, spec.digest, started_at=NOW - 60)


def crashes(*times: float) -> tuple[Crash, ...]:
    return tuple(Crash(at, f"c{n}", "it exited with status 1") for n, at in enumerate(times))


def named(actions: tuple[Action, ...]) -> list[tuple[type[Action], str]]:
    return [(type(action), action.name) for action in actions]


def plan_of(
    spec: BoxSpec | None, recorded: Recorded | None, instance: Instance | None
) -> list[tuple[type[Action], str]]:
    declared = {spec.name: spec} if spec else {}
    memory = {"alice": recorded} if recorded else {}
    observed = {instance.name: instance} if instance else {}
    return named(plan(declared, memory, observed, now=NOW))


def test_a_declared_agent_that_is_not_there_is_started() -> None:
    assert plan_of(a_spec(), None, None) == [(Start, "alice")]


def test_an_agent_that_runs_as_declared_is_left_alone() -> None:
    assert plan_of(a_spec(), None, an_instance(a_spec())) == []


def test_an_agent_that_is_no_longer_declared_is_stopped() -> None:
    assert plan_of(None, None, an_instance(a_spec())) == [(Stop, "alice")]


def test_an_agent_that_the_operator_holds_is_stopped() -> None:
    assert plan_of(a_spec(), Recorded(held=True), an_instance(a_spec())) == [(Stop, "alice")]


def test_an_agent_that_the_operator_holds_is_not_started() -> None:
    assert plan_of(a_spec(), Recorded(held=True), None) == []


def test_an_agent_whose_declaration_changed_is_restarted() -> None:
    old = an_instance(a_spec(argument="old"))
    assert plan_of(a_spec(argument="new"), None, old) == [(Restart, "alice")]


def test_other_rules_for_restarts_restart_nothing() -> None:
    changed = replace(a_spec(), restart=RestartRules(first_delay_seconds=1))
    assert plan_of(changed, None, an_instance(a_spec())) == []


def test_a_restart_that_was_asked_for_is_named_so_even_if_the_declaration_changed_too() -> None:
    spec, old = a_spec(argument="new"), an_instance(a_spec(argument="old"))
    wish = Recorded(replace=Replacement("i1", "asked for"))
    [action] = plan({"alice": spec}, {"alice": wish}, {"alice": old}, now=NOW)
    assert action.reason == "asked for"


def test_the_incarnation_that_is_to_be_replaced_is_restarted() -> None:
    wish = Recorded(replace=Replacement("i1", "asked for"))
    assert plan_of(a_spec(), wish, an_instance(a_spec())) == [(Restart, "alice")]


def test_a_box_that_runs_and_has_crashed_is_ended_whatever_else_is_wished() -> None:
    crash = Crash(NOW, "i1", "it had stalled")
    for wish in (None, Replacement("i1", "asked for")):
        memory = Recorded(crashes=(crash,), replace=wish)
        [action] = plan(
            {"alice": a_spec()}, {"alice": memory}, {"alice": an_instance(a_spec())}, now=NOW
        )
        assert action == Stop("alice", "it had stalled")


def test_a_later_incarnation_is_not_restarted_for_an_old_wish() -> None:
    wish = Recorded(replace=Replacement("i0", "asked for"))
    assert plan_of(a_spec(), wish, an_instance(a_spec())) == []


def test_what_a_crashed_agent_left_is_cleared_away_while_it_backs_off() -> None:
    failed = an_instance(a_spec(), Phase.FAILED)
    assert plan_of(a_spec(), Recorded(crashes=crashes(NOW - 1)), failed) == [(Stop, "alice")]


def test_an_agent_is_not_started_while_it_backs_off() -> None:
    assert plan_of(a_spec(), Recorded(crashes=crashes(NOW - 4.9)), None) == []


def test_an_agent_is_started_when_it_has_backed_off_long_enough() -> None:
    assert plan_of(a_spec(), Recorded(crashes=crashes(NOW - 5)), None) == [(Start, "alice")]


def test_an_agent_that_waits_for_its_turn_in_a_restart_is_not_started_and_shown_so() -> None:
    memory = Recorded(waits=True)
    assert plan_of(a_spec(), memory, None) == []
    assert plan_of(a_spec(), memory, an_instance(a_spec())) == []
    [standing] = standings({"alice": a_spec()}, {"alice": memory}, {}, now=NOW).values()
    assert standing.state is AgentState.STARTING


def test_what_ran_and_is_gone_without_anybody_having_seen_it_end_is_lost() -> None:
    ran = Recorded(incarnation="i1", state=AgentState.READY)
    gone: dict[str, Instance] = {}
    unseen = {"alice": an_instance(a_spec(), Phase.STOPPED)}
    declared = {"alice": a_spec()}
    assert lost(declared, {"alice": ran}, gone) == ("alice",)
    assert lost(declared, {"alice": ran}, unseen) == ("alice",)


def test_what_runs_was_stopped_crashed_or_never_ran_is_not_lost() -> None:
    ran = Recorded(incarnation="i1", state=AgentState.READY)
    declared, spec = {"alice": a_spec()}, a_spec()
    for phase in (Phase.RUNNING, Phase.FAILED):
        assert lost(declared, {"alice": ran}, {"alice": an_instance(spec, phase)}) == ()
    assert lost({}, {"alice": ran}, {}) == ()
    for memory in (
        replace(ran, held=True),
        replace(ran, state=AgentState.STOPPED),
        replace(ran, incarnation=None),
    ):
        assert lost(declared, {"alice": memory}, {}) == ()


def test_an_agent_in_a_crash_loop_waits_for_the_operator() -> None:
    looping = Recorded(crashes=crashes(1, 2, 3, 4, 5))
    assert plan_of(a_spec(), looping, None) == []


def test_an_agent_whose_end_nobody_saw_is_started_at_once() -> None:
    assert plan_of(a_spec(), None, an_instance(a_spec(), Phase.STOPPED)) == [(Start, "alice")]


def test_stops_come_first_and_the_manager_before_the_other_starts() -> None:
    queen = a_spec("queen", Role.MANAGER)
    declared = {"bob": a_spec("bob"), "queen": queen, "alice": a_spec()}
    observed = {
        "zoe": an_instance(a_spec("zoe")),
        "queen": an_instance(replace(queen, argv=("old",))),
    }
    assert named(plan(declared, {}, observed, now=NOW)) == [
        (Stop, "zoe"),
        (Restart, "queen"),
        (Start, "alice"),
        (Start, "bob"),
    ]


def test_an_agent_that_backs_off_stands_so_with_its_reason() -> None:
    found = standings(
        {"alice": a_spec()}, {"alice": Recorded(crashes=crashes(NOW - 20, NOW - 1))}, {}, now=NOW
    )
    assert found["alice"].state is AgentState.BACKING_OFF
    assert found["alice"].reason == "it exited with status 1; after 2 crashes it waits 10 s"


def test_an_agent_in_a_crash_loop_stands_as_crashed() -> None:
    looping = {"alice": Recorded(crashes=crashes(1, 2, 3, 4, 5))}
    assert standings({"alice": a_spec()}, looping, {}, now=NOW)["alice"].state is AgentState.CRASHED


def test_a_known_agent_that_is_not_declared_stands_as_stopped() -> None:
    found = standings({}, {"alice": Recorded()}, {}, now=NOW)
    assert found["alice"].state is AgentState.STOPPED


def test_an_agent_that_runs_has_no_standing() -> None:
    held = {"alice": Recorded(held=True)}
    observed = {"alice": an_instance(a_spec())}
    assert standings({"alice": a_spec()}, held, observed, now=NOW) == {}


def test_the_next_plan_is_due_when_the_first_wait_is_over() -> None:
    declared = {name: a_spec(name) for name in ("alice", "bob", "carol", "dave")}
    recorded = {
        "alice": Recorded(crashes=crashes(NOW - 1)),
        "bob": Recorded(crashes=crashes(NOW - 2)),
        "carol": Recorded(held=True, crashes=crashes(NOW - 4)),
        "dave": Recorded(crashes=crashes(1, 2, 3, 4, 5)),
    }
    assert next_due_seconds(declared, recorded, now=NOW) == 3.0


def test_without_a_wait_no_plan_is_ever_due() -> None:
    assert next_due_seconds({"alice": a_spec()}, {"alice": Recorded()}, now=NOW) == math.inf


NAMES = st.sampled_from(["alice", "bob", "carol", "queen", "zoe"])
SPECS = st.dictionaries(NAMES, st.sampled_from(["old", "new"])).map(
    lambda found: {
        name: a_spec(name, Role.MANAGER if name == "queen" else Role.WORKER, argument=argument)
        for name, argument in found.items()
    }
)
RECORDS = st.dictionaries(
    NAMES,
    st.builds(
        Recorded,
        held=st.booleans(),
        crashes=st.lists(st.floats(0, 2 * NOW), max_size=7).map(lambda times: crashes(*times)),
        replace=st.none() | st.builds(Replacement, st.sampled_from(["i1", "i2"]), st.just("asked")),
    ),
)
SIGHTS = st.dictionaries(
    NAMES,
    st.tuples(
        st.sampled_from(Phase), st.sampled_from(["i1", "i2"]), st.sampled_from(["old", "new"])
    ),
).map(
    lambda found: {
        name: an_instance(a_spec(name, argument=argument), phase, incarnation)
        for name, (phase, incarnation, argument) in found.items()
    }
)


def done(
    actions: tuple[Action, ...],
    declared: Mapping[str, BoxSpec],
    observed: Mapping[str, Instance],
) -> dict[str, Instance]:
    """Do what the actions say, the way a runtime that never fails would."""
    world = dict(observed)
    for action in actions:
        world.pop(action.name, None)
        if not isinstance(action, Stop):
            world[action.name] = an_instance(declared[action.name], incarnation="fresh")
    return world


@given(SPECS, RECORDS, SIGHTS)
def test_doing_a_plan_leaves_nothing_to_plan(
    declared: dict[str, BoxSpec], recorded: dict[str, Recorded], observed: dict[str, Instance]
) -> None:
    world = done(plan(declared, recorded, observed, now=NOW), declared, observed)
    assert plan(declared, recorded, world, now=NOW) == ()


@given(SPECS, RECORDS, SIGHTS)
def test_after_a_plan_exactly_what_may_run_runs_as_declared(
    declared: dict[str, BoxSpec], recorded: dict[str, Recorded], observed: dict[str, Instance]
) -> None:
    world = done(plan(declared, recorded, observed, now=NOW), declared, observed)
    may_run = {
        name
        for name in declared
        if not recorded.get(name, Recorded()).held
        and (
            wait_seconds([c.at for c in recorded.get(name, Recorded()).crashes], NOW) == 0
            or (name in observed and observed[name].phase is Phase.RUNNING)
        )
    }
    assert set(world) == may_run
    assert all(world[name].phase is Phase.RUNNING for name in world)
    assert all(world[name].digest == declared[name].digest for name in world)


@given(SPECS, RECORDS, SIGHTS)
def test_nothing_starts_that_is_held_undeclared_or_backing_off(
    declared: dict[str, BoxSpec], recorded: dict[str, Recorded], observed: dict[str, Instance]
) -> None:
    for action in plan(declared, recorded, observed, now=NOW):
        if isinstance(action, Start):
            memory = recorded.get(action.name, Recorded())
            assert action.name in declared
            assert not memory.held
            assert wait_seconds([crash.at for crash in memory.crashes], NOW) == 0


@given(SPECS, RECORDS, SIGHTS)
def test_every_agent_either_runs_is_started_or_has_a_standing(
    declared: dict[str, BoxSpec], recorded: dict[str, Recorded], observed: dict[str, Instance]
) -> None:
    actions = plan(declared, recorded, observed, now=NOW)
    running = {name for name, seen in observed.items() if seen.phase is Phase.RUNNING}
    started = {action.name for action in actions if isinstance(action, Start)}
    standing = set(standings(declared, recorded, observed, now=NOW))
    assert standing == {*declared, *recorded, *observed} - running - started

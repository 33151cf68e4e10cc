"""A switch changes exactly what changed: the hive restarts that, once and in order.

Each test puts another evaluation into place, as a switch does, and ends with the first again.
"""

from collections.abc import Iterator

import pytest

from pytest_nixos import Evaluated, Evaluator
from tests.systemd.hives import START_SECONDS, Host, demo_hive, unit_of
from tests.systemd.machines import await_that
from tests.systemd.rendering import evaluate, switch

pytestmark = pytest.mark.xdist_group("systemd-hive")


@pytest.fixture
def back(host: Host, evaluated: Evaluated) -> Iterator[None]:
    host.await_as_declared()
    yield
    switch(host.machine, evaluated)
    host.await_as_declared()


def another_system(number: int) -> str:
    return f'guest.systemd.services.more.description = "number {number}";'


@pytest.mark.usefixtures("back")
def test_a_changed_guest_is_restarted_once_and_no_other(host: Host, nixos_eval: Evaluator) -> None:
    before = host.invocations()
    with host.client() as client:
        seq = client.state()["seq"]

    switch(host.machine, evaluate(nixos_eval, demo_hive(alice=another_system(1))))

    host.await_as_declared()
    after = host.invocations()
    assert after["alice"] != before["alice"]
    assert (after["bob"], after["queen"]) == (before["bob"], before["queen"])
    assert host.starts_since(seq) == ["alice"]


@pytest.mark.usefixtures("back")
def test_a_manager_that_changed_is_restarted_before_the_others(
    host: Host, nixos_eval: Evaluator
) -> None:
    with host.client() as client:
        seq = client.state()["seq"]

    changed = {name: another_system(2) for name in ("alice", "bob", "queen")}
    switch(host.machine, evaluate(nixos_eval, demo_hive(**changed)))

    host.await_as_declared()
    starts = host.starts_since(seq)
    assert starts[0] == "queen"
    assert sorted(starts) == ["alice", "bob", "queen"]
    told = host.await_message("system", "queen", "hive_restarted")
    assert '"failed": {}' in told["preview"]


@pytest.mark.usefixtures("back")
def test_a_container_that_does_not_come_up_says_why_and_the_others_run(
    host: Host, nixos_eval: Evaluator
) -> None:
    broken = 'binds = [ { hostPath = "/srv/missing"; mountPoint = "/data/missing"; } ];'
    before = host.invocations()

    switch(host.machine, evaluate(nixos_eval, demo_hive(bob=broken)))

    host.await_states("backing_off", "crashed", names=("bob",))
    reason = host.agent("bob")["reason"]
    assert "/srv/missing" in reason
    await_that(lambda: "crashed:bob" in host.alerts(), "the operator is told of bob", START_SECONDS)
    assert "/srv/missing" in host.alerts()["crashed:bob"]
    host.await_answer("alice")
    assert host.invocations()["alice"] == before["alice"]


@pytest.mark.usefixtures("back")
def test_an_agent_that_is_no_longer_declared_stops_and_its_state_stays(
    host: Host, nixos_eval: Evaluator
) -> None:
    switch(host.machine, evaluate(nixos_eval, demo_hive(without="bob")))

    await_that(
        lambda: host.property(unit_of("bob"), "ActiveState") == "inactive", "bob's guest is down"
    )
    assert "bob" in {tombstone["name"] for tombstone in host.state()["tombstones"]}
    assert host.machine.path("/var/lib/hyperhive/agents/bob/state").is_dir()

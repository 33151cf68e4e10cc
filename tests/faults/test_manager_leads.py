"""The manager restarts, rebuilds and reads the logs of an agent that really runs."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from hyperhive.client import AgentClient
from hyperhive.domain.errors import InvalidError
from tests.faults.hives import HiveOfProcesses, is_alive, until
from tests.promises import promise

pytestmark = pytest.mark.xdist_group("alone")

DRIVERS = {
    "queen": '{ kind = "command", command = ["true"] }',
    "alice": '{ kind = "command", command = ["true"] }',
}


@pytest.fixture
def hive() -> Iterator[HiveOfProcesses]:
    with HiveOfProcesses(DRIVERS) as hive:
        hive.started(hive.up())
        for agent in DRIVERS:
            until(lambda agent=agent: hive.state_of(agent) == "ready", f"{agent} is ready")  # type: ignore[misc]
        yield hive


def made_anew(hive: HiveOfProcesses, before: int) -> int:
    """Wait until alice has a harness again and the restart is over; give its process."""
    until(lambda: not is_alive(before), "alice's old harness is gone")
    after = hive.harness_of("alice")

    def is_over() -> bool:
        with hive.operator() as operator:
            state = operator.state()
        return state["hive"]["rollout"] is None

    until(is_over, "the restart is over")
    return after


def restart(queen: AgentClient) -> None:
    """Restart alice; the hive may know for a moment of her hello and not yet of her box."""

    def is_begun() -> bool:
        with contextlib.suppress(InvalidError):
            queen.call("restart", agent="alice", reason="it is stuck")
            return True
        return False

    until(is_begun, "the restart begins")


def verbs_of(hive: HiveOfProcesses, actor: str) -> list[tuple[str, str]]:
    with hive.operator() as operator:
        entries: list[Any] = list(operator.audit()["entries"])
    return [(e["verb"], e["subject"]) for e in reversed(entries) if e["actor"] == actor]


@promise("A9")
def test_the_manager_restarts_and_rebuilds_an_agent_and_sees_its_logs(
    hive: HiveOfProcesses,
) -> None:
    first = hive.harness_of("alice")
    with hive.agent("queen") as queen:
        restart(queen)
        second = made_anew(hive, first)
        queen.call("rebuild", agent="alice")
        third = made_anew(hive, second)
        hive.send("alice", "hello")
        until(
            lambda: any("Turn" in line for line in queen.call("get_logs", agent="alice")["lines"]),
            "alice logs her turn",
        )
        lines = queen.call("get_logs", agent="alice", lines=1)["lines"]
    assert len({first, second, third}) == 3
    assert len(lines) == 1
    assert {verb for verb, _ in verbs_of(hive, "queen")} == {"restart", "rebuild"}
    assert hive.state_of("queen") == "ready"

"""The server is killed between the operator's yes and the end of what was said yes to."""

import json
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hyperhive.domain.errors import UnavailableError
from tests import proposals
from tests.faults.hives import HiveOfProcesses, until
from tests.promises import promise

pytestmark = pytest.mark.xdist_group("alone")

CYCLES = 4
FEW = 2
"""Cycles of what takes long."""
REQUESTS = 8
LONGEST_SECONDS = 0.3
"""How long after the yes the server is killed at the latest; a spawn takes about as long."""
TRIAL_SECONDS = 2.0
"""The same for a change, with which an agent is restarted first."""
DRIVERS = {
    "queen": '{ kind = "command", command = ["true"] }',
    "alice": '{ kind = "command", command = ["true"] }',
}


class Killed:
    """A hive whose server is killed at moments that a seed decides; ``begin`` starts the next."""

    def __init__(
        self,
        hive: HiveOfProcesses,
        begin: Callable[[], subprocess.Popen[bytes]],
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        self.hive = hive
        self._begin = begin
        self._longest_seconds = longest_seconds
        self.seed = random.SystemRandom().randrange(2**32)
        self.random = random.Random(self.seed)
        print(f"seed {self.seed}")
        self.server = hive.started(begin())

    def approve(self, number: int) -> bool:
        """Say yes; ``False`` when the server died before it answered."""
        try:
            with self.hive.operator() as operator:
                operator.approve(number, operator.approval(number)["digest"])
        except UnavailableError:
            return False
        return True

    def kill_soon(self) -> threading.Thread:
        """Kill it within a moment, and start no other."""
        delay = self.random.uniform(0, self._longest_seconds)
        server: subprocess.Popen[bytes] = self.server

        def kill() -> None:
            time.sleep(delay)
            server.kill()

        thread = threading.Thread(target=kill)
        thread.start()
        return thread

    def again(self, killing: threading.Thread) -> None:
        """Start the next server once this one is dead."""
        killing.join()
        self.server.wait()
        self.server = self.hive.started(self._begin())

    def over(self, number: int) -> dict[str, Any]:
        """Wait until an approval is closed."""

        def look() -> dict[str, Any] | None:
            with self.hive.operator() as operator:
                shown = operator.approval(number)
            return shown if shown["closed_at"] is not None else None

        return until(look, f"approval {number} is over")

    def agents(self) -> set[str]:
        with self.hive.operator() as operator:
            return {each["name"] for each in operator.state()["agents"]}


@pytest.fixture
def killed() -> Iterator[Killed]:
    with HiveOfProcesses(DRIVERS) as hive:
        yield Killed(hive, hive.serve)


@pytest.fixture
def with_boxes() -> Iterator[Killed]:
    """Give one whose server runs boxes, which outlive it: a change is tried in them."""
    with HiveOfProcesses(DRIVERS) as hive:
        yield Killed(hive, hive.up, TRIAL_SECONDS)


@promise("A8")
def test_each_yes_to_an_action_is_told_once_whenever_the_server_dies(killed: Killed) -> None:
    told: list[dict[str, Any]] = []
    asked: list[int] = []
    for _ in range(CYCLES):
        with killed.hive.agent("alice") as alice:
            numbers = [
                alice.call("request_approval", title=f"Do {number}")["id"]
                for number in range(REQUESTS)
            ]
        asked += numbers
        killing = killed.kill_soon()
        answered = [number for number in numbers if killed.approve(number)]
        killed.again(killing)
        with killed.hive.operator() as operator:
            unanswered = [
                number
                for number in numbers
                if number not in answered and operator.approval(number)["state"] == "pending"
            ]
        assert all(killed.approve(number) for number in unanswered)
        for number in numbers:
            assert killed.over(number)["state"] == "done"
    with killed.hive.agent("alice") as alice:
        while got := alice.recv(max=32)["messages"]:
            told += [json.loads(each["body"].removeprefix("approval_resolved ")) for each in got]
            alice.ack([each["id"] for each in got])
    assert sorted(each["id"] for each in told) == asked
    assert {each["status"] for each in told} == {"done"}


@promise("A8")
def test_a_spawn_is_whole_or_not_there_whenever_the_server_dies(killed: Killed) -> None:
    for cycle in range(CYCLES):
        name = f"carol-{cycle}"
        with killed.hive.agent("queen") as queen:
            number = queen.call("request_spawn", name=name, description="sings")["id"]
        killing = killed.kill_soon()
        killed.approve(number)
        killed.again(killing)
        killed.approve(number)
        ended = killed.over(number)
        assert ended["state"] in {"done", "failed"}
        assert (name in killed.agents()) is (ended["state"] == "done")
        if ended["state"] == "failed":
            with killed.hive.agent("queen") as queen:
                anew = queen.call("request_spawn", name=name, description="sings")["id"]
            assert killed.approve(anew)
            assert killed.over(anew)["state"] == "done", killed.over(anew)


@promise("A8")
def test_a_configuration_runs_or_does_not_whenever_the_server_dies(killed: Killed) -> None:
    change_again_and_again(killed, CYCLES)


@promise("A8")
def test_a_configuration_on_trial_is_deployed_or_put_back_whenever_the_server_dies(
    with_boxes: Killed,
) -> None:
    change_again_and_again(with_boxes, FEW)


def change_again_and_again(killed: Killed, cycles: int) -> None:
    """Change an agent over and over, and see that what is told is what runs."""
    with killed.hive.agent("queen") as queen:
        number = queen.call("request_spawn", name="carol", description="sings")["id"]
        assert killed.approve(number)
        assert killed.over(number)["state"] == "done"
        for cycle in range(cycles):
            described = f"hums {cycle}"
            commit = proposals.commit(
                killed.hive.paths.state_dir / "agents" / "carol" / "config",
                agent_json=json.dumps({"description": described}),
            )
            number = queen.call("request_apply_commit", agent="carol", commit=commit)["id"]
            killing = killed.kill_soon()
            killed.approve(number)
            killed.again(killing)
            killed.approve(number)
            ended = killed.over(number)
            with killed.hive.operator() as operator:
                (carol,) = [each for each in operator.state()["agents"] if each["name"] == "carol"]
                (now, *_) = operator.deployments("carol")["deployments"]
            is_done = ended["state"] == "done"
            assert ended["state"] in {"done", "failed"}
            assert (carol["description"] == described) is is_done, ended
            tag = f"{'deployed' if is_done else 'failed'}/{number}"
            tags = proposals.git(killed.hive.paths.applied_of("carol"), "tag", "--list")
            assert tag in tags.splitlines()
            assert (f"deployed/{number}" in now["tags"]) is is_done


@promise("A8")
def test_a_recurring_reminder_counts_or_is_gone_whenever_the_server_dies(killed: Killed) -> None:
    for cycle in range(FEW):
        text = f"Water the plants: {cycle}."
        with killed.hive.agent("alice") as alice:
            asked = alice.call("remind", message=text, delay_seconds=3600, repeat_every_seconds=600)
        with killed.hive.operator() as operator:
            (pending,) = [a for a in operator.approvals()["approvals"] if a["state"] == "pending"]
        killing = killed.kill_soon()
        killed.approve(pending["id"])
        killed.again(killing)
        killed.approve(pending["id"])
        ended = killed.over(pending["id"])
        with killed.hive.agent("alice") as alice:
            left = [each["id"] for each in alice.call("list_reminders")["reminders"]]
        assert ended["state"] in {"done", "failed"}
        assert (asked["id"] in left) is (ended["state"] == "done"), ended

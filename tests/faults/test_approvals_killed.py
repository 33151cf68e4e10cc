"""The server is killed between the operator's yes and the end of what was said yes to."""

import json
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hyperhive.domain.errors import UnavailableError
from tests import proposals
from tests.faults.hives import HiveOfProcesses, until
from tests.promises import promise

pytestmark = pytest.mark.xdist_group("alone")

CYCLES = 4
REQUESTS = 8
LONGEST_SECONDS = 0.3
"""How long after the yes the server is killed at the latest; a spawn takes about as long."""
DRIVERS = {
    "queen": '{ kind = "command", command = ["true"] }',
    "alice": '{ kind = "command", command = ["true"] }',
}


class Killed:
    """A hive whose server is killed at moments that a seed decides."""

    def __init__(self, hive: HiveOfProcesses) -> None:
        self.hive = hive
        self.seed = random.SystemRandom().randrange(2**32)
        self.random = random.Random(self.seed)
        print(f"seed {self.seed}")
        self.server = hive.started(hive.serve())

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
        delay = self.random.uniform(0, LONGEST_SECONDS)
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
        self.server = self.hive.started(self.hive.serve())

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
        yield Killed(hive)


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
    with killed.hive.agent("queen") as queen:
        number = queen.call("request_spawn", name="carol", description="sings")["id"]
        assert killed.approve(number)
        assert killed.over(number)["state"] == "done"
        for cycle in range(CYCLES):
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
            assert ended["state"] in {"done", "failed"}
            assert (carol["description"] == described) is (ended["state"] == "done"), ended

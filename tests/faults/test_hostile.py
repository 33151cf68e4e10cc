"""An agent that floods its own socket keeps nobody else waiting."""

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.hives import HiveOfProcesses, until
from tests.pace import on_this_machine
from tests.promises import promise

CONNECTIONS = 1000
SLOW_SECONDS = 1.0
"""A busy machine may take so long for one message; a server that is held up takes far longer."""
FLOOD = Path(__file__).with_name("flood.py")


@pytest.fixture
def hive() -> Iterator[HiveOfProcesses]:
    flood = f'["{sys.executable}", "{FLOOD}", "{CONNECTIONS}"]'
    drivers = {
        "queen": '{ kind = "command", command = ["true"] }',
        "alice": '{ kind = "command", command = ["true"] }',
        "mallory": f'{{ kind = "command", command = {flood} }}',
    }
    with HiveOfProcesses(drivers) as hive:
        yield hive


def seconds_to_arrive(hive: HiveOfProcesses, times: int) -> list[float]:
    """Send from one agent's socket and receive on another's, and measure each message."""
    took = []
    with hive.agent("queen") as sender, hive.agent("alice") as receiver:
        for number in range(times):
            began = time.monotonic()
            sender.send("alice", f"message {number}")
            got = receiver.recv(wait_seconds=10)
            took.append(time.monotonic() - began)
            receiver.ack([message["id"] for message in got["messages"]])
    return took


@pytest.mark.xdist_group("alone")
@promise("T2")
def test_a_thousand_connections_on_one_agents_socket_hold_up_nobody_else(
    hive: HiveOfProcesses,
) -> None:
    hive.started(hive.serve())
    hive.harness("mallory")
    quiet = seconds_to_arrive(hive, 50)

    number = hive.send("mallory", "go")
    hive.text_of("mallory", "flooding")
    flooded = seconds_to_arrive(hive, 50)

    print(
        f"median {statistics.median(quiet):.4f} s before, {statistics.median(flooded):.4f} s in it"
    )
    assert max(flooded) < on_this_machine(SLOW_SECONDS)
    assert hive.message(number)["state"] == "leased", "the flood goes on"
    hive.file("mallory", "enough").touch()
    until(lambda: hive.message(number)["state"] == "acked", "the flood has ended")

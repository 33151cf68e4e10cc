"""A harness is killed, its driver is killed, it is frozen: its messages and its processes."""

import signal
import time
from collections.abc import Iterator

import pytest

from tests.faults.hives import HiveOfProcesses, frozen, is_alive, result_of, until
from tests.pace import on_this_machine
from tests.promises import promise

pytestmark = pytest.mark.xdist_group("alone")

WORK = """
echo $$ > driver
cat >> prompts
sleep 600 &
echo $! > child
until test -e go; do sleep 0.05; done
kill $!
"""
"""Notes who it is and what it was told, leaves a child running, and ends when told to."""


@pytest.fixture
def hive() -> Iterator[HiveOfProcesses]:
    drivers = {
        "queen": '{ kind = "command", command = ["true"] }',
        "alice": f'{{ kind = "command", command = ["sh", "-c", """{WORK}"""] }}',
    }
    with HiveOfProcesses(drivers) as hive:
        yield hive


def pid_in(hive: HiveOfProcesses, name: str) -> int:
    return int(hive.text_of("alice", name))


@promise("H4", "M6")
def test_the_message_of_a_killed_harness_is_back_in_two_seconds_flagged(
    hive: HiveOfProcesses,
) -> None:
    hive.started(hive.serve())
    harness = hive.harness("alice")
    number = hive.send("alice", "work")
    pid_in(hive, "child")
    assert hive.message(number)["state"] == "leased"

    harness.kill()
    killed = time.monotonic()

    until(lambda: hive.message(number)["state"] == "queued", "the message is back")
    back = time.monotonic() - killed
    print(f"the message was back after {back:.3f} s")
    assert back < on_this_machine(2.0)
    message = hive.message(number)
    assert (message["redelivered"], message["attempts"], message["reason"]) == (True, 1, "died")


@promise("H3")
def test_the_driver_of_a_killed_harness_does_not_live_on(hive: HiveOfProcesses) -> None:
    hive.started(hive.serve())
    harness = hive.harness("alice")
    hive.send("alice", "work")
    driver = pid_in(hive, "driver")
    assert is_alive(driver)

    harness.kill()

    until(lambda: not is_alive(driver), "the driver has ended", on_this_machine(2))


def test_the_next_harness_ends_what_was_left_and_is_told_that_the_message_came_before(
    hive: HiveOfProcesses,
) -> None:
    hive.started(hive.serve())
    killed = hive.harness("alice")
    number = hive.send("alice", "work")
    left = pid_in(hive, "child")
    killed.kill()
    killed.wait()
    hive.file("alice", "go").touch()

    hive.harness("alice")

    until(lambda: hive.message(number)["state"] == "acked", "the message is handled")
    assert not is_alive(left)
    assert list(hive.paths.home("alice").rglob("hyperhive-turn-*")) == []
    told = hive.file("alice", "prompts").read_text().partition("work")[2]
    assert "may have handled this already" in told


def test_a_turn_whose_driver_is_killed_fails_and_its_message_comes_again(
    hive: HiveOfProcesses,
) -> None:
    hive.started(hive.serve())
    hive.harness("alice")
    number = hive.send("alice", "work")
    pid_in(hive, "child")
    first = pid_in(hive, "driver")
    hive.file("alice", "driver").unlink()

    hive.kill(first, signal.SIGKILL)

    assert pid_in(hive, "driver") != first
    message = hive.message(number)
    assert (message["state"], message["redelivered"], message["attempts"]) == ("leased", True, 1)
    with hive.operator() as operator:
        told = [turn["error"] for turn in operator.turns("alice")["turns"] if turn["ended_at"]]
    assert len(told) == 1
    assert told[0] is not None
    assert "SIGKILL" in told[0]


def test_a_harness_that_was_frozen_finishes_its_turn_and_the_message_came_once(
    hive: HiveOfProcesses,
) -> None:
    hive.started(hive.serve())
    harness = hive.harness("alice")
    number = hive.send("alice", "work")
    pid_in(hive, "child")
    driver = pid_in(hive, "driver")

    with frozen(harness.pid):
        hive.file("alice", "go").touch()
        until(lambda: not is_alive(driver), "the driver has ended")
        # The others are not held up by it, nor does anybody take its message away.
        assert result_of(hive.bridge("queen").call("send", to="alice", body="more"))["id"]
        assert hive.message(number)["state"] == "leased"

    until(lambda: hive.message(number)["state"] == "acked", "the message is handled")
    assert [step["kind"] for step in hive.message(number)["history"]] == [
        "message_queued",
        "message_leased",
        "message_acked",
    ]


@promise("B1")
def test_up_ends_what_a_killed_harness_left_starts_another_and_the_work_is_done(
    hive: HiveOfProcesses,
) -> None:
    hive.started(hive.up())
    number = hive.send("alice", "work")
    left = {pid_in(hive, "driver"), pid_in(hive, "child")}
    harness = hive.harness_of("alice")

    hive.kill(harness, signal.SIGKILL)

    ended = on_this_machine(2)
    until(lambda: not any(is_alive(pid) for pid in left), "what it left has ended", ended)
    until(lambda: not is_alive(harness), "the harness has ended")
    hive.file("alice", "go").touch()
    until(lambda: hive.message(number)["state"] == "acked", "the message is handled")
    assert hive.harness_of("alice") != harness

"""The server is killed or stopped under connected agents, and started again: they go on."""

import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.faults.hives import (
    WAIT_SECONDS,
    Bridge,
    Follower,
    HiveOfProcesses,
    is_alive,
    result_of,
    until,
)
from tests.pace import on_this_machine
from tests.promises import promise

pytestmark = pytest.mark.xdist_group("alone")

BACK_SECONDS = 5.0
SCRIPT = """
[[rule]]
[[rule.step]]
wait_for = { from = "operator", body_contains = "go on" }
seconds = 120
"""
UNTIL_GO = "echo $$ > driver; until test -e go; do sleep 0.05; done"
DRIVERS = {
    "queen": '{ kind = "command", command = ["true"] }',
    "alice": f'{{ kind = "command", command = ["sh", "-c", "{UNTIL_GO}"] }}',
    "bob": '{ kind = "scripted", script = "bob.toml" }',
}


@pytest.fixture
def hive() -> Iterator[HiveOfProcesses]:
    with HiveOfProcesses(DRIVERS) as hive:
        (hive.directory / "bob.toml").write_text(SCRIPT)
        yield hive


def leases(hive: HiveOfProcesses, number: int) -> int:
    history = hive.message(number)["history"]
    return sum(step["kind"] == "message_leased" for step in history)


def waits_in_recv(hive: HiveOfProcesses, agent: str) -> bool:
    """Whether the agent's turn has called ``recv`` and has no answer yet."""
    with hive.operator() as operator:
        turns = operator.turns(agent)["turns"]
        told = operator.turn_events(turns[0]["id"])["events"] if turns else []
    return bool(told) and told[-1]["kind"] == "tool_call"


def is_acked(hive: HiveOfProcesses, *numbers: int) -> bool:
    return all(hive.message(number)["state"] == "acked" for number in numbers)


@promise("T4", "H5", "M13", "E2")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_agents_and_clients_go_on_through_a_restart_of_the_server(
    hive: HiveOfProcesses, how: signal.Signals
) -> None:
    # Given two turns that run, a recv that waits in one of them and one by hand, two dashboards.
    server = hive.started(hive.serve())
    harnesses = [hive.harness(agent) for agent in ("alice", "bob")]
    by_hand = hive.bridge("queen")
    followers = [Follower(hive), Follower(hive)]
    for follower in followers:
        follower.start()
    work = [hive.send("alice", "work"), hive.send("bob", "work")]
    driver = int(hive.text_of("alice", "driver"))
    until(lambda: waits_in_recv(hive, "bob"), "bob waits for a message")
    open_wait = by_hand.call("recv", wait_seconds=50)
    result_of(by_hand.call("whoami"))

    # When the server goes, a client uses a tool while it is away, and another server starts.
    server.send_signal(how)
    assert server.wait(on_this_machine(BACK_SECONDS)) == (-how if how is signal.SIGKILL else 0)
    meanwhile = by_hand.call("send", to="alice", body="while nobody was there")
    began = time.monotonic()
    again = hive.started(hive.serve())
    start = time.monotonic() - began

    # Then every tool works within five seconds, and nobody but the server was restarted.
    sent = result_of(meanwhile)["id"]
    use_every_tool(by_hand, sent)
    back = time.monotonic() - began
    print(f"the server answered after {start:.2f} s, all tools were usable after {back:.2f} s")
    assert back < on_this_machine(BACK_SECONDS)
    until(lambda: hive.state_of("alice") == "busy" == hive.state_of("bob"), "both are busy")
    assert all(each.poll() is None for each in (again, by_hand.process, *harnesses))
    assert is_alive(driver)

    # And what was under way is finished, and was delivered once.
    to_queen = hive.send("queen", "hello")
    assert [each["id"] for each in result_of(open_wait)["messages"]] == [to_queen]
    hive.file("alice", "go").touch()
    word = hive.send("bob", "go on")
    until(lambda: is_acked(hive, *work, word, sent), "all is handled")
    assert [leases(hive, number) for number in (*work, word, sent, to_queen)] == [1] * 5
    with hive.operator() as operator:
        bodies = [each["preview"] for each in operator.messages(agent="alice")["messages"]]
    assert bodies.count("while nobody was there") == 1
    see_every_event_once(hive, again, followers)


def use_every_tool(bridge: Bridge, number: int) -> None:
    """Call each of the tools through a bridge that was there before."""
    answers = [
        bridge.call("whoami"),
        bridge.call("list_agents"),
        bridge.call("set_status", text="still here"),
        bridge.call("message_status", id=number),
        bridge.call("send", to="operator", body="still here"),
        bridge.call("ack", ids=[]),
    ]
    for answer in answers:
        result_of(answer)


def see_every_event_once(
    hive: HiveOfProcesses, server: subprocess.Popen[bytes], followers: list[Follower]
) -> None:
    """Stop the server and check that each dashboard saw every event, in order, none twice."""
    with hive.operator() as operator:
        seq = operator.state()["seq"]
    for follower in followers:
        until(lambda each=follower: each.reached(seq), "the dashboard has caught up")  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        follower.stop()
    server.send_signal(signal.SIGTERM)
    assert server.wait(on_this_machine(BACK_SECONDS)) == 0
    for follower in followers:
        follower.end()
        assert follower.connections > 1
        assert follower.seqs == list(range(1, len(follower.seqs) + 1))


@promise("M8")
def test_a_turn_that_ended_while_the_server_was_away_is_not_delivered_again(
    hive: HiveOfProcesses,
) -> None:
    server = hive.started(hive.serve())
    hive.harness("alice")
    number = hive.send("alice", "work")
    driver = int(hive.text_of("alice", "driver"))

    server.kill()
    server.wait()
    hive.file("alice", "go").touch()
    until(lambda: not is_alive(driver), "the driver has ended")
    hive.started(hive.serve())

    until(lambda: is_acked(hive, number), "its end is heard of")
    assert leases(hive, number) == 1


@promise("M8", "M13")
def test_the_message_of_a_harness_that_died_while_the_server_was_away_comes_back_uncounted(
    hive: HiveOfProcesses,
) -> None:
    server = hive.started(hive.serve())
    harness = hive.harness("alice")
    number = hive.send("alice", "work")
    hive.text_of("alice", "driver")

    server.kill()
    server.wait()
    harness.kill()
    harness.wait()
    began = time.monotonic()
    hive.started(hive.serve())

    assert hive.message(number)["state"] == "leased", "its session may still come back"
    until(lambda: hive.message(number)["state"] == "queued", "the message is back", 20)
    print(f"the message was back {time.monotonic() - began:.2f} s after the server's start")
    message = hive.message(number)
    assert (message["redelivered"], message["attempts"]) == (True, 0)


def test_a_server_that_was_killed_while_it_started_does_not_stop_the_next(
    hive: HiveOfProcesses,
) -> None:
    hive.started(hive.serve()).kill()
    lock = hive.paths.state_dir / "hive.lock"
    lock.unlink()

    starting = hive.serve()
    until(lock.exists, "it has begun")
    starting.kill()
    starting.wait()

    hive.started(hive.serve())
    assert hive.send("queen", "hello")


def test_a_second_server_is_refused_and_the_first_goes_on(hive: HiveOfProcesses) -> None:
    first = hive.started(hive.serve())

    second = hive.serve()

    assert second.wait(WAIT_SECONDS) != 0
    assert "Another server already runs the hive" in hive.output.read_text()
    assert result_of(hive.bridge("queen").call("send", to="alice", body="hello"))["id"]
    assert first.poll() is None


@promise("H5", "B1")
def test_up_that_was_killed_finds_its_agents_again_and_their_turns_go_on(
    hive: HiveOfProcesses,
) -> None:
    server = hive.started(hive.up())
    work = [hive.send("alice", "work"), hive.send("bob", "work")]
    driver = int(hive.text_of("alice", "driver"))
    until(lambda: waits_in_recv(hive, "bob"), "bob waits for a message")
    before = {agent: hive.harness_of(agent) for agent in DRIVERS}

    server.kill()
    server.wait()
    began = time.monotonic()
    again = hive.started(hive.up())
    until(lambda: hive.state_of("alice") == "busy" == hive.state_of("bob"), "both are busy")
    print(f"the agents were back {time.monotonic() - began:.2f} s after the server's start")

    assert {agent: hive.harness_of(agent) for agent in DRIVERS} == before
    assert is_alive(driver)
    hive.file("alice", "go").touch()
    word = hive.send("bob", "go on")
    until(lambda: is_acked(hive, *work, word), "all is handled")
    assert [leases(hive, number) for number in (*work, word)] == [1] * 3
    assert again.poll() is None


@promise("B1", "H3", "M8")
@pytest.mark.parametrize("was_killed_before", [False, True])
def test_ctrl_c_ends_up_with_all_it_started_and_keeps_the_work(
    hive: HiveOfProcesses, was_killed_before: bool
) -> None:
    server = hive.started(hive.up())
    number = hive.send("alice", "work")
    hive.text_of("alice", "driver")
    if was_killed_before:
        server.kill()
        server.wait()
        server = hive.started(hive.up())
        until(lambda: hive.state_of("alice") == "busy", "alice is busy again")

    server.send_signal(signal.SIGINT)
    began = time.monotonic()
    status = server.wait(30)
    print(f"ended {time.monotonic() - began:.2f} s after Ctrl-C")

    assert status == 0
    assert hive.processes() == set()
    assert hive.sockets() == []
    hive.file("alice", "go").touch()
    hive.started(hive.up())
    until(lambda: is_acked(hive, number), "the work is done after the next start")
    assert hive.message(number)["attempts"] == 0

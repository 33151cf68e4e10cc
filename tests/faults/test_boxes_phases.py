"""An agent in a box is killed in each phase of its life: its message is where it should be.

All of it happens in one hive of real processes; after each test its agents are ready again.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from hyperhive.client.answers import MessageDetail
from tests.demos import Player
from tests.faults.hives import HiveOfProcesses, is_alive, until
from tests.pace import on_this_machine
from tests.promises import promise

pytestmark = pytest.mark.xdist_group("alone")

FIXTURES = Path(__file__).parent.parent / "clients" / "fixtures" / "claude"
BACK_OFF_SECONDS = 3.0
"""What the agent ``tired`` waits after a crash; the others wait for half a second."""
IDLE = '{ kind = "command", command = ["true"] }'
WORK = "cat >> prompts; (setsid sleep 600 &); touch began; until test -e go; do sleep 0.05; done"
STUBBORN = f"trap '' INT TERM; {WORK}"
TIRED = f"restart = {{ backoffSeconds = {BACK_OFF_SECONDS}, backoffMaxSeconds = 60.0 }}"
CLIENT = """{ kind = "claude", command = ["sh", "-c", "cat > /dev/null; cat said", "claude"] }"""
"""An agent program that says what the test has put into a file."""
DRIVERS = {
    "queen": IDLE,
    "idle": IDLE,
    "worker": f'{{ kind = "command", command = ["sh", "-c", "{WORK}"] }}',
    "stubborn": f'{{ kind = "command", command = ["sh", "-c", "{STUBBORN}"] }}',
    "tired": f"{IDLE}\n{TIRED}",
    "client": CLIENT,
}
SETTINGS = """
[restart]
backoffSeconds = 0.5
backoffMaxSeconds = 0.5
crashLimit = 50
[restart.rollout]
drainSeconds = 20.0
"""


@pytest.fixture(scope="module")
def hive(player: Player) -> Iterator[HiveOfProcesses]:
    with HiveOfProcesses(DRIVERS, player=player, settings=SETTINGS) as hive:
        hive.started(hive.up())
        for agent in DRIVERS:
            comes(hive, agent, "ready")
        yield hive


def comes(hive: HiveOfProcesses, agent: str, state: str) -> None:
    until(lambda: hive.state_of(agent) == state, f"{agent} is {state}", 60)


def is_back(hive: HiveOfProcesses, agent: str, before: str) -> None:
    """Wait until an agent is ready or busy in another box."""
    until(lambda: box_of(hive, agent) not in (None, before), f"{agent} has another box")
    until(lambda: hive.state_of(agent) in ("ready", "busy"), f"{agent} is back")


def box_of(hive: HiveOfProcesses, agent: str) -> str | None:
    note = hive.note_of(agent)
    return None if note is None else str(note["incarnation"])


def kill(hive: HiveOfProcesses, agent: str) -> str:
    """Kill an agent's harness; give which box that was."""
    killed, harness = box_of(hive, agent), hive.harness_of(agent)
    assert killed is not None
    hive.kill(harness, signal.SIGKILL)
    until(lambda: not is_alive(harness), f"the harness of {agent} has ended")
    return killed


def begun(hive: HiveOfProcesses, agent: str) -> int:
    """Send work to an agent and wait until its driver runs."""
    for name in ("began", "go"):
        hive.file(agent, name).unlink(missing_ok=True)
    number = hive.send(agent, "work")
    until(hive.file(agent, "began").exists, f"{agent} works")
    return number


def is_in(hive: HiveOfProcesses, number: int, state: str) -> bool:
    return hive.message(number)["state"] == state


def offered(hive: HiveOfProcesses, agent: str) -> int:
    """Have an agent offered a turn while its harness is stopped: it must have asked for one."""
    while True:
        harness = hive.harness_of(agent)
        os.kill(harness, signal.SIGSTOP)
        number = hive.send(agent, "hello")
        with contextlib.suppress(AssertionError):
            until(partial(is_in, hive, number, "leased"), "the turn is offered", 3)
            return number
        os.kill(harness, signal.SIGCONT)
        is_handled(hive, number)


def is_given_back(hive: HiveOfProcesses, number: int) -> MessageDetail:
    until(
        partial(is_in, hive, number, "queued"),
        "the message is back",
        on_this_machine(10),
    )
    return hive.message(number)


def is_handled(hive: HiveOfProcesses, number: int) -> MessageDetail:
    until(lambda: hive.message(number)["state"] == "acked", "the message is handled")
    return hive.message(number)


def all_end(pids: set[int]) -> None:
    until(
        lambda: not any(is_alive(pid) for pid in pids),
        "all in the box has ended",
        on_this_machine(5),
    )


def states_of(hive: HiveOfProcesses, agent: str, after: int) -> list[str]:
    """Give the states that an agent was shown in after a position of the event log."""
    with hive.operator() as operator:
        events = operator.history(agent=agent, kind="agent_state_changed", limit=50)["events"]
    return [event["data"]["state"] for event in reversed(events) if event["seq"] > after]


def turns_of(hive: HiveOfProcesses, agent: str) -> int:
    """Count the turns that an agent has begun."""
    with hive.operator() as operator:
        return len(operator.turns(agent)["turns"])


def is_settled(hive: HiveOfProcesses) -> bool:
    """Whether nobody is being restarted."""
    with hive.operator() as operator:
        state = operator.state()
    transients = {each["transient"] for each in state["agents"]}
    return state["hive"]["rollout"] is None and transients == {None}


def position(hive: HiveOfProcesses) -> int:
    with hive.operator() as operator:
        return operator.state()["seq"]


def test_killed_before_its_hello_it_starts_again_and_the_message_waited(
    hive: HiveOfProcesses,
) -> None:
    seq = position(hive)
    socket = hive.paths.socket("idle")
    aside = socket.with_name("aside")
    socket.rename(aside)
    try:
        kill(hive, "idle")
        second = hive.harness_of("idle")
        os.kill(second, signal.SIGSTOP)
    finally:
        aside.rename(socket)
    number = hive.send("idle", "hello")
    assert hive.state_of("idle") == "starting"
    killed = kill(hive, "idle")
    assert "ready" not in states_of(hive, "idle", seq)
    assert hive.message(number)["state"] == "queued"

    is_back(hive, "idle", killed)

    handled = is_handled(hive, number)
    assert (handled["attempts"], handled["redelivered"]) == (0, False)


def test_killed_while_it_waited_it_starts_again_and_takes_what_came_meanwhile(
    hive: HiveOfProcesses,
) -> None:
    killed = kill(hive, "idle")
    number = hive.send("idle", "hello")

    is_back(hive, "idle", killed)

    handled = is_handled(hive, number)
    assert (handled["attempts"], handled["redelivered"]) == (0, False)


def test_killed_with_an_offered_turn_that_it_never_began_the_message_comes_again(
    hive: HiveOfProcesses,
) -> None:
    number = offered(hive, "idle")
    # What is offered and not begun is not listed.
    known = turns_of(hive, "idle")

    killed = kill(hive, "idle")

    is_given_back(hive, number)
    assert turns_of(hive, "idle") == known
    is_back(hive, "idle", killed)
    # Nobody can know whether it had read the message by then.
    handled = is_handled(hive, number)
    assert (handled["attempts"], handled["redelivered"]) == (1, True)


@promise("H4", "M6", "H3")
def test_killed_in_mid_turn_the_message_is_back_in_two_seconds_flagged_and_nothing_lives_on(
    hive: HiveOfProcesses,
) -> None:
    number = begun(hive, "worker")
    # bubblewrap, number 1, the harness, the driver, its sleep, and the one that left its session.
    until(lambda: len(hive.family_of("worker")) >= 6, "all of it runs")
    box = hive.family_of("worker")
    killed_at = time.monotonic()
    killed = kill(hive, "worker")

    message = is_given_back(hive, number)
    back = time.monotonic() - killed_at
    print(f"the message was back after {back:.3f} s")
    assert back < on_this_machine(2.0)
    assert (message["attempts"], message["redelivered"], message["reason"]) == (1, True, "died")
    all_end(box)
    hive.file("worker", "go").touch()
    is_back(hive, "worker", killed)
    is_handled(hive, number)
    assert "may have handled this already" in hive.text_of("worker", "prompts")


def test_killed_while_it_drains_its_restart_goes_on_and_the_message_comes_again(
    hive: HiveOfProcesses,
) -> None:
    number = begun(hive, "worker")
    with hive.operator() as operator:
        operator.restart("worker", reason="a test")
    comes(hive, "worker", "draining")
    killed = kill(hive, "worker")

    message = is_given_back(hive, number)
    assert (message["attempts"], message["redelivered"]) == (1, True)
    hive.file("worker", "go").touch()
    is_back(hive, "worker", killed)
    is_handled(hive, number)
    until(lambda: is_settled(hive), "the restart is over")


def test_killed_while_it_is_being_stopped_it_stays_stopped_until_it_is_started(
    hive: HiveOfProcesses,
) -> None:
    number = begun(hive, "stubborn")
    box = hive.family_of("stubborn")
    with hive.operator() as operator:
        operator.stop("stubborn")
    comes(hive, "stubborn", "stopping")
    kill(hive, "stubborn")

    comes(hive, "stubborn", "stopped")
    all_end(box)
    message = is_given_back(hive, number)
    assert (message["attempts"], message["redelivered"]) == (0, True)
    assert hive.note_of("stubborn") is None
    hive.file("stubborn", "go").touch()
    with hive.operator() as operator:
        operator.start("stubborn")
    is_handled(hive, number)


def test_what_comes_while_it_backs_off_waits_as_long_and_is_delivered_once(
    hive: HiveOfProcesses,
) -> None:
    killed = kill(hive, "tired")
    killed_at = time.monotonic()
    comes(hive, "tired", "backing_off")
    number = hive.send("tired", "hello")
    assert hive.family_of("tired") == set()

    is_back(hive, "tired", killed)

    waited = time.monotonic() - killed_at
    print(f"it was back after {waited:.2f} s")
    assert waited >= BACK_OFF_SECONDS
    handled = is_handled(hive, number)
    assert (handled["attempts"], handled["redelivered"]) == (0, False)


def says(hive: HiveOfProcesses, fixture: str) -> None:
    hive.file("client", "said").write_text((FIXTURES / f"{fixture}.jsonl").read_text())


@pytest.mark.parametrize(
    ("fixture", "state"), [("not-logged-in", "needs_login"), ("rate-limited", "rate_limited")]
)
def test_killed_while_its_provider_refuses_it_it_still_waits_for_that_and_no_attempt_is_counted(
    hive: HiveOfProcesses, fixture: str, state: str
) -> None:
    says(hive, fixture)
    number = hive.send("client", "hello")
    comes(hive, "client", state)
    seq, known = position(hive), turns_of(hive, "client")
    kill(hive, "client")

    until(
        lambda: states_of(hive, "client", seq)[-2:] == ["starting", state], f"it is {state} again"
    )
    message = hive.message(number)
    assert (message["state"], message["attempts"]) == ("queued", 0)
    assert turns_of(hive, "client") == known

    says(hive, "recv-send")
    with hive.operator() as operator:
        operator.resume("client")
    assert is_handled(hive, number)["attempts"] == 0

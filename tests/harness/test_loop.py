import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.harness.conftest import StartHarness
from tests.harness.fake_server import WAIT_SECONDS, FakeServer, Problem, a_message
from tests.pace import on_this_machine
from tests.promises import promise


def shell(hive: FakeServer, script: str, **settings: Any) -> None:
    """Make every turn run a shell script."""
    hive.driver |= {"kind": "command", "command": ["sh", "-c", script], **settings}


def processes_of(turn_file: Path) -> list[int]:
    """The process numbers a script wrote that still live."""
    numbers = [int(word) for word in turn_file.read_text().split()]
    return [number for number in numbers if Path(f"/proc/{number}").exists() and lives(number)]


def lives(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_turn_is_begun_told_and_ended(hive: FakeServer, start_harness: StartHarness) -> None:
    shell(hive, "cat; echo oops >&2")
    turn = hive.give(a_message(body="Do it."))
    start_harness()
    hive.wait_until(lambda: turn in hive.ends)
    assert hive.begun == [turn]
    assert "Do it." in hive.texts(turn)
    assert hive.texts(turn, "note") == ["oops"]
    assert hive.ends[turn]["outcome"] == "ok"


@promise("H1")
def test_turns_are_run_one_after_the_other(hive: FakeServer, start_harness: StartHarness) -> None:
    shell(hive, "echo one; echo two")
    turns = [hive.give(a_message()) for _ in range(3)]
    start_harness()
    hive.wait_until(lambda: len(hive.ends) == 3)
    assert hive.begun == turns
    assert len(hive.hellos) == 1


def test_a_program_that_fails_fails_the_turn_with_its_last_words(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    shell(hive, "echo first >&2; echo no such luck >&2; exit 3")
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: turn in hive.ends)
    assert hive.ends[turn]["outcome"] == "failed"
    assert hive.ends[turn]["error"] == "sh ended with exit status 3: no such luck"


def test_a_program_that_is_not_there_fails_the_turn(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    hive.driver |= {"command": ["/no/such/program"]}
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: turn in hive.ends)
    assert "/no/such/program: No such file" in hive.ends[turn]["error"]


def test_an_unknown_driver_fails_the_turn_and_not_the_harness(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    hive.driver["kind"] = "port"
    turn = hive.give(a_message())
    harness = start_harness()
    hive.wait_until(lambda: turn in hive.ends)
    assert "no driver 'port'" in hive.ends[turn]["error"]
    assert harness.poll() is None


def test_a_turn_runs_in_the_agents_state_with_its_way_to_mcp(
    hive: FakeServer, start_harness: StartHarness, box: Path
) -> None:
    shell(hive, 'pwd; echo "$HYPERHIVE_TURN"; cat "$HYPERHIVE_MCP_CONFIG"; echo')
    hive.driver["command"][2] += '; cat "$HYPERHIVE_SYSTEM_PROMPT_FILE"; echo; echo $NOTIFY_SOCKET'
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: turn in hive.ends)
    where, number, config, prompt, *rest = hive.texts(turn)
    server = json.loads(config)["mcpServers"]["hyperhive"]
    assert (where, number, prompt) == (str(box / "state"), str(turn), "You are alice.")
    assert server["env"]["HYPERHIVE_SOCKET"] == str(box / "socket")
    assert [server["command"], *server["args"]][-1] == "hyperhive.harness.bridge"
    assert rest == []


def test_the_files_of_a_turn_are_gone_after_it(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    shell(hive, 'echo "$HYPERHIVE_MCP_CONFIG"')
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: turn in hive.ends)
    assert not Path(hive.texts(turn)[0]).parent.exists()


@promise("H3")
def test_a_cancel_ends_the_program_and_all_it_started(
    hive: FakeServer, start_harness: StartHarness, box: Path
) -> None:
    shell(hive, f"sleep 60 & echo $$ $! > {box}/pids; echo up; wait")
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: hive.texts(turn) == ["up"])
    hive.command("cancel", turn)
    hive.wait_until(lambda: turn in hive.ends)
    assert hive.ends[turn]["outcome"] == "cancelled"
    assert hive.ends[turn]["error"] == "Because."
    assert processes_of(box / "pids") == []


def test_a_cancel_of_another_turn_is_none(hive: FakeServer, start_harness: StartHarness) -> None:
    shell(hive, "echo up; read line; read line; sleep 0.3; echo done")
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: turn in hive.begun)
    hive.command("cancel", turn + 1)
    hive.wait_until(lambda: turn in hive.ends)
    assert hive.ends[turn]["outcome"] == "ok"


@promise("H3")
def test_the_turn_limit_ends_a_turn_as_timed_out(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    shell(hive, "sleep 60", turn_limit_seconds=0.3)
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: turn in hive.ends)
    assert hive.ends[turn]["outcome"] == "timed_out"
    assert "0.3 s" in hive.ends[turn]["error"]


def test_stop_cancels_the_turn_and_ends_the_harness_well(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    shell(hive, "echo up; sleep 60")
    turn = hive.give(a_message())
    harness = start_harness()
    hive.wait_until(lambda: hive.texts(turn))
    hive.command("stop")
    assert harness.wait(on_this_machine(8)) == 0
    assert hive.ends[turn]["outcome"] == "cancelled"


def test_sigterm_ends_an_idle_harness_at_once(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    harness = start_harness()
    hive.wait_until(lambda: hive.looks)
    harness.send_signal(signal.SIGTERM)
    assert harness.wait(on_this_machine(5)) == 0


def test_sigterm_reports_the_turn_it_cancels(hive: FakeServer, start_harness: StartHarness) -> None:
    shell(hive, "echo up; sleep 60")
    turn = hive.give(a_message())
    harness = start_harness()
    hive.wait_until(lambda: hive.texts(turn))
    harness.send_signal(signal.SIGTERM)
    assert harness.wait(on_this_machine(8)) == 0
    assert hive.ends[turn]["outcome"] == "cancelled"


def test_a_harness_that_finds_no_server_ends_on_sigterm(
    box: Path, start_harness: StartHarness
) -> None:
    harness = start_harness()
    log = box / "harness.log"
    until = time.monotonic() + WAIT_SECONDS
    while "interrupted" not in log.read_text():
        assert time.monotonic() < until, "it never looked for the server"
        time.sleep(0.02)
    harness.send_signal(signal.SIGTERM)
    assert harness.wait(on_this_machine(5)) == 0


def test_a_running_turn_survives_a_restart_of_the_server(
    hive: FakeServer, start_harness: StartHarness, box: Path
) -> None:
    shell(hive, f"echo before; until [ -e {box}/go ]; do sleep 0.02; done; echo after")
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: hive.texts(turn))
    hive.stop()
    (box / "go").touch()
    hive.start()
    hive.wait_until(lambda: turn in hive.ends)
    assert hive.texts(turn) == ["before", "after"]
    assert hive.ends[turn]["outcome"] == "ok"
    assert len({hello["session"] for hello in hive.hellos}) == 1


def test_a_turn_the_server_ended_meanwhile_is_dropped(
    hive: FakeServer, start_harness: StartHarness, box: Path
) -> None:
    shell(hive, f"echo $$ > {box}/pids; echo up; exec sleep 60")
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: hive.texts(turn))
    hive.stop()
    hive.forget()
    shell(hive, "echo again")
    following = hive.give(a_message())
    hive.start()
    hive.wait_until(lambda: following in hive.ends)
    assert turn not in hive.ends
    assert processes_of(box / "pids") == []


def test_a_turn_that_is_over_at_the_server_ends_its_program(
    hive: FakeServer, start_harness: StartHarness, box: Path
) -> None:
    again = f"[ -e {box}/pids ] && exit"
    shell(hive, f"{again}; echo $$ > {box}/pids; while true; do echo more; sleep 0.05; done")
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: hive.texts(turn))
    hive.forget()
    following = hive.give(a_message())
    hive.wait_until(lambda: following in hive.ends)
    assert processes_of(box / "pids") == []


def test_a_turn_that_never_arrived_is_given_back(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    start_harness()
    hive.wait_until(lambda: hive.looks)
    hive.stop()
    hive.open_turns[hive.hellos[0]["session"]] = 99
    hive.start()
    hive.wait_until(lambda: 99 in hive.ends)
    assert hive.ends[99]["outcome"] == "cancelled"


def test_a_forgotten_session_says_hello_again(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    hive.heartbeat_seconds = 0.1
    start_harness()
    hive.wait_until(lambda: hive.heartbeats)
    with hive.changed:
        hive.streams.clear()
    hive.wait_until(lambda: len(hive.hellos) == 2)
    assert hive.hellos[0]["session"] == hive.hellos[1]["session"]


def test_a_heartbeat_names_the_turn_that_runs(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    hive.heartbeat_seconds = 0.1
    shell(hive, "sleep 60")
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: any(beat["turn"] == turn for beat in hive.heartbeats))


def test_an_end_that_the_server_cannot_take_now_is_told_again(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    refusals = [Problem(503, "unavailable")] * 3
    hive.refuse = lambda path: refusals.pop() if path.endswith("/end") and refusals else None
    shell(hive, "true")
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: turn in hive.ends)


def test_an_end_that_the_server_never_takes_begins_a_new_session(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    hive.refuse = lambda path: Problem(400, "invalid") if path == "/harness/turns/1/end" else None
    shell(hive, "true")
    hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: len(hive.hellos) == 2)
    following = hive.give(a_message())
    hive.wait_until(lambda: following in hive.ends)
    assert hive.hellos[0]["session"] != hive.hellos[1]["session"]


def test_work_that_makes_no_sense_is_survived(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    shell(hive, "true")
    hive.give({"id": "seven"})
    harness = start_harness()
    hive.wait_until(lambda: len(hive.hellos) == 2)
    following = hive.give(a_message())
    hive.wait_until(lambda: following in hive.ends)
    assert harness.poll() is None


def test_a_killed_harness_takes_its_program_with_it(
    hive: FakeServer, start_harness: StartHarness, box: Path
) -> None:
    shell(hive, f"echo $$ > {box}/pids; echo up; exec sleep 60")
    turn = hive.give(a_message())
    harness = start_harness()
    hive.wait_until(lambda: hive.texts(turn))
    harness.kill()
    hive.wait_until(lambda: processes_of(box / "pids") == [])


def test_what_a_killed_harness_left_is_ended_by_the_next(
    hive: FakeServer, start_harness: StartHarness, box: Path
) -> None:
    shell(hive, f"setsid sleep 60 & echo $! > {box}/pids; echo up; wait")
    turn = hive.give(a_message())
    harness = start_harness()
    hive.wait_until(lambda: hive.texts(turn))
    harness.kill()
    harness.wait()
    assert processes_of(box / "pids") != []
    start_harness()
    hive.wait_until(lambda: len(hive.hellos) == 2)
    assert processes_of(box / "pids") == []


def test_the_files_a_killed_harness_left_are_removed_by_the_next(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    shell(hive, 'echo "$HYPERHIVE_MCP_CONFIG"; exec sleep 60')
    turn = hive.give(a_message())
    harness = start_harness()
    hive.wait_until(lambda: hive.texts(turn))
    harness.kill()
    harness.wait()
    left = Path(hive.texts(turn)[0])
    assert left.exists()
    start_harness()
    hive.wait_until(lambda: len(hive.hellos) == 2)
    assert not left.parent.exists()


def test_output_while_the_server_is_away_is_bounded_and_says_what_was_dropped(
    hive: FakeServer, start_harness: StartHarness, box: Path
) -> None:
    shell(hive, f"echo up; until [ -e {box}/go ]; do sleep 0.02; done; seq 20000")
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: hive.texts(turn))
    hive.stop()
    (box / "go").touch()
    hive.wait_until(lambda: not lives_with(f"{box}/go"))
    hive.start()
    hive.wait_until(lambda: turn in hive.ends)
    numbers = [n for of, n in hive.events if of == turn]
    assert "events were dropped here" in "".join(hive.texts(turn, "note"))
    assert hive.texts(turn)[-1] == "20000"
    assert sorted(numbers) == list(range(len(numbers)))
    assert len(numbers) < 5000


def lives_with(word: str) -> bool:
    """Whether a process has the word in its command line."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and word.encode() in (entry / "cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


def test_without_a_socket_the_harness_says_so(environment: dict[str, str]) -> None:
    del environment["HYPERHIVE_SOCKET"]
    command = [sys.executable, "-P", "-m", "hyperhive.harness"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=5, check=False)
    assert done.returncode == 2
    assert b"HYPERHIVE_SOCKET is not set" in done.stderr

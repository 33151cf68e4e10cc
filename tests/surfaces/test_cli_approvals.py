"""The commands ``approvals``, ``approve`` and ``deny`` against a hive that runs."""

import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hyperhive.cli.main import main
from hyperhive.client import AgentClient, OperatorClient
from tests.promises import promise
from tests.surfaces.cli_answers import Ran
from tests.surfaces.hives import Beside, a_hive_beside
from tests.surfaces.terminals import HYPERHIVE, Terminal


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    with a_hive_beside(tmp_path_factory.mktemp("approvals")) as running:
        yield running


@pytest.fixture
def run(
    beside: Beside, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    """Run a command; ``typed`` is what stands on its standard input."""

    def _run(*arguments: str, typed: str = "") -> Ran:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        socket = str(beside.hive.run.listeners.admin_socket)
        status = main(("--socket", socket, *arguments))
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return _run


@pytest.fixture
def ask(beside: Beside) -> Callable[..., int]:
    """Have alice ask for a yes and give its number."""

    def _ask(**more: Any) -> int:
        with AgentClient(beside.hive.run.listeners.agent_socket("alice")) as alice:
            given = {"title": "Delete it", "payload": {"branch": "old"}, **more}
            return int(alice.call("request_approval", **given)["id"])

    return _ask


def approval(beside: Beside, number: int) -> dict[str, Any]:
    with OperatorClient(beside.hive.run.listeners.admin_socket) as operator:
        return operator.approval(number)


def test_nothing_to_decide_is_said(run: Callable[..., Ran]) -> None:
    assert run("approvals").out == "No approvals.\n"


def test_a_request_is_listed_and_shown_whole_without_control_characters(
    run: Callable[..., Ran], ask: Callable[..., int], beside: Beside
) -> None:
    number = ask(details="It is \x1b[2Jmerged.", payload={"branch": "o\x1b[2Jld"})

    listed = run("approvals")
    assert [line.split()[:1] for line in listed.out.splitlines()] == [["ID"], [str(number)]]
    assert {"alice", "action", "pending", "Delete"} <= set(listed.out.split())
    shown = run("approvals", str(number))
    assert f"Approval {number}: Delete it" in shown.out
    assert "merged." in shown.out
    assert r"o\u001b[2Jld" in shown.out
    assert "\x1b" not in shown.out
    digest = approval(beside, number)["digest"]
    assert f"digest {digest}" in shown.out
    assert json.loads(run("--json", "approvals", str(number)).out)["digest"] == digest


def test_what_waits_is_listed_however_old_it_is_and_older_ones_can_be_paged_to(
    run: Callable[..., Ran], ask: Callable[..., int]
) -> None:
    waits, *decided = (ask() for _ in range(4))
    for number in decided:
        run("deny", str(number))

    def listed(*options: str) -> tuple[str, list[int]]:
        first, *lines = run("approvals", *options).out.splitlines()
        lines = [first, *lines] if first.startswith("ID") else lines
        return first, [int(line.split()[0]) for line in lines[1:]]

    older, numbers = listed("--limit", "2")
    assert older == f"Older ones: --before {decided[1]}"
    assert numbers[-3:] == [waits, *decided[1:]]
    assert decided[0] not in numbers
    assert listed("--before", str(decided[1]), "--limit", "2")[1] == [waits, decided[0]]
    assert listed("--state", "denied", "--limit", "1")[1] == decided[2:]
    paged = json.loads(run("--json", "approvals", "--limit", "2").out)
    assert [each["id"] for each in paged["approvals"]][:3] == [*decided[:0:-1], waits]


def test_one_shown_whole_says_when_it_expires_who_decided_and_what_came_of_it(
    run: Callable[..., Ran], ask: Callable[..., int]
) -> None:
    number = ask(ttl_seconds=3600)
    assert "\n  expires " in run("approvals", str(number)).out

    run("deny", str(number), "not on a Friday")

    shown = run("approvals", str(number)).out
    assert "\n  expires " not in shown
    assert re.search(r"\n  decided .* by operator\n  note    not on a Friday\n", shown)


@promise("A1")
def test_approve_shows_it_and_asks_before_it_says_yes(
    run: Callable[..., Ran], ask: Callable[..., int], beside: Beside
) -> None:
    number = ask()

    left = run("approve", str(number), typed="\n")
    assert left.status != 0
    assert '"branch": "old"' in left.out
    assert approval(beside, number)["state"] == "pending"

    said = run("approve", str(number), typed="y\n")
    assert said.status == 0
    assert said.out.endswith(f"Approval {number} is approved.\n")
    assert approval(beside, number)["state"] in {"approved", "running", "done"}


@promise("A1")
def test_no_on_a_terminal_takes_a_note_that_whoever_asked_is_told(
    ask: Callable[..., int], beside: Beside
) -> None:
    number = ask(payload={"diff": "-old\n+new\n digest: forged"})
    socket = str(beside.hive.run.listeners.admin_socket)

    with Terminal((*HYPERHIVE, "--socket", socket, "approve", str(number))) as person:
        person.sees("Enter: decide later: ")
        person.types("n")
        person.sees("A note for whoever asked: ")
        person.types("not on a Friday")
        assert person.status() == 0

    assert "  | +new\r\n  |  digest: forged\r\n" in person.shown
    assert f"Approval {number} is denied." in person.shown
    assert approval(beside, number)["note"] == "not on a Friday"


@promise("A1")
def test_approve_takes_the_digest_of_what_was_read_and_no_other(
    run: Callable[..., Ran], ask: Callable[..., int], beside: Beside
) -> None:
    number = ask()

    refused = run("approve", str(number), "--digest", "0" * 64, "--yes")
    assert refused.status != 0
    assert "is not what approval" in refused.err
    assert approval(beside, number)["state"] == "pending"

    digest = approval(beside, number)["digest"]
    done = run("--json", "approve", str(number), "--digest", digest)
    assert (json.loads(done.out)["id"], json.loads(done.out)["state"]) == (number, "approved")


def test_deny_takes_a_note_that_whoever_asked_is_told(
    run: Callable[..., Ran], ask: Callable[..., int], beside: Beside
) -> None:
    number = ask()

    assert run("deny", str(number), "not on a Friday").out == f"Approval {number} is denied.\n"

    with AgentClient(beside.hive.run.listeners.agent_socket("alice")) as alice:
        bodies = [each["body"] for each in alice.recv(max=32)["messages"]]
    assert "not on a Friday" in bodies[-1]
    assert "it is denied by operator" in run("approve", str(number), "--yes").err


def test_what_is_not_there_is_said(run: Callable[..., Ran]) -> None:
    for command in (("approvals", "999"), ("approve", "999", "--yes"), ("deny", "999")):
        ran = run(*command)
        assert ran.status != 0
        assert "There is no approval" in ran.err

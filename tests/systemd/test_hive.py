"""A hive as the module declares it lives on systemd: it plays, it survives, it is worked with."""

import re
import shlex

import pytest

from tests.systemd.hives import AGENTS, START_SECONDS, Host, unit_of
from tests.systemd.machines import Done, await_that
from tests.systemd.rendering import TREE

pytestmark = pytest.mark.xdist_group("systemd-hive")

SECURITY = TREE / "docs/security.md"


def test_every_agent_says_hello_from_a_guest_of_its_own(host: Host) -> None:
    host.await_ready()

    listed = host.machine.run("machinectl", "list", "--no-legend")
    assert {line.split()[0] for line in listed.splitlines()} == {f"h-{name}" for name in AGENTS}


def test_the_story_of_the_demo_plays_through(host: Host) -> None:
    host.await_settled()

    with host.client() as client:
        client.send("manager", "Publish the release notes of the new version.")
    host.await_message("queen", "alice", "draft")
    host.await_message("alice", "bob", "Which")
    host.await_message("bob", "alice", "Fixes")
    host.await_message("bob", "queen", "Checked")
    host.await_message("queen", "operator", "ready")
    host.await_settled()


@pytest.mark.parametrize(
    "command",
    [
        ("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "hyperhive.service"),
        ("systemctl", "restart", "hyperhive.service"),
        ("systemctl", "reload", "hyperhive.service"),
    ],
    ids=["killed", "restarted", "reloaded"],
)
def test_the_agents_run_on_when_their_server_is(host: Host, command: tuple[str, ...]) -> None:
    host.await_settled()
    before = host.invocations()

    host.machine.run(*command)
    host.await_answer("alice")

    assert host.invocations() == before


def test_a_guest_that_is_updated_in_place_wakes_for_what_is_waiting(host: Host) -> None:
    host.await_settled()
    before = host.invocations()
    guest = host.machine.guest("h-alice")
    guest.run("systemctl", "stop", "hyperhive-agent.service")
    with host.client() as client:
        sent = client.send("alice", "for when you are back")["id"]

    guest.run("/run/current-system/bin/switch-to-configuration", "test")

    host.await_acked(sent)
    assert host.invocations() == before


def test_a_guest_that_ends_by_itself_is_a_crash_and_comes_back(host: Host) -> None:
    host.await_settled()
    before = host.invocations()
    with host.client() as client:
        seq = client.state()["seq"]

    host.machine.guest("h-bob").run("systemctl", "exit", "3")

    await_that(lambda: host.invocations()["bob"] not in {"", before["bob"]}, "bob is started again")
    host.await_ready("bob")
    states = host.states_since(seq, "bob")
    assert ("backing_off", True) in {(state, "status 3" in reason) for state, reason in states}
    assert {name: host.invocations()[name] for name in ("alice", "queen")} == {
        name: before[name] for name in ("alice", "queen")
    }


def test_a_guest_whose_harness_dies_again_and_again_ends_and_is_a_crash(host: Host) -> None:
    host.await_settled()
    before = host.invocations()
    guest = host.machine.guest("h-alice")
    with host.client() as client:
        seq = client.state()["seq"]

    def has_ended() -> bool:
        guest.try_to("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "hyperhive-agent")
        return host.invocations()["alice"] != before["alice"]

    await_that(has_ended, "alice's guest has ended", START_SECONDS)
    await_that(lambda: host.invocations()["alice"] not in {"", before["alice"]}, "it runs again")
    host.await_ready("alice")
    states = host.states_since(seq, "alice")
    assert "backing_off" in {state for state, _ in states}


def test_guests_that_went_down_while_no_server_ran_come_back_in_order(host: Host) -> None:
    host.await_settled()
    with host.client() as client:
        seq = client.state()["seq"]
    guests = [unit_of(name) for name in AGENTS]

    host.machine.run("systemctl", "stop", "hyperhive.service")
    host.machine.run("systemctl", "stop", *guests)
    host.machine.run("systemctl", "start", "hyperhive.service")
    host.await_server()

    host.await_message("system", "queen", "gone while no server ran")
    host.await_as_declared()
    happened = host.events_since(seq)
    states = [
        (event["agent"], event["data"]["state"])
        for event in happened
        if event["kind"] == "agent_state_changed"
    ]
    back = [name for name, state in states if state == "ready"]
    assert back[0] == "queen"
    assert set(back) == set(AGENTS)


def test_the_operator_stops_a_guest_and_starts_it(host: Host) -> None:
    host.await_settled()

    with host.client() as client:
        client.stop("bob")
        host.await_states("stopped", names=("bob",))
        was = host.property(unit_of("bob"), "ActiveState")
        client.start("bob")
    host.await_ready("bob")

    assert was == "inactive"


def test_members_of_the_group_have_the_command_line_and_nobody_else(host: Host) -> None:
    host.await_ready()
    status = (host.program(), "--json", "status")

    assert host.machine.try_to(*status, user="operator").status == 0
    refused = host.machine.try_to(*status, user="stranger")
    assert refused.status != 0
    assert "You may not open /run/hyperhive/admin.sock" in refused.said


def test_a_program_logs_in_within_the_container_of_its_agent(host: Host) -> None:
    host.await_settled()
    login = f"{host.program()} login alice --interactive -- sh -c"

    def said(script: str) -> Done:
        # It wants a terminal.
        command = f"{login} {shlex.quote(script)}"
        return host.machine.try_to(
            "script", "--quiet", "--return", "--command", command, "/dev/null"
        )

    done = said("id -un; pwd; test ! -e /var/lib/hyperhive && echo inside >/home/agent/token")
    assert done.status == 0, done.said
    assert done.said.split()[:2] == ["agent", "/agents/alice/state"]
    assert host.box("alice").run("cat", "/home/agent/token") == "inside\n"
    failed = said("exit 3")
    assert failed.status == 1
    assert "sh ended with status 3" in failed.said
    assert not host.agent("alice")["pauses"]


@pytest.mark.parametrize("unit", ["hyperhive", "hyperhive-deploy@", "hyperhive-agent"])
def test_a_unit_is_as_little_exposed_as_the_docs_say(host: Host, unit: str) -> None:
    host.await_ready()
    where = host.machine.guest("h-alice") if unit == "hyperhive-agent" else host.machine
    name = f"{unit}carol.service" if unit.endswith("@") else f"{unit}.service"

    said = where.run("systemd-analyze", "security", "--no-pager", name)

    measured = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    shown = re.search(rf"^\| `{unit}\S*` \| ([0-9.]+) ", SECURITY.read_text(), re.MULTILINE)
    assert measured is not None
    assert shown is not None
    assert float(measured[1]) <= float(shown[1]), said


def test_a_reader_of_the_journal_is_not_the_operator_by_that(host: Host) -> None:
    said = host.machine.run("journalctl", "--unit=hyperhive", "--output=cat")

    assert "hyperhive login-link" in said
    assert "/login/" not in said


def test_the_server_has_no_capability(host: Host) -> None:
    pid = host.property("hyperhive.service", "MainPID")
    status = host.machine.run("cat", f"/proc/{pid}/status")

    assert re.findall(r"^Cap(?:Prm|Eff|Bnd|Amb):\s+(\w+)", status, re.MULTILINE) == ["0" * 16] * 4


def test_what_an_agent_writes_can_be_read(host: Host) -> None:
    host.await_ready()
    host.machine.run("systemctl", "restart", "hyperhive.service")
    host.await_answer("alice")

    with host.client() as client:
        lines = client.logs("alice")["lines"]
    assert any("session" in line for line in lines), lines

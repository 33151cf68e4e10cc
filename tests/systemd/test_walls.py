"""What a hostile agent finds in its guest: its own things, and no way to anybody else's."""

import json
from functools import partial
from typing import Any

import pytest

from tests.systemd.hives import AGENTS, SECRETS, UID, Host
from tests.systemd.machines import Done, await_that

pytestmark = pytest.mark.xdist_group("systemd-hive")

SOMEWHERE = ("/", "/agents", "/agents/alice", "/docs", "/etc", "/nix/store", "/run", "/usr/bin")


def tried(host: Host, *command: str, agent: str = "alice") -> Done:
    """Run a command where an agent's programs run, as whom they run."""
    return host.box(agent).try_to(*command, user=UID)


def found_by_probe(host: Host, agent: str) -> Any:
    variables = (
        f"HYPERHIVE_STATE=/agents/{agent}/state",
        "HYPERHIVE_SOCKET=/run/hyperhive/agent.sock",
        "HYPERHIVE_AGENTS=/agents",
        "HYPERHIVE_OPERATOR=10.229.0.1:7700",
        "HOME=/home/agent",
    )
    python = host.python()
    done = tried(host, "env", *variables, python, "-m", "hyperhive.harness.probe", agent=agent)
    assert done.status == 0, done.said
    return json.loads(done.said.splitlines()[-1])


@pytest.mark.parametrize("agent", AGENTS)
def test_the_hive_finds_every_box_as_promised(host: Host, agent: str) -> None:
    await_that(lambda: host.agent(agent)["probe"], f"{agent} has looked around")

    assert host.agent(agent)["probe"]["differences"] == []


def test_a_worker_sees_no_state_but_its_own(host: Host) -> None:
    host.await_settled()

    assert tried(host, "ls", "/agents").said.split() == ["alice"]


def test_the_manager_sees_every_state_and_changes_none(host: Host) -> None:
    host.await_settled()
    host.machine.path("/var/lib/hyperhive/agents/alice/state/note").write_text("mine")

    assert tried(host, "ls", "/agents", agent="queen").said.split() == list(AGENTS)
    assert tried(host, "touch", "/agents/alice/state/planted", agent="queen").status != 0


def test_an_agent_finds_no_socket_but_its_own(host: Host) -> None:
    host.await_settled()
    probe = found_by_probe(host, "alice")

    assert probe["sockets"]["own"] is True
    assert [path for path in probe["sockets"]["others"] if "hyperhive" in path] == []
    assert tried(host, "ls", "-A", "/run/hyperhive").said.split() == ["agent.sock", "credentials"]


@pytest.mark.parametrize("where", SOMEWHERE)
def test_an_agent_cannot_write_outside_its_own_places(host: Host, where: str) -> None:
    host.await_settled()

    assert tried(host, "touch", f"{where}/planted").status != 0


def test_where_a_guest_lets_everybody_write_its_agent_still_cannot(host: Host) -> None:
    """Else what is kept from an agent would hang on what else is in its guest."""
    host.await_settled()
    guest = host.machine.guest("h-alice")

    assert guest.run("stat", "--format=%a", "/run/lock").strip() == "1777"
    assert tried(host, "touch", "/run/lock/planted").status != 0


@pytest.mark.parametrize("where", ["/agents/alice/state", "/home/agent", "/shared", "/tmp"])
def test_an_agent_can_write_in_its_own_places(host: Host, where: str) -> None:
    host.await_settled()

    assert tried(host, "touch", f"{where}/kept").status == 0


def test_what_one_agent_puts_into_the_shared_space_another_can_change(host: Host) -> None:
    host.await_settled()
    place = "/shared/notes"

    assert tried(host, "sh", "-c", f"umask 007; echo alice > {place}").status == 0
    assert tried(host, "sh", "-c", f"echo bob >> {place}", agent="bob").status == 0
    assert host.machine.path("/var/lib/hyperhive/shared/notes").read_text() == "alice\nbob\n"


def test_the_operators_port_is_closed_to_an_agent(host: Host) -> None:
    host.await_settled()
    connect = "import socket; socket.create_connection(('10.229.0.1', 7700), timeout=2)"

    assert tried(host, "/usr/bin/python3", "-c", connect).status != 0
    assert found_by_probe(host, "alice")["network"]["operator_reachable"] is False


@pytest.mark.parametrize("command", [("su", "-c", "id"), ("mount", "-t", "tmpfs", "x", "/mnt")])
def test_an_agent_cannot_become_root(host: Host, command: tuple[str, ...]) -> None:
    host.await_settled()

    assert tried(host, *command).status != 0


def test_a_setuid_file_in_a_state_counts_nowhere(host: Host) -> None:
    """Even root of a guest gains nothing on the host by what it leaves in a state."""
    host.await_settled()
    inside = "/agents/alice/state/id"
    guest = host.machine.guest("h-alice")
    guest.run("cp", "/usr/bin/id", inside)
    guest.run("chmod", "4755", inside)

    within = tried(host, inside, "-u")
    outside = host.machine.try_to(
        "/var/lib/hyperhive/agents/alice/state/id", "-u", user="hyperhive"
    )
    guest.run("rm", inside)

    assert within.said.strip() == str(UID)
    assert outside.said.strip() == str(UID)


def test_the_hosts_nix_daemon_is_out_of_reach(host: Host) -> None:
    host.await_settled()

    assert tried(host, "ls", "-A", "/nix/var/nix/daemon-socket").said.strip() == ""
    assert tried(host, "touch", "/nix/var/nix/daemon-socket/socket").status != 0


def test_root_of_a_guest_is_nobody_on_the_host(host: Host) -> None:
    host.await_settled()
    leader = host.machine.leader_of("h-alice")
    status = host.machine.run("cat", f"/proc/{leader}/status")
    uid = next(line.split()[1] for line in status.splitlines() if line.startswith("Uid:"))

    assert int(uid) >= 65536


def test_an_agent_reads_none_of_the_hives_secrets(host: Host) -> None:
    host.await_settled()

    assert found_by_probe(host, "alice")["secrets"] == []
    assert found_by_probe(host, "alice")["homes"] == []


def test_a_secret_that_only_root_reads_reaches_its_agent_and_nobody_else(host: Host) -> None:
    host.await_settled()
    place = "/run/hyperhive/credentials/NOTE"

    assert host.box("alice").run("cat", place, user=UID) == "of alice\n"
    assert host.box("bob").try_to("cat", place, user=UID).status != 0
    assert host.box("alice").try_to("sh", "-c", f"echo mine >{place}", user=UID).status != 0


def test_a_secret_that_is_exchanged_arrives_and_one_that_is_missing_is_an_alert(
    host: Host,
) -> None:
    host.await_settled()
    secret = host.machine.path(f"{SECRETS}/alice")

    def restart() -> None:
        host.machine.run("systemctl", "restart", "hyperhive.service")
        host.await_server()

    def is_told() -> bool:
        return any(each["key"] == "credential:alice" for each in host.state()["alerts"])

    secret.write_text("another\n")
    restart()
    seen = partial(host.box("alice").try_to, "cat", "/run/hyperhive/credentials/NOTE", user=UID)
    await_that(lambda: seen().said == "another\n", "alice sees what it is now")
    secret.rename(secret.with_name("aside"))
    restart()
    await_that(is_told, "that there is none is an alert")
    secret.with_name("aside").rename(secret)
    restart()
    await_that(lambda: not is_told(), "the alert is gone")
    host.await_settled()

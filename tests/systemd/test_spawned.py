"""An agent that comes at run time: its system is built, installed by root's unit, and boots.

Of all that only NixOS is pretended (`tests.nixpkgs`). The server has Nix lock, evaluate and build
as its own user and in its own walls, polkit lets it start the unit that installs, and that unit
checks and installs in its own.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_nixos import Evaluated, Evaluator
from tests.nix.hives import spawned_guest
from tests.promises import promise
from tests.systemd import installing
from tests.systemd.hives import ROLLOUT_SECONDS, UID, Host, unit_of
from tests.systemd.machines import Done, await_that
from tests.systemd.rendering import NIXPKGS, prepare_spawning

pytestmark = pytest.mark.xdist_group("systemd-hive")

CAROL = unit_of("carol")
SETTINGS = "/etc/nixos-containers/h-carol.conf"
ON_TRIAL = "/var/lib/hyperhive/flake.lock.before"
CONFIG = "/agents/carol/config"
WITH_HELLO = "{ pkgs, ... }: { environment.systemPackages = [ pkgs.hello ]; }\n"


@pytest.fixture(scope="module")
def carol(
    host: Host,
    evaluated: Evaluated,
    nixos_eval: Evaluator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Host]:
    """The hive with carol, who is purged at last."""
    guest = spawned_guest(nixos_eval, evaluated, "carol", tmp_path_factory.mktemp("commit"))
    prepare_spawning(host.machine, installing.debian(), guest, "carol")
    host.await_settled()
    with host.client() as client:
        asked = client.spawn("carol", "Sings.")
    assert host.approve(asked["id"])["state"] == "done"
    refuse_what_the_manager_proposes(host)
    yield host
    host.await_settled()
    with host.client() as client:
        client.destroy("carol")
        await_that(lambda: host.property(CAROL, "ActiveState") == "inactive", "carol is down")
        client.purge("carol")
    await_that(lambda: not host.machine.path(SETTINGS).exists(), "carol's container is gone")
    host.await_settled()


def refuse_what_the_manager_proposes(host: Host) -> None:
    """Let the story of the demo end here: its manager changes whoever comes."""
    host.await_settled()
    with host.client() as client:
        for asked in client.approvals(state="pending")["approvals"]:
            client.deny(asked["id"])
    host.await_settled()


def within(carol: Host, *command: str, agent: str = "carol") -> Done:
    """Run a command as an agent's programs do."""
    return carol.box(agent).try_to(*command, user=UID)


def system_of(host: Host, agent: str) -> str:
    """Give the system that an agent's container has."""
    text = host.machine.path(f"/etc/nixos-containers/h-{agent}.conf").read_text()
    return text.splitlines()[0].removeprefix("SYSTEM_PATH=")


def programs_of(carol: Host) -> str:
    """Give the programs in the system that carol's container has."""
    system = system_of(carol, "carol")
    assert system.endswith("-nixos-system-h-carol")
    return carol.machine.path(f"{system}/packages").read_text()


def proposed(carol: Host, agent_nix: str) -> int:
    """Have the manager propose programs for carol; give the approval."""
    script = f"""
      cd {CONFIG} && cat >agent.nix && git add agent.nix && git commit --quiet --message programs
      git rev-parse HEAD
    """
    done = within(carol, "sh", "-euc", f"printf %s '{agent_nix}' | {{ {script} }}", agent="queen")
    assert done.status == 0, done.said
    with carol.client_of("queen") as queen:
        commit = done.said.split()[-1]
        asked = queen.call("request_apply_commit", agent="carol", commit=commit)
    number: int = asked["id"]
    return number


@promise("N11")
def test_whom_the_operator_approves_says_hello_from_a_container_of_its_own(carol: Host) -> None:
    carol.await_ready("carol")

    assert "h-carol" in carol.machine.run("machinectl", "list", "--no-legend")
    assert "-git" in programs_of(carol)
    assert "-hello" not in programs_of(carol)
    await_that(lambda: carol.agent("carol")["probe"], "carol has looked around")
    assert carol.agent("carol")["probe"]["differences"] == []


def test_its_unit_is_held_like_that_of_a_declared_one(carol: Host) -> None:
    for name in ("Restart", "TimeoutStopUSec", "MemoryMax"):
        assert carol.property(CAROL, name) == carol.property(unit_of("alice"), name)


def test_it_reads_what_it_runs_from_and_changes_nothing_of_it(carol: Host) -> None:
    carol.await_ready("carol")

    read = json.loads(within(carol, "cat", f"{CONFIG}/agent.json").said)
    assert read == {"description": "Sings."}
    assert within(carol, "touch", f"{CONFIG}/planted").status != 0


@promise("N12")
def test_what_the_manager_exchanges_on_the_host_shows_it_nothing(carol: Host) -> None:
    """Whoever may write to /configs can put a link to anything in the place of a repository."""
    exchange = "mv /configs/carol /configs/kept && ln -s /var/lib/hyperhive /configs/carol"
    back = "rm /configs/carol && mv /configs/kept /configs/carol"
    before = carol.property(CAROL, "InvocationID")
    assert within(carol, "sh", "-c", exchange, agent="queen").status == 0
    try:
        with carol.client() as client:
            client.restart("carol")
        await_that(
            lambda: carol.property(CAROL, "InvocationID") not in {"", before}, "carol is restarted"
        )
        carol.await_ready("carol")
        seen = within(carol, "ls", "-A", CONFIG).said.split()
    finally:
        assert within(carol, "sh", "-c", back, agent="queen").status == 0

    assert seen == ["README.md", "agent.json", "agent.nix"]


@promise("N11")
def test_a_change_that_cannot_be_built_changes_nothing_that_runs(carol: Host) -> None:
    carol.await_ready("carol")
    before = carol.property(CAROL, "InvocationID")

    failed = carol.approve(proposed(carol, WITH_HELLO.replace("hello", "nonsense")))

    assert failed["state"] == "failed"
    assert "attribute 'nonsense' missing" in failed["error"]
    assert carol.property(CAROL, "InvocationID") == before


@promise("N11")
def test_a_change_that_is_approved_is_built_installed_and_booted(carol: Host) -> None:
    done = carol.approve(proposed(carol, WITH_HELLO))

    assert done["state"] == "done", done
    carol.await_ready("carol")
    assert "-hello" in programs_of(carol)
    assert within(carol, "cat", f"{CONFIG}/agent.nix").said == WITH_HELLO


@promise("N10")
def test_newer_inputs_are_put_back_if_the_server_is_killed_while_they_are_on_trial(
    carol: Host,
) -> None:
    carol.await_ready("carol")
    before = system_of(carol, "carol")
    # A file more in the guest's system, so that it is another one.
    carol.machine.path(f"/{NIXPKGS}/rendered/newer").write_text("newer\n")
    server = carol.property("hyperhive.service", "MainPID")
    kill = f"until [ -e {ON_TRIAL} ]; do sleep 0.02; done; kill -KILL {server}"
    with ThreadPoolExecutor() as pool, carol.client() as client:
        killing = pool.submit(carol.machine.run, "sh", "-c", kill, seconds=ROLLOUT_SECONDS)
        killed = client.update_inputs()["id"]
        client.approve(killed, client.approval(killed)["digest"])
        killing.result()

    assert carol.ended(killed)["state"] == "failed"
    assert not carol.machine.path(ON_TRIAL).exists()
    await_that(lambda: system_of(carol, "carol") == before, "carol has the system of before")
    carol.await_as_declared()

    with carol.client() as client:
        asked = client.update_inputs()["id"]
    done = carol.approve(asked)
    assert done["state"] == "done", done
    newer = carol.machine.path(f"{system_of(carol, 'carol')}/newer")
    assert newer.read_text() == "newer\n"


def test_the_server_can_install_nothing_that_was_not_made_for_the_agent(carol: Host) -> None:
    for name, request, words in (
        ("dora", system_of(carol, "carol"), "was not made for it"),
        ("dora", system_of(carol, "alice"), "is not in the store"),
        ("alice", system_of(carol, "carol"), "is declared in the host's configuration"),
        ("dora", "/etc", "is no path of the store"),
    ):
        ask = f"echo {request} >/var/lib/hyperhive/deploy/{name}"
        carol.machine.run("sh", "-c", ask, user="hyperhive")
        unit = f"hyperhive-deploy@{name}.service"
        start = ("systemctl", "--no-ask-password", "start", unit)

        assert carol.machine.try_to(*start, user="hyperhive").status != 0
        assert words in carol.machine.run("journalctl", "--unit", unit, "--output=cat")
        assert not carol.machine.path("/etc/nixos-containers/h-dora.conf").exists()

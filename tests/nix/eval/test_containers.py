"""Each agent's container: what it sees, who it is in there, what it may take, who starts it."""

from pathlib import Path
from typing import Any, Final

import pytest

from hyperhive import config
from hyperhive.domain.instances import BoxSpec
from hyperhive.reconcile.specs import box_specs
from hyperhive.runtimes.environment import environment_of, make_directories
from hyperhive.runtimes.mounts import places
from pytest_nixos import Evaluated, Evaluator
from tests.nix.hives import HIVE, hive, small

UNIT: Final = "hyperhive-agent.service"
STATE: Final = "/var/lib/hyperhive"
FOR_ALL: Final = {
    "/shared": (f"{STATE}/shared", "--bind"),
    "/docs": (f"{STATE}/docs", "--bind-ro"),
}


def test_every_enabled_agent_has_a_container_of_its_own(example: Evaluated) -> None:
    assert set(example.value("containers")) == {"h-queen", "h-alice", "h-bob"}


def test_a_worker_sees_its_own_and_what_is_shared(little: Evaluated) -> None:
    assert mounts(little, "alice") == FOR_ALL | {
        "/agents/alice/state": (f"{STATE}/agents/alice/state", "--bind"),
        "/home/agent": (f"{STATE}/homes/alice", "--bind"),
        "/run/hyperhive": ("/run/hyperhive/agents/alice", "--bind-ro"),
    }


def test_the_manager_sees_every_state_read_only_and_its_own_writable(little: Evaluated) -> None:
    assert mounts(little, "queen") == FOR_ALL | {
        "/agents": (f"{STATE}/agents", "--bind-ro"),
        "/applied": (f"{STATE}/applied", "--bind-ro"),
        "/configs": (f"{STATE}/configs", "--bind"),
        "/agents/queen/state": (f"{STATE}/agents/queen/state", "--bind"),
        "/home/agent": (f"{STATE}/homes/queen", "--bind"),
        "/run/hyperhive": ("/run/hyperhive/agents/queen", "--bind-ro"),
    }


def test_a_manager_that_may_write_gets_each_state_and_nothing_beside_it(example: Evaluated) -> None:
    seen = mounts(example, "queen")

    assert seen["/agents"] == (f"{STATE}/agents", "--bind-ro")
    assert {place for place, (_, how) in seen.items() if how == "--bind"} == {
        "/agents/queen/state",
        "/agents/alice/state",
        "/agents/bob/state",
        "/agents/carol/state",
        "/configs",
        "/home/agent",
        "/shared",
    }


def test_every_mount_maps_users(example: Evaluated) -> None:
    for name in ("queen", "alice", "bob"):
        flags = example.value(f"containers.h-{name}.extraFlags")
        assert [flag for flag in flags if "bind" in flag and not flag.endswith(":idmap")] == []


def test_further_mounts_are_read_only_unless_said(example: Evaluated) -> None:
    seen = mounts(example, "alice")

    assert seen["/data/models"] == ("/srv/models", "--bind-ro")
    assert seen["/data/results"] == ("/srv/results", "--bind")
    assert seen["/run/hyperhive/credentials"] == ("/run/hyperhive/credentials/alice", "--bind-ro")


def test_a_script_of_the_host_is_mounted_where_the_declaration_says(example: Evaluated) -> None:
    script = example.value(f"{HIVE}.declaration.agents.bob.driver.script")

    assert mounts(example, "bob")[script] == (script, "--bind-ro")


def test_whatever_is_mounted_is_there_before_a_container_starts(example: Evaluated) -> None:
    made = set(example.value("systemd.tmpfiles.settings")["10-hyperhive"])

    wanted = {
        source
        for name in ("queen", "alice", "bob")
        for source, _ in mounts(example, name).values()
        if source.startswith((STATE, "/run/hyperhive"))
    }

    assert wanted <= made


def test_tmpfiles_and_the_server_give_directories_the_same_modes(
    little: Evaluated, tmp_path: Path
) -> None:
    (spec,) = (one for one in specs(little, tmp_path) if one.name == "alice")
    made = little.value("systemd.tmpfiles.settings")["10-hyperhive"]

    make_directories(spec)

    for place, ours in (("/var/lib/hyperhive", spec.state_dir), ("/run/hyperhive", spec.run_dir)):
        for inner in (ours, *ours.rglob("*")):
            path = place + str(inner).removeprefix(str(ours))
            if path in made and inner.is_dir():
                mode = f"{inner.stat().st_mode & 0o7777:04o}"
                assert (path, made[path]["d"]["mode"]) == (path, mode)


def test_root_in_a_container_is_nobody_outside(example: Evaluated) -> None:
    for name in ("queen", "alice", "bob"):
        container = example.value(f"containers.h-{name}")
        assert container["privateUsers"] == "pick"
        assert "--no-new-privileges=yes" in container["extraFlags"]


def test_only_the_server_starts_and_restarts_containers(example: Evaluated) -> None:
    container = example.value("containers.h-alice")
    unit = example.unit("container@h-alice.service")

    assert (container["autoStart"], container["restartIfChanged"]) == (False, False)
    assert container["ephemeral"] is False
    assert unit.section("Unit")["X-RestartIfChanged"] == "false"
    assert unit.section("Service")["Restart"] == "no"
    assert (unit.wanted_by, unit.required_by) == ((), ())


def test_a_container_without_settings_does_not_start(little: Evaluated) -> None:
    unit = little.unit("container@.service").section("Unit")

    assert unit["AssertPathExists"] == "/etc/nixos-containers/%i.conf"


def test_limits_are_systemds(example: Evaluated) -> None:
    alice = example.unit("container@h-alice.service").section("Service")
    bob = example.unit("container@h-bob.service").section("Service")

    assert (alice["MemoryMax"], alice["CPUQuota"], alice["TasksMax"]) == ("2G", "150%", "512")
    assert not {"MemoryMax", "CPUQuota", "TasksMax"} & set(bob)


def test_the_nix_daemon_is_withheld_unless_asked_for(example: Evaluated) -> None:
    hidden = "--tmpfs=/nix/var/nix/daemon-socket:ro"

    assert hidden in example.value("containers.h-alice.extraFlags")
    assert hidden not in example.value("containers.h-bob.extraFlags")
    assert guest(example, "alice").value("nix.enable") is False
    assert guest(example, "bob").value("nix.enable") is True


def test_the_agent_is_an_ordinary_user_with_the_number_of_the_hives(little: Evaluated) -> None:
    inside = guest(little, "alice")
    agent = inside.users["agent"]

    assert (agent["uid"], agent["home"], agent["createHome"]) == (770, "/home/agent", False)
    assert agent["isSystemUser"] is True  # as NixOS wants it of every number below 1000
    assert inside.groups["agent"]["gid"] == 770
    assert "wheel" not in agent["extraGroups"]


def test_there_is_no_way_to_root(little: Evaluated) -> None:
    inside = guest(little, "alice")

    assert inside.value("security.sudo.enable") is False
    assert inside.value("security.enableWrappers") is False
    assert inside.value("users.mutableUsers") is False
    assert inside.value("users.users.root.hashedPassword") == "!"
    assert inside.value("users.users.agent.hashedPassword") == "!"
    assert inside.unit(UNIT).section("Service")["NoNewPrivileges"] == "true"


def test_the_harness_runs_under_a_watchdog_and_is_brought_back(little: Evaluated) -> None:
    unit = guest(little, "alice").unit(UNIT)
    service = unit.section("Service")

    assert service["ExecStart"].endswith("/bin/hyperhive agent")
    assert (service["Type"], service["Restart"], service["User"]) == ("notify", "always", "agent")
    assert int(service["WatchdogSec"]) > 0
    assert service["OOMPolicy"] == "continue"
    assert unit.wanted_by == ("multi-user.target",)


def test_a_harness_that_keeps_dying_ends_its_guest(little: Evaluated) -> None:
    section = guest(little, "alice").unit(UNIT).section("Unit")

    limit = {key: section[f"StartLimit{key}"] for key in ("Action", "Burst", "IntervalSec")}
    assert limit == {"Action": "exit", "Burst": "5", "IntervalSec": "900"}


def test_no_unit_of_a_container_can_fail_its_activation(example: Evaluated) -> None:
    for name in ("queen", "alice", "bob"):
        assert [unit.required_by for unit in guest(example, name).units.values()] == [()]


def test_the_harness_writes_what_the_agent_may_write(example: Evaluated) -> None:
    alice = guest(example, "alice").unit(UNIT).section("Service")
    queen = guest(example, "queen").unit(UNIT).section("Service")

    own = ["/shared", "/home/agent", "/tmp"]
    assert (alice["ProtectSystem"], alice["ReadOnlyPaths"]) == ("strict", "/run")
    assert alice.every("ReadWritePaths") == ["/agents/alice/state", *own, "/data/results"]
    assert set(queen.every("ReadWritePaths")) == {
        "/agents/queen/state",
        *own,
        "/configs",
        *(f"/agents/{name}/state" for name in ("alice", "bob", "carol")),
    }


@pytest.mark.parametrize("name", ["queen", "alice", "bob"])
def test_the_environment_is_what_every_runtime_gives_a_box(
    name: str, example: Evaluated, tmp_path: Path
) -> None:
    (spec,) = (one for one in specs(example, tmp_path) if one.name == name)
    lines = guest(example, name).unit(UNIT).section("Service").every("Environment")
    given = dict(line.strip('"').split("=", 1) for line in lines)

    expected = environment_of(spec, {}, places=places(name), operator="10.229.0.1:7700")

    for key in ("PATH", "LANG"):
        expected.pop(key)
    if "HYPERHIVE_CREDENTIALS" in expected:
        expected["HYPERHIVE_CREDENTIALS"] = "/run/hyperhive/credentials"
    assert given == expected


def test_the_driver_git_and_the_forges_client_are_installed(example: Evaluated) -> None:
    def programs(name: str) -> set[str]:
        paths = guest(example, name).value("environment.systemPackages")
        return {path.split("-", 1)[1] for path in paths}

    assert programs("queen") == {"hyperhive", "git", "tea", "claude-code"}
    assert programs("alice") == {"hyperhive", "git", "tea", "codex", "hello"}
    assert programs("bob") == {"hyperhive", "git", "tea"}


def test_an_unfree_driver_is_allowed_in_its_own_container_alone(example: Evaluated) -> None:
    assert guest(example, "queen").value("nixpkgs.config") == {"allowUnfreePredicate": "<function>"}
    assert guest(example, "bob").value("nixpkgs.config") == {}


def test_a_system_says_for_which_agent_it_was_made(little: Evaluated) -> None:
    assert guest(little, "bob").files["hyperhive/agent"].text == "bob\n"


def test_the_admin_adds_to_one_container_or_to_all(nixos_eval: Evaluator) -> None:
    everywhere = {"environment": {"etc": {"all": {"text": "a"}}}}
    in_bobs = {"environment": {"etc": {"one": {"text": "b"}}}}

    found = hive(nixos_eval, small(guest=everywhere, agents={"bob": {"guest": in_bobs}}))

    assert {"all", "one"} <= set(guest(found, "bob").files)
    assert "one" not in guest(found, "alice").files


def guest(found: Evaluated, name: str) -> Evaluated:
    """Give the machine in an agent's container."""
    return found.inside(f"containers.h-{name}.config")


def mounts(found: Evaluated, name: str) -> dict[str, tuple[str, str]]:
    """Give what is mounted into a container: by place, the source and the flag."""
    seen = {}
    for flag in found.value(f"containers.h-{name}.extraFlags"):
        how, _, rest = flag.partition("=")
        if how in {"--bind", "--bind-ro"}:
            source, place, _ = rest.split(":")
            seen[place] = (source, how)
    return seen


def specs(found: Evaluated, directory: Path) -> list[BoxSpec]:
    """Give the boxes as the server sees them, with the hive's directories below another one."""
    declared: dict[str, Any] = {
        **found.value(f"{HIVE}.declaration"),
        "stateDir": str(directory / "state"),
        "runDir": str(directory / "run"),
    }
    read = config.parse(declared, directory)
    return list(box_specs(read, [kind.value for kind in config.RuntimeKind]).values())

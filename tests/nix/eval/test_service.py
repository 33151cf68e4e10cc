"""The server's unit: who it is, what it may, what restarts it, where its secrets come from."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from pytest_nixos import Evaluated, Evaluator, Unit
from tests.nix.hives import HIVE, hive, small

SERVICE: Final = "hyperhive.service"
DEPLOY: Final = "hyperhive-deploy@.service"
AGENT: Final = "hyperhive-agent.service"
FORGE: Final = "hyperhive-forge-admin.service"

EXPOSURE_MAX: Final = {SERVICE: 1.5, DEPLOY: 1.6, FORGE: 1.6, AGENT: 4.0}
"""`systemd-analyze security` calls everything below 2.0 well protected, and below 5.0 OK."""


def test_the_server_is_an_ordinary_user_with_a_fixed_number(little: Evaluated) -> None:
    user, group = little.users["hyperhive"], little.groups["hyperhive"]
    service = little.unit(SERVICE).section("Service")

    assert (user["uid"], user["group"], group["gid"]) == (770, "hyperhive", 770)
    assert (service["User"], service["Group"]) == ("hyperhive", "hyperhive")


def test_the_server_has_no_capability_and_cannot_get_one(little: Evaluated) -> None:
    service = little.unit(SERVICE).section("Service")

    assert (service["CapabilityBoundingSet"], service["AmbientCapabilities"]) == ("", "")
    assert (service["NoNewPrivileges"], service["RestrictNamespaces"]) == ("true", "true")


def test_what_the_server_starts_can_run_out_of_memory_alone(little: Evaluated) -> None:
    assert little.unit(SERVICE).section("Service")["OOMPolicy"] == "continue"


def test_the_server_writes_its_two_directories_and_nothing_else(little: Evaluated) -> None:
    service = little.unit(SERVICE).section("Service")

    assert (service["ProtectSystem"], service["ReadOnlyPaths"]) == ("strict", "/run")
    assert service.every("ReadWritePaths") == ["/var/lib/hyperhive", "/run/hyperhive"]


def test_the_server_reads_the_declaration_that_the_build_has_checked(little: Evaluated) -> None:
    service = little.unit(SERVICE).section("Service")
    source = little.files["hyperhive/hive.json"].source

    assert service["ExecStart"].endswith("hyperhive serve --config /etc/hyperhive/hive.json")
    assert source is not None
    assert source in little.unit(SERVICE).section("Unit")["X-Reload-Triggers"]


def test_members_of_the_group_reach_the_admin_socket(little: Evaluated) -> None:
    directories = little.value("systemd.tmpfiles.settings")["10-hyperhive"]

    assert directories["/run/hyperhive"]["d"] == {
        "mode": "0750",
        "user": "hyperhive",
        "group": "hyperhive",
    }
    assert directories["/run/hyperhive/agents/alice"]["d"]["mode"] == "0700"
    assert [path for path in little.value("environment.systemPackages") if "hyperhive" in path]


def test_another_declaration_reloads_the_server(nixos_eval: Evaluator, little: Evaluated) -> None:
    other = hive(nixos_eval, small(agents={"bob": {"description": "New."}}))

    before, after = little.unit(SERVICE), other.unit(SERVICE)

    assert triggers(before) != triggers(after)
    assert without_triggers(before) == without_triggers(after)


def test_a_container_that_changed_reloads_the_server(
    nixos_eval: Evaluator, little: Evaluated
) -> None:
    packages = "{ pkgs, ... }: { services.hyperhive.agents.bob.packages = [ pkgs.hello ]; }"
    other = hive(nixos_eval, small(), packages)

    before, after = little.unit(SERVICE), other.unit(SERVICE)

    new = " ".join(set(triggers(after).split()) - set(triggers(before).split()))
    assert re.fullmatch(r"/nix/store/\w+-nixos-system-h-bob", new)
    assert without_triggers(before) == without_triggers(after)


def test_a_mount_that_changed_reloads_the_server(nixos_eval: Evaluator, little: Evaluated) -> None:
    binds = [{"hostPath": "/srv/data", "mountPoint": "/data"}]
    other = hive(nixos_eval, small(agents={"bob": {"binds": binds}}))

    before, after = little.unit(SERVICE), other.unit(SERVICE)

    assert "/srv/data:/data" in triggers(after)
    assert without_triggers(before) == without_triggers(after)


def test_another_package_restarts_the_server(nixos_eval: Evaluator, little: Evaluated) -> None:
    package = "{ pkgs, ... }: { services.hyperhive.package = pkgs.hello; }"
    other = hive(nixos_eval, small(), package)

    assert without_triggers(little.unit(SERVICE)) != without_triggers(other.unit(SERVICE))


def test_what_the_server_reads_only_when_it_starts_restarts_it(
    nixos_eval: Evaluator, little: Evaluated
) -> None:
    other = hive(nixos_eval, small(operator={"port": 7701}))

    assert restarts(little.unit(SERVICE)) != restarts(other.unit(SERVICE))


def test_a_reload_is_a_hangup(little: Evaluated) -> None:
    service = little.unit(SERVICE).section("Service")

    assert service["ExecReload"].endswith("/bin/kill -HUP $MAINPID")
    assert service["Type"] == "notify"


def test_a_secret_may_belong_to_root(example: Evaluated) -> None:
    service = example.unit(SERVICE).section("Service")

    assert service.every("LoadCredential") == [
        "operator:/run/secrets/hive-operator",
        "webhook:/run/secrets/hive-webhook",
        "queen.ANTHROPIC_API_KEY:/run/secrets/queen-anthropic",
    ]
    declared = example.value(f"{HIVE}.declaration")
    place = "/run/credentials/hyperhive.service"
    assert declared["operator"]["secretFile"] == f"{place}/operator"
    assert declared["agents"]["queen"]["credentials"] == {
        "ANTHROPIC_API_KEY": f"{place}/queen.ANTHROPIC_API_KEY"
    }


def test_a_secret_that_is_missing_does_not_keep_the_server_down(example: Evaluated) -> None:
    service = example.unit(SERVICE).section("Service")

    without_default = {line.partition(":")[0] for line in service.every("LoadCredential")} - {
        line.partition(":")[0] for line in service.every("SetCredential")
    }

    assert without_default == set()
    assert {line.partition(":")[2] for line in service.every("SetCredential")} == {"\\n"}


def test_a_secret_of_the_hives_own_is_read_in_place(example: Evaluated) -> None:
    credentials = example.value(f"{HIVE}.declaration.agents.alice.credentials")

    assert credentials == {"OPENAI_API_KEY": "/var/lib/hyperhive/credentials/alice-openai"}
    assert "alice-openai" not in example.unit(SERVICE).text


def test_no_secret_lands_in_the_store(example: Evaluated) -> None:
    paths = (
        example.value(f"{HIVE}.operator.passwordFile"),
        example.value(f"{HIVE}.operator.webhook.urlFile"),
        *(
            path
            for agent in example.value(f"{HIVE}.agents").values()
            for path in agent["credentials"].values()
        ),
    )

    assert not [path for path in paths if path.startswith("/nix/store")]


def test_directories_outlive_the_server(little: Evaluated) -> None:
    service = little.unit(SERVICE).section("Service")
    directories = little.value("systemd.tmpfiles.settings")["10-hyperhive"]

    assert not {"RuntimeDirectory", "StateDirectory"} & set(service)
    assert {
        path.removeprefix("/var/lib/hyperhive"): entry["d"]["mode"]
        for path, entry in directories.items()
        if path.startswith("/var/lib/hyperhive") and "bob" not in path and "queen" not in path
    } == {
        "": "0750",
        "/agents": "0750",
        "/agents/alice": "0750",
        "/agents/alice/state": "0700",
        "/applied": "0750",
        "/configs": "0750",
        "/deploy": "0750",
        "/docs": "0750",
        "/homes": "0750",
        "/homes/alice": "0700",
        "/shared": "2770",
    }


def test_setuid_does_not_count_in_the_state_directory(little: Evaluated) -> None:
    (mount,) = little.value("systemd.mounts")

    assert (mount["what"], mount["where"]) == ("/var/lib/hyperhive", "/var/lib/hyperhive")
    assert set(mount["options"].split(",")) == {"bind", "nosuid", "nodev"}


def test_a_state_directory_that_the_admin_mounts_is_left_alone(nixos_eval: Evaluator) -> None:
    disk = {"device": "/dev/sdb1", "fsType": "ext4", "options": ["nosuid"]}
    mounted = {"fileSystems": {"/var/lib/hyperhive": disk}}

    found = hive(nixos_eval, {**small(), **mounted})

    assert (found.failed, found.value("systemd.mounts")) == ([], [])
    mounts_for = found.unit(SERVICE).section("Unit").every("RequiresMountsFor")
    assert "/var/lib/hyperhive" in mounts_for


@pytest.mark.parametrize("name", EXPOSURE_MAX)
def test_systemd_rates_the_unit_as_well_protected(
    name: str, example: Evaluated, tmp_path: Path
) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    machine = example.inside("containers.h-alice.config") if name == AGENT else example
    file = tmp_path / name
    file.write_text(machine.unit(name).text)

    rated = subprocess.run(
        [analyze, "security", "--no-pager", "--offline=true", file],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    said = re.search(r"Overall exposure level for \S+ ([\d.]+)", rated.stdout)
    assert said is not None, rated.stdout + rated.stderr
    assert float(said[1]) <= EXPOSURE_MAX[name]
    assert "ignoring" not in rated.stderr


def triggers(unit: Unit) -> str:
    """Give what reloads the unit when it changes."""
    return unit.section("Unit")["X-Reload-Triggers"]


def restarts(unit: Unit) -> str:
    """Give what restarts the unit when it changes, beside the unit itself."""
    return unit.section("Unit")["X-Restart-Triggers"]


def without_triggers(unit: Unit) -> list[str]:
    """Give the rest of the unit: what restarts it when it changes."""
    return [line for line in unit.text.splitlines() if not line.startswith("X-Reload-Triggers=")]

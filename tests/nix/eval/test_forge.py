"""The forge: one that the module sets up, one that runs already, or the server's own small one."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_nixos import Evaluated, Evaluator
from tests.nix.hives import HIVE, MODULE, hive, small

SCRIPT: Final = MODULE.parent / "forge-admin.sh"
ADMIN: Final = "hyperhive-forge-admin.service"
SERVER: Final = "hyperhive.service"
HERE: Final = "http://10.229.0.1:7780"


@pytest.fixture(scope="module")
def ours(nixos_eval: Evaluator) -> Evaluated:
    """A hive with a Forgejo that the module sets up."""
    want = ("services.forgejo", f"{HIVE}.declaration", "networking.interfaces")
    return hive(nixos_eval, small(forge={"kind": "forgejo"}), want=want)


def declared(found: Evaluated) -> dict[str, Any]:
    said: dict[str, Any] = found.value(f"{HIVE}.declaration").get("forge", {})
    return said


def test_without_one_nothing_is_set_up(little: Evaluated) -> None:
    assert declared(little) == {}
    assert little.value("services.forgejo.enable") is False
    assert ADMIN not in little.units
    assert little.value("networking.interfaces") == {}


def test_a_forgejo_of_the_hives_own_listens_where_only_this_host_and_its_containers_reach_it(
    ours: Evaluated,
) -> None:
    server = ours.value("services.forgejo.settings")["server"]

    assert (server["HTTP_ADDR"], server["HTTP_PORT"]) == ("10.229.0.1", 7780)
    assert server["ROOT_URL"] == f"{HERE}/"
    assert ours.value("networking.interfaces")["lo"]["ipv4"]["addresses"] == [
        {"address": "10.229.0.1", "prefixLength": 32}
    ]
    assert ours.value(f"{HIVE}.network.hostTCPPorts") == [7780]
    assert ours.value("networking.firewall.allowedTCPPorts") == []
    assert ours.failed == []


def test_nobody_registers_there_and_it_reaches_nothing_but_the_hives_ear(ours: Evaluated) -> None:
    settings = ours.value("services.forgejo.settings")

    assert settings["service"]["DISABLE_REGISTRATION"] is True
    assert settings["service"]["REQUIRE_SIGNIN_VIEW"] is True
    assert settings["webhook"] == {"ALLOWED_HOST_LIST": "127.0.77.1/32"}
    assert settings["repository"]["DISABLE_MIGRATIONS"] is True
    assert settings["mirror"]["ENABLED"] is False


def test_the_traps_of_forgejo_on_nixos_are_avoided(ours: Evaluated) -> None:
    forgejo = ours.value("services.forgejo")

    assert forgejo["settings"]["F3"] == {"ENABLED": False, "PATH": "/var/lib/forgejo/data/f3"}
    assert forgejo["database"]["type"] == "sqlite3"
    assert "forgejo-lts" in forgejo["package"]


def test_it_is_dumped_every_day(ours: Evaluated) -> None:
    assert ours.value("services.forgejo.dump.enable") is True


def test_its_administrators_token_is_made_at_run_time_and_read_by_the_hive_alone(
    ours: Evaluated,
) -> None:
    unit = ours.unit(ADMIN)
    service = unit.section("Service")
    (directory,) = (
        entry["d"]
        for path, entry in ours.value("systemd.tmpfiles.settings")["10-hyperhive"].items()
        if path == "/var/lib/hyperhive-forge"
    )

    assert declared(ours) == {
        "kind": "forgejo",
        "url": HERE,
        "tokenFile": "/var/lib/hyperhive-forge/token",
    }
    assert directory == {"mode": "2750", "user": "forgejo", "group": "hyperhive"}
    assert (service["User"], service["UMask"]) == ("forgejo", "0027")
    assert {"/var/lib/forgejo", "/var/lib/hyperhive-forge"} == set(service.every("ReadWritePaths"))
    assert "forgejo.service" in unit.section("Unit")["PartOf"]
    # A forge that does not come up holds no agent up.
    assert "Before" not in unit.section("Unit")
    assert "forgejo" not in ours.unit(SERVER).section("Unit")["After"]
    assert "LoadCredential" not in ours.unit(SERVER).section("Service")


def test_the_admin_can_say_otherwise_of_forgejo_itself(nixos_eval: Evaluator) -> None:
    own = {"services": {"forgejo": {"dump": {"enable": False}, "stateDir": "/srv/forgejo"}}}

    found = hive(
        nixos_eval,
        {"services": {**small(forge={"kind": "forgejo"})["services"], **own["services"]}},
    )

    assert found.value("services.forgejo.dump.enable") is False
    assert 'Environment="FORGEJO_WORK_DIR=/srv/forgejo"' in found.unit(ADMIN).text


def test_one_that_runs_already_is_named_and_its_token_handed_over(nixos_eval: Evaluator) -> None:
    forge = {"kind": "forgejo", "url": "https://git.example.org", "tokenFile": "/run/secrets/forge"}

    found = hive(nixos_eval, small(forge=forge))

    place = "/run/credentials/hyperhive.service/forge"
    assert declared(found) == {**forge, "tokenFile": place}
    service = found.unit(SERVER).section("Service")
    assert service.every("LoadCredential") == ["forge:/run/secrets/forge"]
    assert found.value("services.forgejo.enable") is False
    assert found.value(f"{HIVE}.network.hostTCPPorts") == []


def test_what_was_said_in_settings_still_counts(nixos_eval: Evaluator) -> None:
    forge = {"kind": "forgejo", "url": "https://git.example.org", "tokenFile": "/run/secrets/forge"}

    found = hive(nixos_eval, small(settings={"forge": forge}))

    assert found.failed == []
    assert declared(found)["tokenFile"] == "/run/credentials/hyperhive.service/forge"


def test_the_servers_own_forge_is_reached_from_the_containers(nixos_eval: Evaluator) -> None:
    found = hive(nixos_eval, small(forge={"kind": "embedded", "port": 7790}))

    assert declared(found) == {"kind": "embedded", "url": "http://10.229.0.1:7790"}
    assert found.value(f"{HIVE}.network.hostTCPPorts") == [7790]
    assert "10.229.0.1" in str(found.value("networking.interfaces"))
    assert ADMIN not in found.units


def test_another_forge_restarts_the_server_and_another_team_reloads_it(
    nixos_eval: Evaluator,
) -> None:
    def restarts(**forge: Any) -> str:
        found = hive(nixos_eval, small(forge={"kind": "embedded", **forge}))
        return found.unit(SERVER).section("Unit")["X-Restart-Triggers"]

    team = {"acme": {"teams": {"core": {"members": ["alice"]}}}}

    assert restarts(port=7790) != restarts()
    assert restarts(orgs=team) == restarts()


FORGEJO: Final = """
echo "forgejo $*" >>"$NOTES"
case "$*" in
"admin user list") printf 'ID Username Email\\n1 %s x\\n' "${KNOWN:-other}" ;;
"admin user generate-access-token "*) echo "2026 [W] a warning" && echo fresh ;;
"admin user create "*) echo "generated random password is 'secret'" ;;
esac
"""
CURL: Final = """
echo "curl $*" >>"$NOTES"
grep -q 'Authorization: token' && printf %s "$STATUS"
"""


class Machine:
    """Runs the script with a Forgejo that only takes notes."""

    def __init__(self, root: Path) -> None:
        self.token, self.notes, self.bin = root / "token", root / "notes", root / "bin"
        self.bin.mkdir()
        self._program("forgejo", FORGEJO)
        self._program("curl", CURL)

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        self.notes.write_text("")
        given = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "FORGEJO": str(self.bin / "forgejo"),
            "URL": HERE,
            "TOKEN": str(self.token),
            "NOTES": str(self.notes),
            **environment,
        }
        bash = shutil.which("bash") or "bash"
        return subprocess.run(
            [bash, SCRIPT], env=given, capture_output=True, text=True, timeout=30, check=False
        )

    def _program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(f"#!/usr/bin/env bash\n{text}")
        (self.bin / name).chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_first_time_there_is_an_administrator_and_a_token(machine: Machine) -> None:
    done = machine.run()

    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert machine.token.read_text() == "fresh\n"
    made = machine.notes.read_text()
    assert "--admin --username hyperhive-administrator" in made
    assert "--scopes all" in made


def test_a_token_that_works_stays_and_is_in_no_list_of_processes(machine: Machine) -> None:
    machine.token.write_text("good\n")

    assert machine.run(STATUS="200").returncode == 0

    assert machine.token.read_text() == "good\n"
    assert "generate" not in machine.notes.read_text()
    assert "good" not in machine.notes.read_text()


def test_a_token_that_is_void_is_made_anew_for_the_same_administrator(machine: Machine) -> None:
    machine.token.write_text("void\n")

    assert machine.run(STATUS="401", KNOWN="hyperhive-administrator").returncode == 0

    assert machine.token.read_text() == "fresh\n"
    assert "create" not in machine.notes.read_text()


def test_a_forgejo_that_is_ill_costs_no_token(machine: Machine) -> None:
    machine.token.write_text("good\n")

    assert machine.run(STATUS="500").returncode == 1

    assert machine.token.read_text() == "good\n"

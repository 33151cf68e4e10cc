"""What root does for the server: it installs a checked system, and refuses the rest."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from pytest_nixos import Evaluated, Evaluator
from tests.nix.hives import HIVE, MODULE, hive, small
from tests.promises import promise

SCRIPT: Final = MODULE.parent / "deploy.sh"
UNIT: Final = "hyperhive-deploy@.service"
HASH: Final = "0123456789abcdfghijklmnpqrsvwxyz"
FIRST: Final = (10 << 24) + (229 << 16) + 2
ROOM: Final = 65533


class Host:
    """A host's directories, with a Nix that only takes notes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = root / "nix" / "store"
        self.requests = root / "deploy"
        self.containers = root / "etc"
        self.profiles = root / "profiles"
        self.valid = root / "valid"
        self.said = root / "said"
        self.drop_ins = root / "control"
        for directory in (self.store, self.requests, self.containers, root / "bin"):
            directory.mkdir(parents=True)
        self.valid.touch()
        self.said.touch()
        self._program("nix-store", f'grep -qxF -- "$2" {self.valid}')
        self._program(
            "systemctl", f'echo "$*" >>{self.said}; [ "$1" != is-active ] || [ -e {root}/active ]'
        )
        self.template = root / "template"
        self.template.write_text(
            "SYSTEM_PATH=@system@\nLOCAL_ADDRESS=@address@\nFLAGS=/agents/@name@/state\n"
        )
        self.unit = root / "unit"
        self.unit.write_text("[Service]\nRestart=no\n")

    def system(self, agent: str = "erin", *, name: str = "nixos-system-h-erin") -> Path:
        """Build a system that says for whom it was made."""
        system = self.store / f"{HASH}-{name}"
        (system / "etc" / "hyperhive").mkdir(parents=True)
        (system / "etc" / "hyperhive" / "agent").write_text(f"{agent}\n")
        (system / "init").touch(mode=0o755)
        self.valid.write_text(f"{system}\n")
        return system

    def ask(self, text: str | Path, agent: str = "erin") -> None:
        """Write what the server asks for."""
        (self.requests / agent).write_text(f"{text}\n")

    def deploy(self, *names: str) -> subprocess.CompletedProcess[str]:
        """Run the script as the unit does."""
        bash = shutil.which("bash") or "bash"
        return subprocess.run(
            [bash, SCRIPT, *(names or ("erin",))],
            env={
                "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
                "REQUESTS": str(self.requests),
                "DECLARED": "queen alice",
                "CONTAINERS": str(self.containers),
                "PROFILES": str(self.profiles),
                "STORE": str(self.store),
                "TEMPLATE": str(self.template),
                "UNIT": str(self.unit),
                "DROP_INS": str(self.drop_ins),
                "FIRST": str(FIRST),
                "ROOM": str(ROOM),
            },
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def drop_in(self) -> Path:
        """What erin's unit has beside its template."""
        return self.drop_ins / "container@h-erin.service.d" / "hyperhive.conf"

    @property
    def settings(self) -> dict[str, str]:
        """What container settings there are, by name."""
        return {file.name: file.read_text() for file in self.containers.iterdir()}

    def _program(self, name: str, text: str) -> None:
        file = self.root / "bin" / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host on which nothing was deployed yet."""
    return Host(tmp_path)


def refused(done: subprocess.CompletedProcess[str], host: Host) -> str:
    """Give the reason of a refusal, after which nothing may have changed."""
    assert done.returncode == 1, done.stderr
    assert host.said.read_text() == ""
    assert not host.profiles.exists()
    return done.stderr.strip().removeprefix("hyperhive-deploy: ")


def test_a_system_made_for_the_agent_becomes_that_of_its_container(host: Host) -> None:
    system = host.system()
    host.ask(system)

    done = host.deploy()

    assert done.returncode == 0, done.stderr
    assert f"SYSTEM_PATH={system}\n" in host.settings["h-erin.conf"]
    assert (host.profiles / "h-erin" / "system").readlink() == system


def test_the_container_has_the_settings_of_the_module_whoever_asks(host: Host) -> None:
    system = host.system()
    host.ask(system)

    host.deploy()

    digest = int(hashlib.sha256(b"erin").hexdigest()[:12], 16)
    number = FIRST + digest % ROOM
    address = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
    assert host.settings == {
        "h-erin.conf": f"SYSTEM_PATH={system}\nLOCAL_ADDRESS={address}\nFLAGS=/agents/erin/state\n"
    }
    assert host.drop_in.read_text() == host.unit.read_text()


def test_systemd_is_told_of_a_unit_that_changed_and_of_no_other(host: Host) -> None:
    host.ask(host.system())
    host.deploy()
    assert host.said.read_text() == "daemon-reload\n"

    host.deploy()
    assert host.said.read_text() == "daemon-reload\n"


def test_a_declared_and_a_spawned_agent_get_their_address_by_the_same_rule(
    host: Host, little: Evaluated
) -> None:
    environment = unit_environment(little)
    assert (environment["FIRST"], environment["ROOM"]) == (str(FIRST), str(ROOM))

    digest = int(hashlib.sha256(b"alice").hexdigest()[:12], 16)
    number = FIRST + digest % ROOM

    address = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
    assert little.value("containers.h-alice.localAddress") == address


def test_what_is_purged_leaves_nothing_that_could_be_started(host: Host) -> None:
    host.ask(host.system())
    host.deploy()
    host.ask("none")

    assert host.deploy().returncode == 0
    assert host.settings == {}
    assert not (host.profiles / "h-erin").exists()
    assert not host.drop_in.parent.exists()


def test_what_runs_is_not_taken_away(host: Host) -> None:
    host.ask(host.system())
    host.deploy()
    host.ask("none")
    (host.root / "active").touch()

    done = host.deploy()

    assert "the container of erin runs" in done.stderr
    assert "h-erin.conf" in host.settings


@pytest.mark.parametrize(
    "name",
    ["", "e", "Erin", "../erin", "erin-", "e--rin", "twelve-chars", "1erin", "erin\nx", "e;x"],
)
def test_what_is_no_name_is_refused(name: str, host: Host) -> None:
    assert refused(host.deploy(name), host) == "that is no name of an agent"


def test_one_name_is_needed(host: Host) -> None:
    assert refused(host.deploy("erin", "alice"), host) == "name one agent"


def test_a_declared_agent_is_left_to_the_switch(host: Host) -> None:
    host.ask(host.system("alice"), "alice")

    assert "is declared in the host's configuration" in refused(host.deploy("alice"), host)


def test_without_a_request_nothing_is_done(host: Host) -> None:
    assert refused(host.deploy(), host) == "there is no request for erin"


def test_a_link_in_the_place_of_a_request_is_refused_and_its_target_never_shown(host: Host) -> None:
    secret = host.root / "secret"
    secret.write_text("the root password\n")
    (host.requests / "erin").symlink_to(secret)

    done = host.deploy()

    assert refused(done, host) == "there is no request for erin"
    assert "password" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/etc",
        "relative",
        "STORE",
        f"STORE/{HASH}-x/../../../etc",
        f"STORE/{HASH}-x/etc",
        f"STORE/{HASH}-x\nSTORE/{HASH}-y",
        f"STORE/{HASH}-x --profile /p",
        f"STORE/{HASH}-x;reboot",
        f"STORE/{HASH}-$(reboot)",
        f"STORE/{HASH.upper()}-x",
        "STORE/short-x",
    ],
)
def test_what_is_no_path_of_the_store_is_refused_and_never_shown(text: str, host: Host) -> None:
    host.ask(text.replace("STORE", str(host.store)))

    done = host.deploy()

    assert refused(done, host) == "the request for erin is no path of the store"
    assert done.stdout == ""


def test_a_path_that_the_store_does_not_know_is_refused(host: Host) -> None:
    host.ask(host.system())
    host.valid.write_text("")

    assert refused(host.deploy(), host) == "the request for erin is not in the store"


def test_a_system_made_for_another_agent_is_refused(host: Host) -> None:
    host.ask(host.system("alice"))

    assert refused(host.deploy(), host) == "the request for erin was not made for it"


def test_a_path_that_says_for_nobody_is_refused(host: Host) -> None:
    system = host.system()
    (system / "etc" / "hyperhive" / "agent").unlink()
    host.ask(system)

    assert refused(host.deploy(), host) == "the request for erin was not made for it"


def test_what_cannot_boot_is_refused(host: Host) -> None:
    system = host.system()
    (system / "init").chmod(0o644)
    host.ask(system)

    assert refused(host.deploy(), host) == "the request for erin is no system"


def test_an_address_that_another_container_has_is_refused(host: Host) -> None:
    host.ask(host.system())
    host.deploy()
    (host.containers / "h-other.conf").write_text(host.settings["h-erin.conf"])
    host.said.write_text("")
    shutil.rmtree(host.profiles)

    assert "of another container; give it another name" in refused(host.deploy(), host)


def test_a_second_deployment_replaces_the_first(host: Host) -> None:
    host.ask(host.system())
    host.deploy()
    before = host.settings

    assert host.deploy().returncode == 0
    assert host.settings == before


def test_the_unit_runs_the_script_for_one_agent_and_evaluates_nothing(little: Evaluated) -> None:
    service = little.unit(UNIT).section("Service")

    assert re.search(r"deploy\.sh %i$", service["ExecStart"])
    assert service["Type"] == "oneshot"
    assert service["PrivateNetwork"] == "true"
    assert little.unit(UNIT).section("Unit")["StartLimitIntervalSec"] == "0"
    assert service.every("ReadWritePaths") == [
        "-/etc/nixos-containers",
        "-/etc/systemd/system.control",
        "/nix/var/nix",
    ]
    assert unit_environment(little)["DECLARED"] == "alice bob queen"
    assert not {"Requires", "Wants"} & set(little.unit(UNIT).section("Unit"))


def test_a_spawned_agent_gets_the_walls_of_a_declared_one(little: Evaluated) -> None:
    environment = unit_environment(little)
    assert environment["TEMPLATE"].endswith("-hyperhive-container.conf")

    text = little.value(f"{HIVE}.spawned.settings")

    declared = little.value("containers.h-alice.extraFlags")
    flags = next(line for line in text.splitlines() if line.startswith("EXTRA_NSPAWN_FLAGS="))
    own = "--bind-ro=@system@/etc/hyperhive/configuration:/agents/@name@/config:idmap"
    seen = [flag for flag in flags.split('"')[1].split() if flag != own]
    assert [flag.replace("@name@", "alice") for flag in seen] == declared
    assert "PRIVATE_USERS=pick" in text
    assert "PRIVATE_NETWORK=1" in text


def test_the_unit_of_a_spawned_agent_is_held_like_a_declared_ones(nixos_eval: Evaluator) -> None:
    held = {"limits": {"memory": "2G", "cpu": 1.5, "tasks": 512}}
    found = hive(nixos_eval, small(agents={"queen": held, "alice": held}))

    declared = found.unit("container@h-alice.service").section("Service")
    wanted = ("Restart", "TimeoutStopSec", "MemoryMax", "CPUQuota", "TasksMax")
    text = found.value(f"{HIVE}.spawned.unit")
    assert [f"{key}={declared[key]}" in text.splitlines() for key in wanted] == [True] * 5
    assert "RequiresMountsFor=/var/lib/hyperhive" in text.splitlines()


def test_a_spawned_agent_reaches_no_more_than_its_manager(nixos_eval: Evaluator) -> None:
    alone = hive(nixos_eval, small(agents={"queen": {"network": "none"}}))
    shared = hive(nixos_eval, small(agents={"queen": {"network": "host"}}))

    assert "ADDRESS" not in alone.value(f"{HIVE}.spawned.settings")
    assert "LOCAL_ADDRESS=@address@" in shared.value(f"{HIVE}.spawned.settings")


def test_a_spawned_agent_has_its_managers_credentials_and_script(example: Evaluated) -> None:
    credentials = "/run/hyperhive/credentials/@name@:/run/hyperhive/credentials:idmap"

    assert f"--bind-ro={credentials}" in example.value(f"{HIVE}.spawned.settings")


@promise("N12")
def test_what_the_manager_could_exchange_is_mounted_into_no_other_container(
    example: Evaluated,
) -> None:
    """Whoever may write into a directory can put a link in the place of anything in it."""
    kept = "/var/lib/hyperhive/configs"
    settings = example.value(f"{HIVE}.spawned.settings")
    others = [example.value(f"containers.h-{name}.extraFlags") for name in ("alice", "bob")]

    assert f"--bind={kept}:/configs:idmap" in example.value("containers.h-queen.extraFlags")
    assert kept not in settings
    assert [flag for flags in others for flag in flags if kept in flag] == []


def test_a_hive_without_spawning_has_no_such_unit_and_no_rule_for_it(nixos_eval: Evaluator) -> None:
    """A rule that names a template which is not there would let the server make such a unit up."""
    found = hive(nixos_eval, small(spawned={"enable": False}))

    assert UNIT not in found.units
    assert "hyperhive-deploy" not in found.value("security.polkit.extraConfig")
    assert "spawned" not in found.value(f"{HIVE}.declaration")
    assert found.unit("container@.service").section("Unit")["AssertPathExists"]


def test_whoever_is_declared_keeps_nothing_of_having_been_spawned(little: Evaluated) -> None:
    text = little.value("system.activationScripts.hyperhive-declared")

    assert text.splitlines()[0].split() == [
        "rm",
        "-rf",
        "/etc/systemd/system.control/container@h-alice.service.d",
        "/nix/var/nix/profiles/per-container/h-alice/system",
    ]
    assert len(text.splitlines()) == 3


def test_the_script_is_sound() -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")

    checked = subprocess.run(
        [shellcheck, "--shell=bash", SCRIPT],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert checked.stdout == ""


def unit_environment(found: Evaluated) -> dict[str, str]:
    """Give the variables of the unit."""
    lines = found.unit(UNIT).section("Service").every("Environment")
    return dict(line.strip('"').split("=", 1) for line in lines)

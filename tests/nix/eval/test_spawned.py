"""The system of a spawned agent: the guest of a declared one, and what its commit adds to it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from hyperhive import config
from hyperhive.config import RuntimeKind
from hyperhive.config.spawned import SpawnedAgent, agent_of
from hyperhive.services.spawning import seed
from pytest_nixos import Evaluated, EvaluationFailed, Evaluator, nix
from tests.nix.hives import HIVE, MODULE, hive, small, spawned_guest

UNIT: Final = "hyperhive-agent.service"
TEXTS: Final = f"{HIVE}.spawned.texts"

# What eval-config.nix of NixOS would be: the system is what its modules say, as JSON.
_EVAL_CONFIG: Final = """
{ modules, ... }:
let lib = import <nixpkgs/lib>; in {
  config.system.build.toplevel = builtins.toJSON (
    map (module: if builtins.isFunction module then "a module" else module) modules
  );
}
"""


def programs(found: Evaluated) -> set[str]:
    """Give the names of the packages in a guest."""
    return {path.split("-", 1)[1] for path in found.value("environment.systemPackages")}


def commit(directory: Path, agent_nix: str | None = None) -> Path:
    """Make the files of a commit."""
    directory.mkdir(exist_ok=True)
    (directory / "agent.json").write_text("{}")
    if agent_nix is not None:
        (directory / "agent.nix").write_text(agent_nix)
    return directory


def test_a_spawned_agents_guest_is_that_of_a_declared_one(
    nixos_eval: Evaluator, tmp_path: Path
) -> None:
    found = hive(nixos_eval, small())
    declared = found.inside("containers.h-alice.config")

    spawned = spawned_guest(nixos_eval, found, "alice", commit(tmp_path))

    assert spawned.unit(UNIT).text == declared.unit(UNIT).text
    assert spawned.users == declared.users
    assert spawned.files["hyperhive/agent"].text == "alice\n"
    assert programs(spawned) == programs(declared)
    for path in ("security", "nix.enable", "networking", "services", "system.stateVersion"):
        assert spawned.value(path) == declared.value(path)


def test_it_has_what_the_manager_has(
    nixos_eval: Evaluator, example: Evaluated, tmp_path: Path
) -> None:
    spawned = spawned_guest(nixos_eval, example, "dora", commit(tmp_path))
    environment = spawned.unit(UNIT).section("Service").every("Environment")

    assert programs(spawned) == {"hyperhive", "git", "tea", "claude-code"}
    assert spawned.value("nixpkgs.config") == {"allowUnfreePredicate": "<function>"}
    assert '"HYPERHIVE_CREDENTIALS=/run/hyperhive/credentials"' in environment
    assert not any(line.startswith('"HYPERHIVE_APPLIED') for line in environment)


@pytest.mark.parametrize("kind", ["claude", "codex", "command"])
def test_it_has_the_credentials_that_the_server_hands_it(
    nixos_eval: Evaluator, tmp_path: Path, kind: str
) -> None:
    """The server says whose keys a spawned agent has, and the container has to show them."""
    names = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GITHUB_TOKEN")
    for own in ({}, {"ANOTHER": "/run/secrets/another"}):
        found = hive(
            nixos_eval,
            small(
                allowUnfree=True,
                spawned={"credentials": own},
                agents={
                    "queen": {
                        "driver": {"kind": kind},
                        "credentials": {name: f"/run/secrets/{name}" for name in names},
                    }
                },
            ),
        )
        read = config.parse(found.value(f"{HIVE}.declaration"), tmp_path)
        handed = agent_of(read, "carol", SpawnedAgent()).credentials

        assert set(found.value(f"{HIVE}.spawned.pattern.credentials")) == set(handed)
        shown = "/run/hyperhive/credentials:idmap" in found.value(f"{HIVE}.spawned.settings")
        assert shown is bool(handed)


def test_it_finds_what_it_runs_from_as_files_that_nobody_can_exchange(
    nixos_eval: Evaluator, tmp_path: Path
) -> None:
    found = hive(nixos_eval, small())
    spawned = spawned_guest(nixos_eval, found, "carol", commit(tmp_path))

    assert spawned.files["hyperhive/configuration"].source == str(tmp_path)
    place = "@system@/etc/hyperhive/configuration:/agents/@name@/config:idmap"
    assert f"--bind-ro={place}" in found.value(f"{HIVE}.spawned.settings")


@pytest.mark.parametrize(
    "arguments", ["{ pkgs, ... }", "{ lib, pkgs }", "{ config ? null, pkgs, ... }"]
)
def test_a_commit_adds_programs(nixos_eval: Evaluator, tmp_path: Path, arguments: str) -> None:
    text = f"{arguments}: {{ environment.systemPackages = [ pkgs.hello ]; }}"

    spawned = spawned_guest(nixos_eval, hive(nixos_eval, small()), "carol", commit(tmp_path, text))

    assert "hello" in programs(spawned)


def test_a_commit_that_adds_nothing_changes_nothing(nixos_eval: Evaluator, tmp_path: Path) -> None:
    found = hive(nixos_eval, small())

    assert programs(spawned_guest(nixos_eval, found, "carol", commit(tmp_path, "{ }"))) == programs(
        spawned_guest(nixos_eval, found, "carol", commit(tmp_path / "none"))
    )


def test_what_a_configuration_begins_with_is_let_through(
    nixos_eval: Evaluator, tmp_path: Path
) -> None:
    files = seed("carol", "{}", RuntimeKind.NIXOS_CONTAINER)
    for name, content in files.items():
        (tmp_path / name).write_text(content)

    found = hive(nixos_eval, small())

    assert programs(spawned_guest(nixos_eval, found, "carol", tmp_path)) == {
        "hyperhive",
        "git",
        "tea",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{ ... }: { services.openssh.enable = true; }", "says services, which is not a commit's"),
        (
            '{ ... }: { environment.etc.x.text = ""; security.sudo.enable = true; }',
            "says security, environment.etc, which",
        ),
        ("{ imports = [ ./agent.json ]; }", "says imports,"),
        ("[ ]", "says something else than programs"),
        ("{ environment = [ ]; }", "says something else than programs"),
        ("{ environment.systemPackages = [ ./agent.json ]; }", "what is no list of packages"),
        ("{ environment.systemPackages = { }; }", "what is no list of packages"),
    ],
)
def test_a_commit_decides_nothing_else(
    nixos_eval: Evaluator, tmp_path: Path, text: str, words: str
) -> None:
    found = hive(nixos_eval, small())

    with pytest.raises(EvaluationFailed, match=words):
        spawned_guest(nixos_eval, found, "carol", commit(tmp_path, text)).value("environment")


def test_the_flake_gives_the_system_of_whoever_it_is_completed_for(
    nixos_eval: Evaluator, tmp_path: Path
) -> None:
    further = tmp_path / "every-guest.nix"
    further.write_text('{ time.timeZone = "UTC"; }')
    found = hive(nixos_eval, small(spawned={"guest": [further]}))
    flake = complete(tmp_path / "flake", found, "carol", [further])
    nixpkgs = tmp_path / "nixpkgs"
    (nixpkgs / "nixos/lib").mkdir(parents=True)
    (nixpkgs / "nixos/lib/eval-config.nix").write_text(_EVAL_CONFIG)
    (nixpkgs / "lib").symlink_to(Path(nix_lib()))

    modules = system_of(flake, nixpkgs)

    assert modules[0]["networking"]["hostName"]["content"] == "h-carol"
    assert modules[0]["nixpkgs"] == {"hostPlatform": "x86_64-linux"}
    assert len(modules) == 4


def test_the_flake_has_one_input_and_it_is_pinned_by_the_lock(nixos_eval: Evaluator) -> None:
    ours = hive(nixos_eval, small()).value(f'{TEXTS}."flake.nix"')
    theirs = hive(
        nixos_eval, small(spawned={"nixpkgs": "github:NixOS/nixpkgs/nixos-unstable"})
    ).value(f'{TEXTS}."flake.nix"')

    assert 'inputs.nixpkgs.url = "path:/nix/store/' in ours
    assert 'inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";' in theirs
    assert ours.count("inputs.") == theirs.count("inputs.") == 2


def test_a_new_flake_is_a_reload_of_the_server(nixos_eval: Evaluator) -> None:
    def triggers(**changed: Any) -> str:
        found = hive(nixos_eval, small(**changed))
        return found.unit("hyperhive.service").section("Unit")["X-Reload-Triggers"]

    assert triggers(agents={"queen": {"environment": {"MODE": "b"}}}) != triggers(
        agents={"queen": {"environment": {"MODE": "a"}}}
    )


def nix_lib() -> str:
    """Give where nixpkgs' lib is."""
    found = nix.look(os.environ)
    assert isinstance(found, nix.Nixpkgs)
    return str(found.lib)


def complete(place: Path, found: Evaluated, name: str, further: list[Path]) -> Path:
    """Make the flake as the server does: what the module says, a name and a commit."""
    place.mkdir()
    for file, text in found.value(TEXTS).items():
        (place / file).write_text(text)
    (place / "module").mkdir()
    for part in ("guest.nix", "hardening.nix", "spawned"):
        (place / "module" / part).symlink_to(MODULE.parent / part)
    (place / "further").mkdir()
    for number, file in enumerate(further):
        (place / "further" / str(number)).symlink_to(file)
    (place / "name").write_text(name)
    commit(place / "agent")
    return place


def system_of(flake: Path, nixpkgs: Path) -> Any:
    """Evaluate the flake's output over a nixpkgs."""
    expression = f"((import {flake}/flake.nix).outputs {{ nixpkgs = {nixpkgs}; }}).system"
    command = ["nix-instantiate", "--store", "dummy://", "--eval", "--json", "-E", expression]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(json.loads(done.stdout))

"""The flake of spawned agents in Nix itself: locked, evaluated pure and built by the server's code.

What this machine lacks is nixpkgs, so another one stands in: its `lib` is the real one, its NixOS
is the stubs of the other tests, and its system is a directory that says what it was made of.
"""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from hyperhive.domain.errors import InvalidError
from hyperhive.domain.paths import HivePaths
from hyperhive.git.repositories import GitRepositories
from hyperhive.nix.systems import NixSystems
from pytest_nixos import Evaluator
from tests import nixpkgs, proposals
from tests.nix.hives import HIVE, MODULE, hive, small
from tests.promises import promise

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("nix") is None, reason="there is no nix on PATH"),
]

SYSTEM: Final = f"""
  {shutil.which("mkdir")} $out
  echo "$packages" >$out/packages
  {shutil.which("cp")} -r $configuration $out/agent
"""


@dataclass(slots=True)
class Host:
    """A machine with a store of its own, and carol's repositories."""

    paths: HivePaths
    kept: GitRepositories
    systems: NixSystems
    first: str

    async def commit(self, text: str) -> str:
        """Propose an ``agent.nix``, and have it pinned."""
        return await self.kept.pin(
            "carol", proposals.commit(self.paths.config("carol"), agent_nix=text)
        )


@pytest.fixture
async def host(tmp_path: Path, nixos_eval: Evaluator, monkeypatch: pytest.MonkeyPatch) -> Host:
    programs, store = tmp_path / "programs", tmp_path / "nix"
    wrap_nix(programs, store)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    (tmp_path / "hyperhive").mkdir()
    package = add_to_store(tmp_path / "hyperhive")
    pinned = nixpkgs.make(tmp_path / "nixpkgs", SYSTEM)
    found = hive(nixos_eval, small(spawned={"nixpkgs": f"path:{pinned}"}))
    texts: Mapping[str, str] = found.value(f"{HIVE}.spawned.texts")
    rendered = render(tmp_path / "rendered", texts, found.value(f"{HIVE}.package"), package)
    paths = HivePaths(tmp_path / "state", tmp_path / "run")
    paths.state_dir.mkdir()
    kept = GitRepositories(paths)
    first = await kept.seed("carol", {"agent.json": "{}"}, subject="Spawn", manager="queen")
    systems = NixSystems(paths, kept, lambda: rendered)
    systems.take_flake()
    return Host(paths, kept, systems, first)


@promise("N11")
async def test_nix_builds_the_system_of_a_commit(host: Host) -> None:
    chosen = await host.commit("{ pkgs, ... }: { environment.systemPackages = [ pkgs.hello ]; }")

    await host.systems.build("carol", host.first)
    await host.systems.build("carol", chosen)

    plain, more = (Path(host.systems.built("carol", each)) for each in (host.first, chosen))
    assert plain.name.endswith("-nixos-system-h-carol")
    assert "-hyperhive" in (plain / "packages").read_text()
    assert "-hello" not in (plain / "packages").read_text()
    assert "-hello" in (more / "packages").read_text()
    assert (more / "agent" / "agent.json").read_text() == "{}"
    assert (host.paths.flake / "flake.lock").is_file()


@promise("N11")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{ ... }: { x = builtins.readFile /etc/passwd; }", "says x, which is not a commit's"),
        ("builtins.readFile /etc/passwd", "access to absolute path '/etc/passwd'"),
        ("import ../../secret.nix", "(forbidden|does not exist|No such file)"),
        ("{ pkgs, ... }: { environment.systemPackages = [ pkgs.nonsense ]; }", "nonsense"),
        ('builtins.getEnv "HOME"', "something else than programs"),
    ],
)
async def test_what_a_commit_may_not_is_refused_by_evaluation(
    host: Host, text: str, words: str
) -> None:
    commit = await host.commit(text)

    with pytest.raises(InvalidError, match=words):
        await host.systems.build("carol", commit)

    assert host.systems.built("carol", commit) == ""


def wrap_nix(programs: Path, store: Path) -> None:
    """Put a ``nix`` before the machine's that has a store of its own and asks no network."""
    programs.mkdir()
    variables = {
        "NIX_STORE_DIR": store / "store",
        "NIX_STATE_DIR": store / "var",
        "NIX_LOG_DIR": store / "log",
        "NIX_CONF_DIR": store / "etc",
    }
    exports = "".join(f"export {name}={value}\n" for name, value in variables.items())
    options = '--option sandbox false --option build-users-group "" --option substitute false'
    for name in ("nix", "nix-store"):
        place = programs / name
        place.write_text(f'#!/bin/sh\n{exports}exec {shutil.which(name)} {options} "$@"\n')
        place.chmod(0o755)


def add_to_store(directory: Path) -> str:
    """Put a directory into the store, as what the host has built is in one."""
    added = subprocess.run(
        ["nix-store", "--add", str(directory)], capture_output=True, text=True, check=True
    )
    return added.stdout.strip()


def render(place: Path, texts: Mapping[str, str], pretended: str, package: str) -> Path:
    """Render the flake as a switch does, with a package that is in the store."""
    (place / "module").mkdir(parents=True)
    for name, text in texts.items():
        (place / name).write_text(text.replace(pretended, package))
    for name in ("guest.nix", "hardening.nix", "spawned"):
        (place / "module" / name).symlink_to(MODULE.parent / name)
    return place

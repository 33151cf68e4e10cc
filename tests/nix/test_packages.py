"""``pkgs/`` and the flake agree with what the rest of the tree says; nothing is built here.

With nixpkgs' ``lib`` alone the packages are stand-ins: their names, versions and dependencies are
ours and real, what they are made of is not.
"""

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement

from pytest_nixos import Evaluator

TOP: Final = Path(__file__).resolve().parents[2]
PYPROJECT: Final = tomllib.loads((TOP / "python" / "pyproject.toml").read_text())
PINS: Final = dict(
    line.split("==")
    for line in (TOP / "python" / "constraints.txt").read_text().splitlines()
    if "==" in line
)
LACKING: Final = ("httpcore2", "httpx2", "mcp", "mcp-types", "py-gitea")
OUTPUTS: Final = {
    "apps",
    "checks",
    "devShells",
    "formatter",
    "nixosModules",
    "overlays",
    "packages",
}

NIXPKGS_CALLS_IT: Final = {
    "ca-certificates": "cacert",
    "nix-bin": "nix",
    "npm": "nodejs",
    "python3-venv": "python3",
    "systemd-container": "systemd",
}
"""What .ci/run installs on Debian under a name that nixpkgs does not use."""

ONLY_IN_THE_SHELL: Final = {"debootstrap", "nixfmt", "systemd"}
"""What CI may do without: a formatter, and what tests/systemd boots machines with."""

OURS: Final = """
{ config, lib, pkgs, pytestNixos ? null, ... }:
let
  # What only nixpkgs itself can do is named, where there is no more than its lib.
  packages = if pytestNixos == null then pkgs else pytestNixos.pkgs [
    "bubblewrap" "cacert" "chromium" "debootstrap" "git" "gitMinimal" "nix" "nixfmt" "nixfmt-tree"
    "nodejs" "ruff" "shellcheck" "systemd"
  ] // { path = /nowhere; testers.runNixOSTest = file: { name = baseNameOf file; }; };

  python = packages.python3.override {
    self = python;
    packageOverrides = import TOP/pkgs/python.nix;
  };
  ours = import TOP/pkgs { pkgs = packages; };
  flake = (import TOP/flake.nix).outputs {
    self = { };
    nixpkgs = {
      inherit lib;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (_: packages);
    };
  };
  machine = lib.mapAttrs (_: output: output.x86_64-linux or output) flake;
  # What a builder was given: it keeps that under its own name, or nixpkgs under another.
  given = built: name: other: map named (built.${name} or built.${other});
  named = package: package.pname or package.name;
in
{
  options.read = lib.mkOption { type = lib.types.lazyAttrsOf lib.types.raw; };
  config.read = {
    application = {
      inherit (ours.hyperhive) pname version;
      program = ours.hyperhive.meta.mainProgram;
      dependencies = given ours.hyperhive.module "dependencies" "propagatedBuildInputs";
      tests = builtins.attrNames ours.hyperhive.tests;
    };
    libraries = lib.genAttrs LACKING (name: {
      inherit (python.pkgs.${name}) pname version;
      hash = python.pkgs.${name}.src.hash or python.pkgs.${name}.src.outputHash;
      arguments = builtins.attrNames (builtins.functionArgs (import (TOP/pkgs + "/${name}.nix")));
    });
    overlay = builtins.attrNames (flake.overlays.default packages packages);
    outputs = builtins.attrNames flake;
    modules = toString flake.nixosModules.default;
    program = machine.apps.default.program;
    packages = builtins.attrNames machine.packages;
    checks = builtins.attrNames machine.checks;
    formatter = named machine.formatter;
    shell = given machine.devShells.default "packages" "nativeBuildInputs";
  };
}
"""


@pytest.fixture
def read(nixos_eval: Evaluator) -> dict[str, Any]:
    """Give what ``OURS`` reads of the packages and of the flake."""
    lacking = f"[ {' '.join(map(json.dumps, LACKING))} ]"
    module = OURS.replace("TOP", str(TOP)).replace("LACKING", lacking)
    values: dict[str, Any] = nixos_eval([module], {}, want=["read"]).value("read")
    return values


def project_name(requirement: str) -> str:
    """Give the name of the project in ``requirement``, as pip compares names."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def test_the_application_has_the_name_and_version_of_the_project(read: dict[str, Any]) -> None:
    application = read["application"]

    assert application["pname"] == PYPROJECT["project"]["name"]
    assert application["version"] == PYPROJECT["project"]["version"]
    assert application["program"] in PYPROJECT["project"]["scripts"]


def test_the_application_depends_on_what_the_project_depends_on(read: dict[str, Any]) -> None:
    packaged = {project_name(name) for name in read["application"]["dependencies"]}

    declared = {project_name(name) for name in PYPROJECT["project"]["dependencies"]}

    assert packaged - {"python3"} == declared


def test_the_application_brings_its_tests(read: dict[str, Any]) -> None:
    assert read["application"]["tests"] == ["nix", "python"]


@pytest.mark.parametrize("name", LACKING)
def test_a_library_that_nixpkgs_lacks_is_packaged_with_a_hash(
    read: dict[str, Any], name: str
) -> None:
    library = read["libraries"][name]

    assert library["pname"] == name
    assert re.fullmatch(r"sha256-[A-Za-z0-9+/]{43}=", library["hash"])


@pytest.mark.parametrize("name", [name for name in LACKING if name in PINS])
def test_a_library_that_nixpkgs_lacks_is_given_what_it_requires(
    read: dict[str, Any], name: str
) -> None:
    required = [Requirement(line) for line in metadata.requires(name) or []]
    names = {
        project_name(one.name)
        for one in required
        if one.marker is None or one.marker.evaluate({"extra": "", "python_version": "3.12"})
    }

    assert names
    assert names - set(read["libraries"][name]["arguments"]) == set()


def test_libraries_have_the_versions_that_ci_tests_with(read: dict[str, Any]) -> None:
    packaged = {name: found["version"] for name, found in read["libraries"].items()}

    for name in packaged.keys() & PINS.keys():
        assert packaged[name] == PINS[name], f"pkgs/{name}.nix"
    assert len(packaged.keys() & PINS.keys()) >= 4


def test_the_overlay_adds_the_application_and_nothing_else(read: dict[str, Any]) -> None:
    assert read["overlay"] == ["hyperhive"]


def test_the_flake_has_its_outputs(read: dict[str, Any]) -> None:
    assert set(read["outputs"]) == OUTPUTS
    assert read["modules"] == str(TOP / "modules")
    assert set(read["packages"]) == {"default", "hyperhive"}
    assert read["formatter"] == "nixfmt-tree"


def test_nix_run_plays_the_demo(read: dict[str, Any]) -> None:
    assert read["program"].endswith("/bin/hyperhive-demo")
    assert 'exec hyperhive demo "$@"' in (TOP / "pkgs" / "apps.nix").read_text()


def test_every_story_of_a_machine_is_a_check(read: dict[str, Any]) -> None:
    stories = {f"vm-{file.stem}" for file in (TOP / "tests" / "nix" / "vm").glob("*.nix")}

    found = set(read["checks"])

    assert {name for name in found if name.startswith("vm-")} == stories
    assert found - stories == {"package", "style", "tests-nix", "tests-python"}


def test_the_shell_has_what_ci_installs(read: dict[str, Any]) -> None:
    script = (TOP / ".ci" / "run").read_text()
    words = re.findall(r"packages\+?=\(([^)]*)\)", script)
    installed = {
        name for line in words for name in line.split() if re.fullmatch(r"[a-z0-9-]+", name)
    }

    expected = {NIXPKGS_CALLS_IT.get(name, name) for name in installed}

    assert expected <= set(read["shell"]) <= expected | ONLY_IN_THE_SHELL


def test_the_lock_pins_one_input_and_names_no_other_address() -> None:
    lock = json.loads((TOP / "flake.lock").read_text())

    nodes = lock["nodes"]
    assert lock["version"] == 7
    assert set(nodes) == {"nixpkgs", "root"}
    assert nodes["root"] == {"inputs": {"nixpkgs": "nixpkgs"}}
    assert set(nodes["nixpkgs"]["locked"]) == {
        "lastModified",
        "narHash",
        "owner",
        "repo",
        "rev",
        "type",
    }
    assert nodes["nixpkgs"]["locked"]["type"] == "github"


def test_the_lock_pins_the_input_that_the_flake_asks_for() -> None:
    original = json.loads((TOP / "flake.lock").read_text())["nodes"]["nixpkgs"]["original"]
    asked = "github:{owner}/{repo}/{ref}".format(**original)

    assert f'inputs.nixpkgs.url = "{asked}";' in (TOP / "flake.nix").read_text()


def test_the_wheel_has_both_packages() -> None:
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert wheel["packages"] == ["src/hyperhive", "src/pytest_nixos"]

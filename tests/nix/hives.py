"""Evaluates hives of `modules/`, for the tests here and for those that run what was evaluated.

``python -m tests.nix.hives CONFIGURATION.nix`` prints a machine with that configuration as JSON:
its units, the containers and what runs in them, mounts, users, rules.
"""

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pytest_nixos import Evaluated, Evaluator
from pytest_nixos import nix as found_nix

HERE: Final = Path(__file__).parent
REPOSITORY: Final = HERE.parent.parent
MODULE: Final = REPOSITORY / "modules" / "default.nix"
STUBS: Final = HERE / "stubs.nix"
EXAMPLE: Final = HERE / "example.nix"
HIVE: Final = "services.hyperhive"

PACKAGE: Final = """
{ lib, pkgs, ... }: { services.hyperhive.package = lib.mkDefault (pkgs.hyperhive or pkgs.hello); }
"""
"""Stands in for the package, which is not the module's to get right."""

SMALL: Final[Mapping[str, Any]] = {
    "enable": True,
    "agents": {
        "queen": {"role": "manager", "driver": {"kind": "command", "command": ["cat"]}},
        "alice": {"driver": {"kind": "command", "command": ["cat"]}},
        "bob": {"driver": {"kind": "command", "command": ["cat"]}},
    },
}
"""A manager and two workers, as small as a hive can be said."""


def hive(
    evaluate: Evaluator,
    config: Mapping[str, Any] | str,
    *further: str,
    want: Sequence[str] = (),
    args: Mapping[str, Any] | None = None,
) -> Evaluated:
    """Evaluate a machine with the module; a mapping or the text of a module configures it.

    ``further`` are the texts of more modules, for what a mapping cannot say; ``want`` are paths of
    values that will be asked for, ``args`` further arguments of modules.
    """
    return evaluate([MODULE, PACKAGE, *further], config, stubs=STUBS, want=want, args=args)


def spawned_guest(
    evaluate: Evaluator, found: Evaluated, name: str, configuration: Path
) -> Evaluated:
    """Evaluate the system of a spawned agent of a hive, from a directory with its commit."""
    parameters = found.value(f'{HIVE}.spawned.texts."parameters.json"')
    text = f"""
      {{ lib, ... }}: {{
        imports = import {MODULE.parent}/spawned/modules.nix {{
          inherit lib;
          name = "{name}";
          configuration = {configuration};
          parameters = builtins.fromJSON {_nix_string(parameters)};
        }};
      }}
    """
    return evaluate([text], {}, stubs=STUBS)


def small(**changed: Any) -> dict[str, Any]:
    """Give the configuration of the small hive, with options of ``services.hyperhive`` changed."""
    return {"services": {"hyperhive": merged(SMALL, changed)}}


def _nix_string(text: str) -> str:
    """Write a text as Nix does."""
    return json.dumps(text).replace("${", "\\${")


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two tables of options, those of the second first."""
    both = dict(one)
    for key, value in other.items():
        known = both.get(key)
        is_table = isinstance(known, Mapping) and isinstance(value, Mapping)
        both[key] = merged(known, value) if is_table and known is not None else value
    return both


def machine(found: Evaluated) -> dict[str, Any]:
    """Give what a machine is made of, as JSON has it, for those who run it somewhere else."""
    containers = found.value("containers")
    guests = {name: found.inside(f"containers.{name}.config") for name in containers}
    return {
        "failed": found.failed,
        "warnings": found.warnings,
        "declaration": found.value(f"{HIVE}.declaration"),
        "units": {name: unit.text for name, unit in found.units.items()},
        "mounts": found.value("systemd.mounts"),
        "tmpfiles": found.value("systemd.tmpfiles.settings"),
        "users": found.value("users.users"),
        "groups": found.value("users.groups"),
        "polkit": found.value("security.polkit.extraConfig"),
        "networking": found.value("networking"),
        "containers": {
            name: {key: value for key, value in container.items() if key != "config"}
            for name, container in containers.items()
        },
        "guests": {
            name: {
                "units": {unit: inner.text for unit, inner in guest.units.items()},
                "users": guest.value("users.users"),
                "groups": guest.value("users.groups"),
                "packages": guest.value("environment.systemPackages"),
                "etc": guest.value("environment.etc"),
            }
            for name, guest in guests.items()
        },
    }


def main(path: str) -> int:
    """Print the machine that a file configures; 1 if nothing here can evaluate it."""
    match found_nix.look(os.environ):
        case found_nix.Missing(reason):
            print(f"nothing can be evaluated here: {reason}", file=sys.stderr)
            return 1
        case nixpkgs:
            with tempfile.TemporaryDirectory() as scratch:
                evaluate = Evaluator(nixpkgs, Path(scratch), seconds=120)
                found = hive(evaluate, Path(path).read_text())
                print(json.dumps(machine(found), indent=2, sort_keys=True))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1] if len(sys.argv) > 1 else str(EXAMPLE)))

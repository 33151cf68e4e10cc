"""What stands in for nixpkgs where Nix itself is to evaluate and build.

Its `lib` is nixpkgs' own. A machine is what the tests' stubs make of it, and its system is the
derivation that a test gives as Nix text, in which `config` is the machine.
"""

import os
import shutil
from pathlib import Path
from typing import Final

import pytest_nixos
from pytest_nixos import nix

_PARTS: Final = Path(pytest_nixos.__file__).parent / "nix"
_STUBS: Final = Path(__file__).parent / "nix" / "stubs.nix"

_EVAL_CONFIG: Final = """
{{ modules, ... }}:
let
  lib = import ../../lib;
  pytestNixos = import ./stand-in.nix {{ inherit lib; }} // {{ machine = lib.types.anything; }};
  evaluated = lib.evalModules {{
    specialArgs = {{ inherit pytestNixos; }};
    modules = modules ++ [
      ./base.nix
      ./stubs.nix
      {{ options.boot.isNspawnContainer = lib.mkOption {{ type = lib.types.bool; }}; }}
      {{ options.networking.useDHCP = lib.mkOption {{ type = lib.types.bool; }}; }}
      {{ options.nixpkgs.hostPlatform = lib.mkOption {{ type = lib.types.str; }}; }}
    ];
  }};
  inherit (evaluated) config;
in
{{
  config.system.build.toplevel = derivation (
    {{
      name = "nixos-system-${{config.networking.hostName}}";
      system = config.nixpkgs.hostPlatform;
      builder = "/bin/sh";
      packages = map toString config.environment.systemPackages;
      configuration = config.environment.etc."hyperhive/configuration".source;
      marker = config.environment.etc."hyperhive/agent".text;
    }}
    // {system}
  );
}}
"""


def make(place: Path, script: str, more: str = "{ }") -> Path:
    """Make it; ``script`` makes ``$out`` of a system, from ``more`` attributes of a derivation.

    It also has ``$packages``, ``$configuration`` and ``$marker``.
    """
    found = nix.look(os.environ)
    assert isinstance(found, nix.Nixpkgs)
    parts = place / "nixos/lib"
    parts.mkdir(parents=True)
    shutil.copytree(found.lib, place / "lib")
    system = f"{{ args = [ \"-c\" ''{script}'' ]; }} // {more}"
    (parts / "eval-config.nix").write_text(_EVAL_CONFIG.format(system=system))
    shutil.copy(_PARTS / "stubs.nix", parts / "base.nix")
    for name in ("stand-in.nix", "json-type.nix"):
        shutil.copy(_PARTS / name, parts / name)
    shutil.copy(_STUBS, parts / "stubs.nix")
    return place

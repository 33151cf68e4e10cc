# The whole system of one spawned agent, from the nixpkgs that the flake pins. Pure: it reads what the
# flake holds, and nothing of the machine that evaluates it.
{
  nixpkgs,
  parameters,
  name,
  configuration,
  further,
}:
let
  lib = import (nixpkgs + "/lib");

  # What nixos-containers says of a container that is declared.
  container = {
    nixpkgs.hostPlatform = parameters.platform;
    boot.isNspawnContainer = true;
    networking.hostName = lib.mkDefault "h-${name}";
    networking.useDHCP = false;
  };

  evaluated = import (nixpkgs + "/nixos/lib/eval-config.nix") {
    system = null;
    modules = [
      container
    ]
    ++ further
    ++ import ./modules.nix {
      inherit
        configuration
        lib
        name
        parameters
        ;
    };
  };
in
evaluated.config.system.build.toplevel

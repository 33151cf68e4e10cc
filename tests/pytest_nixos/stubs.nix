# What greeter.nix sets of NixOS.
{ lib, pytestNixos, ... }:
let
  inherit (lib) mkOption types;

  free = mkOption {
    type = types.attrsOf types.anything;
    default = { };
  };
in
{
  options = {
    environment.etc = free;
    systemd.services = free;
    users.groups = free;
    users.users = free;

    containers = mkOption {
      default = { };
      type = types.attrsOf (
        types.submodule {
          freeformType = types.attrsOf types.anything;
          options.config = mkOption { type = pytestNixos.machine; };
        }
      );
    };
  };
}

# Stands in for NixOS' own eval-config.nix, with as many options as greeter.nix sets.
{
  system,
  specialArgs,
  modules,
}:
let
  lib = import <nixpkgs/lib>;
  inherit (lib) mkOption types;

  free = mkOption {
    type = types.attrsOf types.anything;
    default = { };
  };
  list = mkOption {
    type = types.listOf types.anything;
    default = [ ];
  };
in
lib.evalModules {
  inherit specialArgs;
  modules = modules ++ [
    (
      { config, ... }:
      {
        options = {
          assertions = list;
          boot = free;
          environment.etc = free;
          fileSystems = free;
          nixpkgs = free;
          system = free;
          systemd.services = free;
          systemd.units = free;
          users.groups = free;
          users.users = free;
          warnings = list;
        };
        config = {
          _module.args.pkgs.writeShellScript = name: _: "/nix/store/${name}";
          systemd.units."greeter.service" = {
            enable = true;
            text = "[Unit]\nDescription=${config.systemd.services.greeter.description}, says NixOS\n";
            wantedBy = [ ];
            requiredBy = [ ];
          };
        };
      }
    )
  ];
}

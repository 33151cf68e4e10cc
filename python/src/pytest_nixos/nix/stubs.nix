# What every evaluation without NixOS declares, before the stubs that the test brings.
{ lib, pytestNixos, ... }:
let
  inherit (lib) mkDefault mkOption types;
in
{
  options = {
    assertions = mkOption {
      type = types.listOf types.unspecified;
      default = [ ];
      internal = true;
    };
    warnings = mkOption {
      type = types.listOf types.str;
      default = [ ];
      internal = true;
    };
  };

  config._module.args.pkgs = mkDefault (pytestNixos.pkgs [ ]);
}

# What an admin can say. Nothing here has an effect; service.nix gives it one.
{ lib, pkgs, ... }:
let
  inherit (lib) literalExpression mkEnableOption mkOption types;
in
{
  options.services.hyperhive = {
    enable = mkEnableOption "Hyperhive, the control plane of a hive of AI coding agents";

    package = mkOption {
      type = types.package;
      default = (import ../pkgs { inherit pkgs; }).hyperhive;
      defaultText = literalExpression "the package that comes with this module";
      description = "The package that the service runs. Another one must know every key of `settings`.";
    };

    settings = mkOption {
      description = ''
        The declaration of the hive, rendered to `hive.json`. The build runs
        `hyperhive check-config` on it, so a wrong key or value fails before anything changes.
        It lands in the world-readable store: secrets are named by the path of a file.
      '';
      default = { };
      example = literalExpression ''
        {
          agents.queen = {
            role = "manager";
            driver.kind = "command";
            driver.command = [ "cat" ];
          };
        }
      '';
      type = types.submodule {
        freeformType = (pkgs.formats.json { }).type;

        options.stateDir = mkOption {
          type = types.path;
          default = "/var/lib/hyperhive";
          description = "Where everything that must survive lives. Moving it is a copy by hand, with the service stopped.";
        };

        options.runDir = mkOption {
          type = types.path;
          default = "/run/hyperhive";
          description = "Where the sockets are. It outlives the service, and its path is short: a socket's path ends at 107 bytes.";
        };
      };
    };
  };
}

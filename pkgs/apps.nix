# `nix run` plays the demo; `nix run .#hyperhive -- COMMAND` is the command line.
{ pkgs }:
let
  inherit (import ./. { inherit pkgs; }) hyperhive;

  demo = pkgs.writeShellApplication {
    name = "hyperhive-demo";
    runtimeInputs = [ hyperhive ];
    text = ''exec hyperhive demo "$@"'';
  };
in
{
  default = {
    type = "app";
    program = pkgs.lib.getExe demo;
    meta.description = "A manager and two workers on this machine, without a model";
  };
}

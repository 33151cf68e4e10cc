# What `nix flake check` builds: the package, its tests, the style of the tree, and a check for each
# story of tests/nix/vm, which needs a builder with KVM.
{ pkgs }:
let
  inherit (pkgs) lib;
  inherit (import ./. { inherit pkgs; }) hyperhive;

  directory = ../tests/nix/vm;
  isStory = name: kind: kind == "regular" && lib.hasSuffix ".nix" name;

  story = file: _: {
    name = "vm-${lib.removeSuffix ".nix" file}";
    value = pkgs.testers.runNixOSTest (directory + "/${file}");
  };
in
{
  package = hyperhive;
  tests-python = hyperhive.tests.python;
  tests-nix = hyperhive.tests.nix;

  style =
    pkgs.runCommand "hyperhive-style"
      {
        nativeBuildInputs = [
          pkgs.nixfmt
          pkgs.ruff
          pkgs.shellcheck
        ];
      }
      ''
        cd ${../.}
        find flake.nix modules pkgs python tests -name '*.nix' -exec nixfmt --check {} +
        shellcheck .ci/check .ci/run
        cd python
        ruff check --no-cache . ../tests
        touch $out
      '';
}
// lib.mapAttrs' story (lib.filterAttrs isStory (builtins.readDir directory))

# The packages of this project, built from one nixpkgs.
#
# The Python libraries that nixpkgs lacks, or has too old, live in a Python of their own: nothing
# outside this project meets another version of them.
{ pkgs }:
let
  python = pkgs.python3.override {
    self = python;
    packageOverrides = import ./python.nix;
  };
in
rec {
  default = hyperhive;
  hyperhive = python.pkgs.callPackage ./hyperhive.nix { };
}

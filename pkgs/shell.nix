# The tools that .ci/run installs on Debian, what tests/systemd boots machines with, nixpkgs for the
# tests of the module, and a formatter.
#
# The Python packages come from python/constraints.txt, as in README: the shell's Python only makes
# the environment.
{ pkgs }:
{
  default = pkgs.mkShell {
    packages = [
      pkgs.bubblewrap
      pkgs.cacert
      pkgs.chromium
      pkgs.debootstrap
      pkgs.git
      pkgs.nix
      pkgs.nixfmt
      pkgs.nodejs
      pkgs.python3
      pkgs.shellcheck
      pkgs.systemd
    ];

    NIX_PATH = "nixpkgs=${toString pkgs.path}";
  };
}

# The tools that .ci/run installs on Debian. The Python packages come from
# python/constraints.txt, as in README: the shell's Python only makes the environment.
{ pkgs }:
{
  default = pkgs.mkShell {
    packages = [
      pkgs.bubblewrap
      pkgs.chromium
      pkgs.git
      pkgs.nixfmt
      pkgs.nodejs
      pkgs.python3
      pkgs.shellcheck
    ];
  };
}

"""A Nix that builds nothing: it locks, and gives a system that was made beforehand.

Which one follows from what it is given: the agent's name, and the first program that its
``agent.nix`` names. So a test makes ``STORE/HASH-nixos-system-h-carol-plain`` for an agent without
programs and ``…-hello`` for one with ``pkgs.hello``; anything else cannot be built.
"""

from pathlib import Path
from typing import Final

HASH: Final = "0123456789abcdfghijklmnpqrsvwxyz"

_NIX: Final = """#!/bin/sh
set -eu
said() { echo "$*" >>"@store@/said" || true; } 2>/dev/null
said "$@"
for last; do :; done
flake=${last#path:}
flake=${flake%#system}
case " $* " in
*" flake lock "*)
  [ -e "$flake/flake.lock" ] || printf '{"nodes": {}, "version": 7}' >"$flake/flake.lock"
  ;;
*" build "*)
  link=
  while [ $# -gt 0 ]; do
    [ "$1" != --out-link ] || link=$2
    shift
  done
  name=$(cat "$flake/name")
  word=$(sed -n 's/.*pkgs\\.\\([a-z]*\\).*/\\1/p' "$flake/agent/agent.nix" 2>/dev/null | head -n 1)
  for system in "@store@/"*"-nixos-system-h-$name-${word:-plain}"; do
    if [ ! -d "$system" ]; then
      printf "error: attribute '%s' missing\\n\\n at here\\n" "$word" >&2
      exit 1
    fi
    ln -sfn "$system" "$link"
  done
  ;;
*) exit 2 ;;
esac
"""


def install(programs: Path, store: str) -> None:
    """Put it into a directory of programs; ``store`` is where it finds systems."""
    programs.mkdir(parents=True, exist_ok=True)
    place = programs / "nix"
    place.write_text(_NIX.replace("@store@", store))
    place.chmod(0o755)


def system(store: Path, agent: str, word: str = "plain", number: int = 0) -> Path:
    """Make the directory of a system, and give it."""
    place = store / f"{number}{HASH[1:]}-nixos-system-h-{agent}-{word}"
    place.mkdir(parents=True)
    return place

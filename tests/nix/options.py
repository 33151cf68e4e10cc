"""Writes ``docs/options.md`` from the module: ``python -m tests.nix.options``.

``--check`` writes nothing and exits 1 if the file is not what would be written.
"""

import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pytest_nixos import Documented, Evaluator
from pytest_nixos import nix as found_nix
from tests.nix.hives import HIVE, REPOSITORY, hive

REFERENCE: Final = REPOSITORY / "docs" / "options.md"
HEAD: Final = f"""\
# The options of the NixOS module

Everything below `{HIVE}`. [admin.md](admin.md) shows how to use it,
[declaration.md](declaration.md) what it is rendered to. What is unset is left to the server, whose
default is shown.

<!-- Written by `python -m tests.nix.options`. -->
"""


def reference(options: Sequence[Documented]) -> str:
    """Write the reference of all options, in the order of their names."""
    shown = sorted(options, key=lambda option: option.name.split("."))
    return "\n".join([HEAD, *map(_entry, shown)])


def options(evaluate: Evaluator) -> list[Documented]:
    """Find the options that the module declares."""
    return hive(evaluate, {}).documented(HIVE)


def _entry(option: Documented) -> str:
    facts = [f"*{option.type}*"]
    if option.default is not None:
        facts.append(f"default {_code(option.default)}")
    if option.example is not None:
        facts.append(f"for example {_code(option.example)}")
    lines = [f"## `{option.name.removeprefix(f'{HIVE}.')}`", "", _plain(option.description), ""]
    return "\n".join([*lines, ", ".join(facts), ""])


def _plain(description: str) -> str:
    """Turn the words of nixpkgs' manuals into plain Markdown, one line a paragraph."""
    text = re.sub(r"\{option\}(`[^`]*`)", r"\1", description)
    return " ".join(text.split())


def _code(text: str) -> str:
    """Show Nix text in one line; what is a sentence or has marks of its own stays as it is."""
    line = " ".join(text.split())
    return line if "`" in line or line.startswith("the ") else f"`{line}`"


def main(arguments: Sequence[str]) -> int:
    """Write the reference, or compare it."""
    match found_nix.look(os.environ):
        case found_nix.Missing(reason):
            print(f"nothing can be evaluated here: {reason}", file=sys.stderr)
            return 1
        case nixpkgs:
            with tempfile.TemporaryDirectory() as scratch:
                text = reference(options(Evaluator(nixpkgs, Path(scratch), seconds=120)))
    if "--check" in arguments:
        return int(REFERENCE.read_text() != text)
    REFERENCE.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

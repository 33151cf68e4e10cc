"""Every piece of Nix in README and docs is evaluated: what an admin copies works."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from pytest_nixos import Evaluator
from tests.nix.hives import HIVE, MODULE, REPOSITORY, hive, small, spawned_guest

PAGES: Final = (
    REPOSITORY / "README.md",
    MODULE.parent / "README.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
)
FLAKE: Final = """
{{ lib, ... }}:
let
  hyperhive.nixosModules.default = {module};
  nixpkgs.lib.nixosSystem = machine: machine;
  outputs = (import {file}).outputs {{ self = outputs; inherit nixpkgs hyperhive; }};
  modules = lib.concatMap (machine: machine.modules) (lib.attrValues outputs.nixosConfigurations);
in
{{ imports = lib.filter (module: lib.hasPrefix "{root}" (toString module)) modules; }}
"""
"""A flake's machines, of whose modules only ours is there."""

LINES_MAX: Final = 15


def snippets() -> Iterator[tuple[str, str]]:
    """Give each block of Nix with the page and line where it stands."""
    for page in PAGES:
        text = page.read_text()
        for block in re.finditer(r"^```nix\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, block.start()) + 1
            yield f"{page.relative_to(REPOSITORY)}:{line}", block[1]


SNIPPETS: Final = dict(snippets())
OF_AGENTS: Final = [where for where in SNIPPETS if where.startswith("docs/spawning.md")]
"""Those that are an ``agent.nix``."""


@pytest.mark.parametrize("where", [where for where in SNIPPETS if where not in OF_AGENTS])
def test_a_snippet_can_be_switched_to(where: str, nixos_eval: Evaluator, tmp_path: Path) -> None:
    text = SNIPPETS[where]
    is_whole = 'role = "manager"' in text
    if "nixosConfigurations" in text:
        file = tmp_path / "flake.nix"
        file.write_text(text)
        text, is_whole = FLAKE.format(file=file, module=MODULE, root=MODULE.parent), False

    found = hive(
        nixos_eval,
        {} if is_whole else small(),
        text,
        args={"hyperhive": {"nixosModules": {"default": str(MODULE)}}},
        want=[f"{HIVE}.declaration"],
    )

    assert found.failed == []
    assert found.value(f"{HIVE}.enable") is True


@pytest.mark.parametrize("where", OF_AGENTS)
def test_an_agents_snippet_is_let_through(
    where: str, nixos_eval: Evaluator, tmp_path: Path
) -> None:
    (tmp_path / "agent.nix").write_text(SNIPPETS[where])

    found = spawned_guest(nixos_eval, hive(nixos_eval, small()), "carol", tmp_path)

    assert any(path.endswith("-ripgrep") for path in found.value("environment.systemPackages"))


@pytest.mark.parametrize("page", ["modules/README.md", "docs/admin.md"])
def test_a_page_for_admins_shows_a_whole_hive(page: str) -> None:
    assert [text for where, text in SNIPPETS.items() if where.startswith(page) and "role =" in text]


def test_a_manager_and_two_agents_fit_in_fifteen_lines() -> None:
    (whole,) = (text for where, text in SNIPPETS.items() if where.startswith("modules/README.md"))

    assert len(re.findall(r"driver\.kind", whole)) == 3
    assert len(whole.splitlines()) <= LINES_MAX

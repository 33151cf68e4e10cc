"""The stories of ``tests/nix/vm``, each a machine that is built and booted where Nix can do that.

Elsewhere a story skips, with the reason. What can be known without booting is tested everywhere:
its machine is one that a switch accepts, and its script has no slip of the pen.
"""

import ast
import builtins
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from hyperhive.harness.script_format import load_script
from pytest_nixos import Evaluated, Evaluator, Machines

HERE: Final = Path(__file__).parent
TOP: Final = HERE.parents[2]
STUBS: Final = HERE.parent / "stubs.nix"
STORIES: Final = sorted(HERE.glob("*.nix"))
VARIANTS: Final = [
    (story, name)
    for story in STORIES
    for name in sorted(set(re.findall(r"specialisation\.([a-z-]+)\.", story.read_text())))
]
GIVEN: Final = {"machine", "subtest", *dir(builtins)}
"""What the driver of NixOS tests defines for a script, as far as the stories use it."""

VIRTUAL: Final = """
{ lib, options, pytestNixos ? null, ... }:
if pytestNixos == null then
  { imports = [ <nixpkgs/nixos/modules/virtualisation/qemu-vm.nix> ]; }
else
  {
    options = {
      specialisation = lib.mkOption { type = lib.types.lazyAttrsOf lib.types.raw; default = { }; };
      system.switch.enable = lib.mkOption { type = lib.types.bool; };
      system.tools.nixos-rebuild.enable = lib.mkOption { type = lib.types.bool; };
      virtualisation = lib.mkOption { type = lib.types.attrsOf lib.types.int; };
    };
    config._module.args.pkgs = lib.mkForce (pytestNixos.pkgs [
      "coreutils" "curl" "forgejo-lts" "gawk" "git" "gnugrep" "gnused" "hello" "jq"
      "runtimeShell" "tea"
    ]);
  }
"""

MACHINE: Final = "{ imports = [ (import STORY).nodes.machine ]; }"
VARIANT: Final = """
args@{ lib, pkgs, ... }:
let
  machine = lib.toFunction (import STORY).nodes.machine args;
in
{
  config = machine.specialisation.NAME.configuration;
}
"""
SCRIPT: Final = """
{ lib, ... }:
{
  options.script = lib.mkOption { type = lib.types.str; };
  config.script = (import STORY).testScript;
}
"""


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_the_story_holds_on_a_machine(nixos_vm: Machines, story: Path) -> None:
    nixos_vm(story)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_the_machine_of_a_story_is_one_that_a_switch_accepts(
    nixos_eval: Evaluator, story: Path
) -> None:
    found = machine(nixos_eval, story)

    assert found.failed == []
    assert {"hyperhive.service", "container@h-alice.service"} <= set(found.units)


@pytest.mark.parametrize(("story", "name"), VARIANTS, ids=[name for _, name in VARIANTS])
def test_what_a_story_switches_to_is_another_machine_that_a_switch_accepts(
    nixos_eval: Evaluator, story: Path, name: str
) -> None:
    variant = VARIANT.replace("STORY", str(story)).replace("NAME", name)

    found = machine(nixos_eval, story, variant)

    assert found.failed == []
    assert triggers(found) != triggers(machine(nixos_eval, story))


def test_stories_switch_between_machines() -> None:
    assert {name for _, name in VARIANTS} == {"changed", "next", "with-bob"}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_the_script_of_a_story_uses_only_what_is_defined(
    nixos_eval: Evaluator, story: Path
) -> None:
    script = nixos_eval([SCRIPT.replace("STORY", str(story))], {}, want=["script"])

    assert undefined(script.value("script")) == set()


def test_a_slip_of_the_pen_in_a_script_is_seen() -> None:
    assert undefined("def f(a):\n    return a + b\n\nmachine.succeed(f(1))") == {"b"}


@pytest.mark.parametrize("name", ["queen", "worker"])
def test_the_agents_of_the_stories_have_scripts_that_can_be_played(name: str) -> None:
    assert load_script(HERE / "parts" / f"{name}.toml")


def test_the_next_version_brings_a_database_along_and_this_one_refuses_it_afterwards(
    tmp_path: Path,
) -> None:
    later = tmp_path / "later"
    shutil.copytree(
        TOP / "python" / "src" / "hyperhive" / "store",
        later / "src" / "hyperhive" / "store",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    subprocess.run(["bash", "-e", HERE / "parts" / "next-version.sh"], cwd=later, check=True)
    present, next_one = (
        TOP / "python" / "src" / "hyperhive" / "store",
        later / "src/hyperhive/store",
    )

    assert migrated(present, tmp_path) == ""
    assert migrated(next_one, tmp_path) == ""
    refusal = migrated(present, tmp_path)

    kept = [path.name for path in (tmp_path / "backups").glob("*-before-9999-*.db")]
    assert len(kept) == 1
    assert "which is newer than" in refusal
    assert re.search(rf"hyperhive restore {tmp_path}/backups/{kept[0]}$", refusal, re.MULTILINE)


def machine(evaluate: Evaluator, story: Path, *more: str) -> Evaluated:
    """Evaluate the machine of ``story``, with further modules."""
    modules = [VIRTUAL, MACHINE.replace("STORY", str(story)), *more]
    return evaluate(modules, {}, stubs=STUBS)


def triggers(found: Evaluated) -> str:
    """Give what decides whether a switch reloads or restarts the server."""
    unit = found.unit("hyperhive.service")
    return unit.section("Unit")["X-Reload-Triggers"] + unit.section("Service")["ExecStart"]


def undefined(script: str) -> set[str]:
    """Give the names that ``script`` reads and nobody defines."""
    nodes = list(ast.walk(ast.parse(script)))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    defined = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    for node in nodes:
        match node:
            case ast.FunctionDef(name=name):
                defined.add(name)
            case ast.arg(arg=name):
                defined.add(name)
            case ast.Import(names=imported):
                defined.update(alias.asname or alias.name for alias in imported)
    return {name.id for name in names} - defined - GIVEN


def migrated(store: Path, directory: Path) -> str:
    """Migrate a database with the migrations of ``store``; give the refusal, if there is one."""
    program = f"""
import importlib.util
from pathlib import Path
from hyperhive.domain.errors import HiveError
from hyperhive.store.engine import Database

spec = importlib.util.spec_from_file_location("migrate", {str(store / "migrate.py")!r})
migrate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(migrate)
path = Path({str(directory / "hive.db")!r})
connection = Database(path).connect()
try:
    migrate.migrate(connection, path, Path({str(directory / "backups")!r}))
except HiveError as refusal:
    print(refusal)
"""
    return subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout

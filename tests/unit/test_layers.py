"""The layers hold on the tree, and each of their contracts fails when it is broken."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import grimp
import pytest
from importlinter import Contract
from importlinter.api import read_configuration
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract
from importlinter.contracts.protected import ProtectedContract

from tests.layers import OnlyImports

TOP: Final = Path(__file__).resolve().parents[2]
PYPROJECT: Final = TOP / "python" / "pyproject.toml"
SOURCE: Final = TOP / "python" / "src"

CONTRACTS: Final[dict[str, type[Contract]]] = {
    "forbidden": ForbiddenContract,
    "layers": LayersContract,
    "only": OnlyImports,
    "protected": ProtectedContract,
}

BREAKS: Final = [
    ("layers", "hyperhive.store", "hyperhive.services"),
    ("layers", "hyperhive.services", "hyperhive.reconcile"),
    ("layers", "hyperhive.surfaces", "hyperhive.runtimes"),
    ("layers", "hyperhive.somewhere", "hyperhive.domain"),
    ("domain", "hyperhive.domain.errors", "pydantic"),
    ("harness", "hyperhive.harness", "pydantic"),
    ("harness", "hyperhive.harness.drivers", "hyperhive.config"),
    ("client", "hyperhive.client", "h11"),
    ("box", "hyperhive.surfaces", "hyperhive.client"),
    ("mcp", "hyperhive.surfaces.http", "mcp"),
    ("clockwork", "hyperhive.bootstrap", "apscheduler"),
    ("forge", "hyperhive.services", "requests"),
    ("programs", "hyperhive.services", "hyperhive.programs"),
    ("plugin", "pytest_nixos.nix", "hyperhive.domain"),
    ("product", "hyperhive.runtimes", "pytest_nixos.nix"),
    ("sql", "hyperhive.services", "sqlalchemy"),
]
"""Which contract, and an import (who, what) that no other contract minds."""

MAY_START_PROCESSES: Final = (
    "runtimes/",
    "programs.py",
    "harness/drivers/",
    "harness/script_programs.py",
    "harness/script_tools.py",
    "demo/",
    "forge/git.py",
    "forge/embedded/git",
)
STARTS_PROCESSES: Final = frozenset({"subprocess", "multiprocessing", "pty"})
STARTS_A_PROCESS: Final = frozenset(
    {
        "create_subprocess_exec",
        "create_subprocess_shell",
        "fork",
        "forkpty",
        "open_process",
        "posix_spawn",
        "posix_spawnp",
        "run_process",
        "subprocess_exec",
        "subprocess_shell",
        "os.popen",
        "os.system",
        *(f"os.{name}" for name in dir(os) if name.startswith(("exec", "spawn"))),
    }
)


@pytest.fixture(scope="module")
def tree() -> grimp.ImportGraph:
    """Read the imports of the tree once; nothing is imported to find them."""
    return grimp.build_graph(
        "hyperhive", "pytest_nixos", include_external_packages=True, cache_dir=None
    )


def broken(graph: grimp.ImportGraph) -> set[str]:
    """Give the ids of the contracts of ``pyproject.toml`` that ``graph`` does not keep."""
    found = set()
    for options in contracts():
        contract = CONTRACTS[options["type"]](
            name=options["name"],
            session_options=read_configuration(str(PYPROJECT))["session_options"],
            contract_options=options,
        )
        if not contract.check(deepcopy(graph), verbose=False).kept:
            found.add(options["id"])
    return found


def contracts() -> list[dict[str, Any]]:
    """Give the contracts as they are configured."""
    options: list[dict[str, Any]] = read_configuration(str(PYPROJECT))["contracts_options"]
    return options


def starters(source: str) -> Iterator[str]:
    """Give what in ``source`` starts, or becomes, another process."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names):
                yield from (name.name for name in names if _is_starter(name.name))
            case ast.ImportFrom(module=str(module), names=names):
                words = [module, *(f"{module}.{name.name}" for name in names)]
                yield from (word for word in words if _is_starter(word))
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                if _is_starter(f"{owner}.{name}"):
                    yield f"{owner}.{name}"


def _is_starter(dotted: str) -> bool:
    first, _, last = dotted.partition(".")
    return first in STARTS_PROCESSES or dotted in STARTS_A_PROCESS or last in STARTS_A_PROCESS


def test_the_layers_hold_on_the_tree(tree: grimp.ImportGraph) -> None:
    assert broken(tree) == set()


@pytest.mark.parametrize(("contract", "importer", "imported"), BREAKS)
def test_a_contract_fails_when_it_is_broken(
    tree: grimp.ImportGraph, contract: str, importer: str, imported: str
) -> None:
    bent = deepcopy(tree)
    bent.add_import(importer=importer, imported=imported)

    assert broken(bent) - broken(tree) == {contract}


def test_every_contract_is_shown_to_fail() -> None:
    assert {options["id"] for options in contracts()} == {contract for contract, _, _ in BREAKS}


def test_the_command_that_ci_runs_names_the_import_that_breaks_a_contract(tmp_path: Path) -> None:
    shutil.copytree(SOURCE, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "src" / "hyperhive" / "domain" / "errors.py").open("a") as module:
        module.write("\nimport pydantic\n")

    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--config", PYPROJECT, "--no-cache"],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 1
    assert "hyperhive.domain.errors may not import pydantic" in run.stdout


def test_only_runtimes_drivers_and_git_start_processes() -> None:
    package = SOURCE / "hyperhive"
    found = {
        f"{path.relative_to(package)}: {word}"
        for path in package.rglob("*.py")
        if not path.relative_to(package).as_posix().startswith(MAY_START_PROCESSES)
        for word in starters(path.read_text())
    }

    assert found == set()


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess",
        "from subprocess import run",
        "from asyncio import create_subprocess_exec",
        "from os import execv",
        "import multiprocessing.pool",
        "import asyncio\nasyncio.create_subprocess_shell('ls')",
        "import os\nos.fork()",
        "import os\nos.system('ls')",
        "import os\nos.spawnv(0, 'ls', [])",
        "loop.subprocess_exec(protocol, 'ls')",
    ],
)
def test_what_starts_a_process_is_seen(source: str) -> None:
    assert list(starters(source)) != []


def test_looking_at_processes_is_not_starting_one() -> None:
    assert list(starters("import os, signal\nos.kill(1, signal.SIGTERM)\nplatform.system()")) == []

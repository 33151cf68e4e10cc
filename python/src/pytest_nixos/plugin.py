"""The fixtures and settings that pytest finds through the entry point."""

import os
from typing import Final

import pytest

from pytest_nixos import machines, nix
from pytest_nixos.evaluation import Evaluator
from pytest_nixos.machines import Machines

EVALUATION_SECONDS: Final = 120.0
MACHINE_SECONDS: Final = 1800.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two time limits to the settings of pytest."""
    parser.addini(
        "nixos_eval_seconds",
        f"how long one evaluation of a NixOS module may take (default {EVALUATION_SECONDS:g})",
        default=str(EVALUATION_SECONDS),
    )
    parser.addini(
        "nixos_vm_seconds",
        f"how long building and running one VM test may take (default {MACHINE_SECONDS:g})",
        default=str(MACHINE_SECONDS),
    )


@pytest.fixture(scope="session")
def nixos_eval(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Evaluator:
    """Evaluate NixOS modules; skips, with the reason, where Nix or nixpkgs' lib is missing."""
    match nix.look(os.environ):
        case nix.Missing(reason):
            pytest.skip(f"nixos_eval: {reason}")
        case nixpkgs:
            return Evaluator(
                nixpkgs,
                tmp_path_factory.mktemp("nixos-eval"),
                seconds=float(pytestconfig.getini("nixos_eval_seconds")),
            )


@pytest.fixture(scope="session")
def nixos_vm(pytestconfig: pytest.Config) -> Machines:
    """Build and run NixOS VM tests; each skips, with the reason, where Nix cannot build one."""
    return Machines(
        machines.why_not(os.environ), seconds=float(pytestconfig.getini("nixos_vm_seconds"))
    )

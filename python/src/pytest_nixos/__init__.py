"""Tests of NixOS modules in pytest: evaluate a module, or run a NixOS VM test.

Two fixtures come with it, ``nixos_eval`` and ``nixos_vm``. A machine that lacks what one of them
needs skips its tests and says what is missing and where it was looked for; nothing counts as
passed that has not run. ``README.md`` beside this file shows both.
"""

from pytest_nixos.evaluated import Assertion, Documented, Evaluated, File, Option, Section, Unit
from pytest_nixos.evaluation import Evaluator
from pytest_nixos.machines import Machines
from pytest_nixos.nix import EvaluationFailed, TookTooLong

__all__ = [
    "Assertion",
    "Documented",
    "Evaluated",
    "EvaluationFailed",
    "Evaluator",
    "File",
    "Machines",
    "Option",
    "Section",
    "TookTooLong",
    "Unit",
]

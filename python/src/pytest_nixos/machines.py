"""Builds and runs NixOS VM tests, or skips: a test that was only parsed has not passed.

A test is a file that ``testers.runNixOSTest`` takes. Building it runs it, and Nix remembers what
has passed, so a test whose inputs are the same is not run twice.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from pytest_nixos import nix

_BUILD: Final = "{ test }: (import <nixpkgs> { }).testers.runNixOSTest (/. + test)"


@dataclass(frozen=True, slots=True)
class Passed:
    """A VM test that has run to its end, now or earlier with the same inputs."""

    output: Path


class Machines:
    """Runs VM tests, or skips them for ``reason``. What the fixture ``nixos_vm`` gives."""

    def __init__(self, reason: str | None, *, seconds: float) -> None:
        self._reason: Final = reason
        self._seconds: Final = seconds

    def __call__(self, test: Path) -> Passed:
        """Build and run the test in the file ``test``.

        Raises ``EvaluationFailed`` with what Nix printed, the log of the machines at its end. Where
        nothing can be built the file is parsed, if Nix is there, and the test skips.
        """
        if self._reason is not None:
            pytest.skip(f"{test.name} was {_parsed(test)}, not run: {self._reason}")
        built = nix.run(
            ["nix-build", "--no-out-link", "-E", _BUILD, "--argstr", "test", str(test.absolute())],
            seconds=self._seconds,
        )
        return Passed(Path(built.split()[-1]))


def why_not(
    environment: Mapping[str, str],
    kvm: Path = Path("/dev/kvm"),
    builders: Path = Path("/etc/nix/machines"),
) -> str | None:
    """Say why no VM test can run here: it takes all of nixpkgs, and KVM or a builder."""
    match nix.look(environment):
        case nix.Missing(reason):
            return reason
        case nix.Nixpkgs(has_nixos=False, lib=lib):
            return f"NixOS is not beside {lib}: a machine can only be built from all of nixpkgs"
    if not kvm.exists() and not builders.exists():
        return f"there is neither {kvm} nor a builder in {builders}"
    return None


def _parsed(test: Path) -> str:
    parser = shutil.which("nix-instantiate", path=os.environ.get("PATH", ""))
    if parser is None:
        return "not even parsed"
    nix.run([parser, "--store", "dummy://", "--parse", str(test)], seconds=nix.PROBE_SECONDS)
    return "only parsed"

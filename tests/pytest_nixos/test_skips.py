"""On a machine that lacks something the tests skip, and say what was looked for, and where."""

import shutil
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import pytest

from pytest_nixos import machines, nix

pytest_plugins = ["pytester"]

EVALUATES: Final = """
def test_a_module(nixos_eval):
    assert nixos_eval(["{ }"], {}).failed == []
"""
RUNS: Final = """
from pathlib import Path

def test_a_story(nixos_vm):
    nixos_vm(Path("story.nix"))
"""


@pytest.fixture
def machine(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A pytest that has the plugin and no other."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider -p pytest_nixos.plugin -rs")
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "NIX_PATH"):
        monkeypatch.delenv(name, raising=False)
    return pytester


@pytest.fixture
def instantiate() -> str:
    """Where Nix is, for what only makes sense with it."""
    found = shutil.which("nix-instantiate")
    if found is None:
        pytest.skip("there is no nix-instantiate on PATH")
    return found


def skip_of(machine: pytest.Pytester, test: str) -> str:
    """Run ``test``, which must skip and nothing else, and give its reason."""
    machine.makepyfile(test)
    result = machine.runpytest_inprocess()
    result.assert_outcomes(skipped=1)
    return next(line for line in result.outlines if line.startswith("SKIPPED"))


def test_pytest_finds_the_plugin_by_itself() -> None:
    found = entry_points(group="pytest11", name="nixos")

    assert [entry.value for entry in found] == ["pytest_nixos.plugin"]


def test_without_nix_a_test_skips_and_says_so(
    machine: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert "there is no nix-instantiate on PATH: install Nix" in skip_of(machine, EVALUATES)


def test_without_nixpkgs_a_test_skips_and_says_where_nix_looked(
    machine: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, instantiate: str
) -> None:
    monkeypatch.setenv("NIX_PATH", f"nixpkgs={tmp_path}")

    reason = skip_of(machine, EVALUATES)

    assert "Nix finds no <nixpkgs/lib>" in reason
    assert f"NIX_PATH=nixpkgs={tmp_path}" in reason
    assert f"it looked in: nixpkgs={tmp_path}" in reason
    assert "set NIX_PATH=nixpkgs=DIRECTORY" in reason


def test_a_nix_that_does_not_work_is_a_skip_with_its_own_words(
    machine: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "nix-instantiate"
    broken.write_text("#!/bin/sh\necho 'the store is on fire' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert "does not evaluate: the store is on fire" in skip_of(machine, EVALUATES)


def test_a_machine_test_that_was_only_parsed_is_skipped_not_passed(
    machine: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, instantiate: str
) -> None:
    monkeypatch.setenv("NIX_PATH", f"nixpkgs={tmp_path}")
    (machine.path / "story.nix").write_text("{ }")

    assert "story.nix was only parsed, not run: " in skip_of(machine, RUNS)


def test_a_machine_test_that_does_not_parse_fails(
    machine: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, instantiate: str
) -> None:
    monkeypatch.setenv("NIX_PATH", f"nixpkgs={tmp_path}")
    (machine.path / "story.nix").write_text("{ a = ; }")
    machine.makepyfile(RUNS)

    result = machine.runpytest_inprocess()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*syntax error*"])


def test_without_nix_a_machine_test_is_not_even_parsed(
    machine: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert "story.nix was not even parsed, not run" in skip_of(machine, RUNS)


def test_lib_alone_is_enough_to_evaluate_but_not_to_run_a_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, instantiate: str
) -> None:
    (tmp_path / "lib").mkdir()
    environment = {"NIX_PATH": f"nixpkgs={tmp_path}", "PATH": str(Path(instantiate).parent)}

    found = nix.look(environment)

    assert found == nix.Nixpkgs(instantiate, tmp_path / "lib", has_nixos=False)
    assert machines.why_not(environment) == (
        f"NixOS is not beside {tmp_path}/lib: a machine can only be built from all of nixpkgs"
    )


def test_all_of_nixpkgs_without_kvm_or_a_builder_is_not_enough_to_run_a_machine(
    tmp_path: Path, instantiate: str
) -> None:
    (tmp_path / "lib").mkdir()
    nixos = tmp_path / "nixos" / "lib" / "eval-config.nix"
    nixos.parent.mkdir(parents=True)
    nixos.touch()
    environment = {"NIX_PATH": f"nixpkgs={tmp_path}", "PATH": str(Path(instantiate).parent)}
    nowhere = tmp_path / "nowhere"

    assert machines.why_not(environment, kvm=nowhere, builders=nowhere) == (
        f"there is neither {nowhere} nor a builder in {nowhere}"
    )
    assert machines.why_not(environment, kvm=nixos, builders=nowhere) is None

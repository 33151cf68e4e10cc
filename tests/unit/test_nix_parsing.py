"""Nix expressions are read and nothing else, and what is none is said in a line."""

import shutil
from pathlib import Path

import pytest

from hyperhive.nix.parsing import NixParser

pytestmark = pytest.mark.anyio

needs_nix = pytest.mark.skipif(
    shutil.which("nix-instantiate") is None, reason="nix-instantiate is not installed"
)


@needs_nix
@pytest.mark.parametrize(
    "text",
    [
        "{ pkgs, ... }: { environment.systemPackages = [ pkgs.jq ]; }",
        "import ./other.nix",
        'builtins.readFile "/etc/shadow"',
        "import <nixpkgs> { }",
        'derivation { name = "x"; builder = "/bin/sh"; system = builtins.currentSystem; }',
    ],
)
async def test_an_expression_is_read_and_not_evaluated(text: str) -> None:
    assert await NixParser().fault(text) is None


@needs_nix
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{ a = ; }", "syntax error, unexpected ';' at 1:7"),
        ("{", "unexpected end of file"),
        ("", "unexpected end of file"),
        ("no", "undefined variable 'no'"),
        ("\x00", "unexpected end of file"),
        ("(" * 60_000, "memory exhausted"),
        ("{a=" * 40_000, "memory exhausted"),
        ('"${' * 40_000, "memory exhausted"),
    ],
)
async def test_what_is_no_expression_is_told_in_a_line(text: str, said: str) -> None:
    fault = await NixParser().fault(text)
    assert fault is not None
    assert said in fault
    assert len(fault) < 200


async def test_without_nix_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await NixParser().fault("{") is None

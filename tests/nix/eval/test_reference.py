"""``docs/options.md`` is what the module says, and the module says it of every option."""

import pytest

from pytest_nixos import Documented, Evaluator
from tests.nix.options import REFERENCE, options, reference


@pytest.fixture(scope="module")
def documented(nixos_eval: Evaluator) -> list[Documented]:
    """Every option of the module."""
    return options(nixos_eval)


def test_the_reference_is_up_to_date(documented: list[Documented]) -> None:
    """If this fails: ``python -m tests.nix.options``."""
    assert REFERENCE.read_text() == reference(documented)


def test_every_option_is_described(documented: list[Documented]) -> None:
    assert [option.name for option in documented if not option.description.strip()] == []


def test_every_description_is_whole_sentences(documented: list[Documented]) -> None:
    broken = [option.name for option in documented if not option.description.strip().endswith(".")]

    assert broken == []

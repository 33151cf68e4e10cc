"""The real programs, or the reason why they are not there."""

from pathlib import Path

import pytest

from tests.clients.installing import NotInstalledError, program


def _or_skip(name: str) -> Path:
    try:
        return program(name)
    except NotInstalledError as error:
        pytest.skip(f"{name}: {error}")


@pytest.fixture(scope="session")
def claude_program() -> Path:
    return _or_skip("claude")


@pytest.fixture(scope="session")
def codex_program() -> Path:
    return _or_skip("codex")

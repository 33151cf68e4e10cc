"""Fixtures that every tier shares."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, the loop the server uses."""
    return "asyncio"

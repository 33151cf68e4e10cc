"""Fixtures that every tier shares, and one mend of the test runner."""

from typing import Any

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Keep the tests of an ``xdist_group`` on one worker.

    xdist 3.8 writes a test's group where pytest 9.2 no longer reads it. Without this, tests that
    must run alone run beside each other.
    """
    for item in items:
        named = getattr(item, "_nodeid", None)
        if named and named != item.nodeid:
            item._id = type(item._id).parse(named)


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, the loop the server uses."""
    return "asyncio"

"""Who runs the hives of this tier whose agents live in boxes."""

from collections.abc import Iterator

import pytest

from tests.demos import Player, boxed_player
from tests.walls import open_directory


@pytest.fixture(scope="session")
def player() -> Iterator[Player]:
    """Give an ordinary user whose agents can be in boxes, or skip with the reason."""
    with open_directory() as directory:
        yield boxed_player(directory)

"""The demo: a small hive in a directory of its own, whose story can be watched and checked."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperhive.demo.play import main

__all__ = ["main"]


def __getattr__(name: str) -> Any:
    """Import the story when it is played: the scripted model beside it starts without a server."""
    if name == "main":
        from hyperhive.demo.play import main

        return main
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""The demo: a small hive in a directory of its own, whose story can be watched and checked."""

from hyperhive.demo.play import main

__all__ = ["main"]

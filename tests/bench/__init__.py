"""Figures, each against a baseline of the same run: ``python -m tests.bench``. No tests."""

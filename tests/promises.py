"""Ties the promises of ``docs/promises.md`` to the tests that keep them.

A test says which promise it keeps (``@promise("M3")``); the check reads the sources, not a test
run, so it sees the tests of every tier wherever it runs. A promise counts as kept only by
something that pytest collects and that is not skipped or expected to fail whatever happens.

``python -m tests.promises`` prints the table and exits with 1 where the check would fail.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
PROMISES = TOP / "docs" / "promises.md"
TESTS = TOP / "tests"

_LINE = re.compile(r"- \*\*(?P<id>[^*]+)\*\* (?P<sentence>.+)")
_ID = re.compile(r"[A-Z][1-9][0-9]*")
_NEVER_RUN = frozenset({"skip", "xfail"})


def promise(*ids: str) -> pytest.MarkDecorator:
    """Mark a test, or a class of tests, as one that keeps these promises.

    The ids are written out as strings: the check reads them without running the file.
    """
    return pytest.mark.promise(*ids)


@dataclass(frozen=True, slots=True)
class Use:
    """One ``@promise``: which one, on what test, and why it does not count (or ``None``)."""

    promise: str
    test: str
    fault: str | None = None


def promised(text: str) -> tuple[dict[str, str], list[str]]:
    """Read the promises, id to sentence, and what is wrong with how they are written."""
    sentences: dict[str, str] = {}
    faults: list[str] = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        name = match["id"]
        if not _ID.fullmatch(name):
            faults.append(f"{name!r} is no promise's id: a capital letter and a number.")
        if name in sentences:
            faults.append(f"{name} is promised twice.")
        sentences[name] = match["sentence"]
    return sentences, faults


def faults(promises: Path = PROMISES, tests: Path = TESTS) -> list[str]:
    """Say in one sentence each what keeps promises and tests from matching; empty when they do."""
    sentences, found = promised(promises.read_text())
    if not sentences:
        found.append(f"{promises.name} promises nothing.")
    uses = list(_all_uses(tests))
    kept = {use.promise for use in uses if use.fault is None}
    found += [f"{use.test}: {use.fault}" for use in uses if use.fault is not None]
    found += [
        f"{use.test} names {use.promise}, which is not promised."
        for use in uses
        if use.fault is None and use.promise not in sentences
    ]
    found += [f"{name} has no test: {text}" for name, text in sentences.items() if name not in kept]
    return found


def _all_uses(tests: Path) -> Iterator[Use]:
    for path in sorted(tests.rglob("*.py")):
        where = path.relative_to(tests.parent).as_posix()
        collected = path.name.startswith("test_")
        yield from _uses(ast.parse(path.read_text()), where, collected=collected, never_run=False)


def _uses(parent: ast.AST, where: str, *, collected: bool, never_run: bool) -> Iterator[Use]:
    for node in ast.iter_child_nodes(parent):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        is_class = isinstance(node, ast.ClassDef)
        name = f"{where}::{node.name}"
        runs = collected and node.name.startswith("Test" if is_class else "test_")
        skipped = never_run or any(_is_never_run(mark) for mark in node.decorator_list)
        yield from _named(node.decorator_list, name, runs=runs, skipped=skipped)
        if is_class:
            yield from _uses(node, name, collected=runs, never_run=skipped)


def _named(marks: Iterable[ast.expr], test: str, *, runs: bool, skipped: bool) -> Iterator[Use]:
    for mark in marks:
        if not (isinstance(mark, ast.Call) and _last_name(mark.func) == "promise"):
            continue
        ids = [arg.value for arg in mark.args if isinstance(arg, ast.Constant)]
        if not ids or len(ids) != len(mark.args) or mark.keywords:
            yield Use("", test, "a promise is named by strings, written out.")
            continue
        fault = None
        if not runs:
            fault = "this is no test that pytest collects, so it keeps no promise."
        elif skipped:
            fault = "a test that is always skipped or expected to fail keeps no promise."
        for name in ids:
            yield Use(str(name), test, fault)


def _is_never_run(mark: ast.expr) -> bool:
    return _last_name(mark.func if isinstance(mark, ast.Call) else mark) in _NEVER_RUN


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def main() -> int:
    """Print each promise with the tests that keep it, then what does not match."""
    sentences, _ = promised(PROMISES.read_text())
    uses = list(_all_uses(TESTS))
    for name, sentence in sentences.items():
        sys.stdout.write(f"{name:4} {sentence}\n")
        for use in uses:
            if use.promise == name and use.fault is None:
                sys.stdout.write(f"       {use.test}\n")
    found = faults()
    sys.stdout.writelines(f"\n{fault}" for fault in found)
    sys.stdout.write("\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

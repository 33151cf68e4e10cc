"""What is measured, how it stands to its bar, and how it is shown.

A `Figure` holds one number and at most one bar: an absolute one, or one on its ratio to the
baseline. A figure without a bar explains others.
"""

import gc
import json
import math
import os
import platform
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

MEBIBYTE: Final = 1024 * 1024
_TIMES: Final = "\N{MULTIPLICATION SIGN}"


class Skipped(Exception):  # noqa: N818 - nothing is wrong
    """A figure cannot be had on this machine, and this is why."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number, its baseline from the same run and its bar."""

    name: str
    what: str
    measured: float
    unit: str
    baseline: float | None = None
    at_most: float | None = None
    ratio_at_most: float | None = None
    ratio_at_least: float | None = None
    skipped: str | None = None

    @classmethod
    def skip(cls, name: str, what: str, reason: Skipped) -> Self:
        """Say instead of a number why there is none."""
        return cls(name, what, math.nan, "", skipped=str(reason))

    @property
    def ratio(self) -> float | None:
        """The measured number over its baseline."""
        return self.measured / self.baseline if self.baseline else None

    @property
    def bar(self) -> str:
        """The bar in words; empty when there is none."""
        if self.at_most is not None:
            return f"≤ {self.at_most:g} {self.unit}"
        if self.ratio_at_most is not None:
            return f"≤ {self.ratio_at_most:g}{_TIMES}"
        return f"≥ {self.ratio_at_least:g}{_TIMES}" if self.ratio_at_least is not None else ""

    @property
    def is_met(self) -> bool | None:
        """Whether it is within its bar; ``None`` when it has none."""
        if self.skipped is not None:
            return None
        if self.at_most is not None:
            return self.measured <= self.at_most
        if self.ratio_at_most is not None:
            return self.ratio is not None and self.ratio <= self.ratio_at_most
        if self.ratio_at_least is not None:
            return self.ratio is not None and self.ratio >= self.ratio_at_least
        return None

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON, verdict included."""
        return {
            "name": self.name,
            "what": self.what,
            "measured": None if self.skipped is not None else self.measured,
            "skipped": self.skipped,
            "unit": self.unit,
            "baseline": self.baseline,
            "ratio": self.ratio,
            "bar": self.bar or None,
            "met": self.is_met,
        }


@dataclass(frozen=True, slots=True)
class Scale:
    """How large to measure; ``small`` only proves that everything runs."""

    small: bool
    idle_seconds: float

    def pick(self, full: int, small: int) -> int:
        """Choose a count."""
        return small if self.small else full


def percentile(values: Sequence[float], share: float) -> float:
    """Give the smallest value that at least ``share`` (0 to 1) of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def milliseconds(seconds: Sequence[float], share: float) -> float:
    """Give a percentile of durations in seconds, in milliseconds."""
    return percentile(seconds, share) * 1000


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep the load generator's own garbage collector out of what it times."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def resident_bytes(pid: int) -> int:
    """Give the resident memory of a process, shared libraries included."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmRSS:") * 1024


def peak_bytes(pid: int) -> int:
    """Give the most memory that a process has had, shared libraries included."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmHWM:") * 1024


def proportional_bytes(pid: int) -> int:
    """Give the memory of a process with its part of what it shares with others."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") * 1024


def total_bytes(pids: Sequence[int]) -> int:
    """Give the resident memory of several processes; what they share counts for each."""
    return sum(resident_bytes(pid) for pid in pids)


def processor_seconds(pid: int) -> float:
    """Give the processor time a process has used, its kernel time included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine(directory: Path) -> dict[str, str]:
    """Describe what a figure depends on besides the code."""
    memory = _kilobytes(Path("/proc/meminfo"), "MemTotal:") / MEBIBYTE
    return {
        "processor": f"{os.cpu_count()} x {_processor()}",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "state on": _file_system(directory),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "commit": _commit(),
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def table(figures: Sequence[Figure]) -> str:
    """Lay the figures out as a Markdown table, readable as it is."""
    head = ("", "what", "measured", "baseline", "ratio", "bar", "")
    rows = [head, *(_cells(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def report(figures: Sequence[Figure], described: dict[str, str]) -> str:
    """Give machine and figures as JSON."""
    told = {"machine": described, "figures": [figure.as_json() for figure in figures]}
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def _cells(figure: Figure) -> tuple[str, ...]:
    if figure.skipped is not None:
        return figure.name, f"{figure.what}: {figure.skipped}", "skipped", "", "", "", ""
    verdict = {None: "", True: "met", False: "MISSED"}[figure.is_met]
    baseline = "" if figure.baseline is None else f"{_number(figure.baseline)} {figure.unit}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}{_TIMES}"
    measured = f"{_number(figure.measured)} {figure.unit}"
    return figure.name, figure.what, measured, baseline, ratio, figure.bar, verdict


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 100 else f"{value:.2f}"


def _kilobytes(path: Path, key: str) -> int:
    line = next(line for line in path.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1])


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _file_system(directory: Path) -> str:
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    above = [
        (len(Path(point).parts), kind)
        for point, kind in mounts
        if directory.resolve().is_relative_to(point)
    ]
    return max(above)[1] if above else "unknown"


def _commit() -> str:
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or f"unknown (python {sys.version_info.major})"

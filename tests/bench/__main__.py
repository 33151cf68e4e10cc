"""``python -m tests.bench``: measure, compare with the bars, print a table.

Run it from the top of the repository. ``--small`` proves in under a minute that everything runs;
its figures mean nothing. The exit status is 0 when everything ran; with ``--strict`` also every
bar has to be met.
"""

import argparse
import os
import sys
import tempfile
import time
import traceback
from importlib import import_module
from pathlib import Path

from tests.bench.measure import Figure, Scale, machine, report, table

BARS = {
    "P1": "p1_send",
    "P2": "p2_writes",
    "P3": "p3_wakeups",
    "P4": "p4_all_to_all",
    "P5": "p5_reminders",
    "P6": "p6_backlog",
    "P7": "p7_page",
    "PAGE": "following",
    "P8": "p8_starts",
    "P9": "p9_memory",
    "P11": "p11_dashboards",
    "P12": "p12_idle",
    "STARTS": "starts",
    "FORGE": "forge",
    "P10": "p10_demo",
}
NOT_SMALL = {"P10"}


def main() -> int:
    """Measure what was asked for; return the exit status."""
    given = _arguments()
    where = Path(given.directory or tempfile.gettempdir()).resolve()
    described = machine(where)
    print(
        "  ".join(f"{key}: {value}" for key, value in described.items()),
        file=sys.stderr,
    )
    idle = given.idle_seconds if given.idle_seconds is not None else (2 if given.small else 60)
    scale = Scale(given.small, idle)
    found: list[Figure] = []
    failed: list[str] = []
    for name in _wanted(given.only, small=given.small):
        begun = time.perf_counter()
        try:
            found += import_module(f"tests.bench.{BARS[name]}").figures(scale, where)
        except Exception:  # noqa: BLE001 - the other bars are still measured
            failed.append(name)
            traceback.print_exc()
        print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    described["load after"] = f"{os.getloadavg()[0]:.1f}"
    print(table(found))
    if given.json:
        given.json.write_text(report(found, described))
    if failed:
        print(f"Did not run: {', '.join(failed)}.", file=sys.stderr)
    missed = [figure for figure in found if figure.is_met is False]
    return int(bool(failed) or (given.strict and bool(missed)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--small", action="store_true", help="prove that all run; in a minute")
    parser.add_argument("--only", metavar="P1,P3", help=f"of {', '.join(BARS).lower()}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--strict", action="store_true", help="a missed bar fails")
    parser.add_argument("--directory", help="where the hives live; a disk, to measure one")
    parser.add_argument("--idle-seconds", type=float, help="how long P12 idles  [60]")
    return parser.parse_args()


def _wanted(only: str | None, *, small: bool) -> list[str]:
    if only is None:
        return [name for name in BARS if not (small and name in NOT_SMALL)]
    names = [name.strip().upper() for name in only.split(",")]
    unknown = [name for name in names if name not in BARS]
    if unknown:
        raise SystemExit(f"There is no {', '.join(unknown)}; there are {', '.join(BARS)}.")
    return names


if __name__ == "__main__":
    sys.exit(main())

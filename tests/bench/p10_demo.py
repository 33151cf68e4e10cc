"""P10: the demo from a clean checkout, as README says, with ``--headless``.

What git would check out is copied to a new directory, together with what is not committed yet;
README's first command runs there: a new virtual environment, the installation without pip's
cache, and the demo played through. It needs a package index. Bar: 60 s.
"""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench.hives import ROOT
from tests.bench.measure import Figure, Scale

LIMIT_SECONDS = 600


def figures(_scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="checkout-", dir=where) as made:
        checkout = Path(made)
        _check_out(checkout)
        whole = _timed(f"{_command(checkout / 'README.md')} --headless", checkout)
        again = _timed(".venv/bin/hyperhive demo --headless", checkout)
    return [
        Figure("P10", "clean checkout to the demo's end, pip included", whole, "s", at_most=60),
        Figure("P10", "the demo alone, already installed", again, "s"),
    ]


def _check_out(target: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def _command(readme: Path) -> str:
    return readme.read_text().split("```sh\n")[1].split("```")[0].strip()


def _timed(command: str, directory: Path) -> float:
    begun = time.perf_counter()
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=directory,
        env={**os.environ, "PIP_NO_CACHE_DIR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr[-2000:]}")
    return time.perf_counter() - begun

"""There is one server to a state directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hyperhive.domain.errors import ConflictError
from hyperhive.store.store import locked, restore_offline

OTHER = """
import sys
from pathlib import Path
from hyperhive.store.store import locked
locked(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_second_server_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with first:
        assert first.stdout is not None
        assert first.stdout.readline() == "locked\n"
        with pytest.raises(ConflictError, match="Another server already runs the hive"):
            locked(tmp_path)
        first.kill()

    os.close(locked(tmp_path))


def test_a_hive_that_runs_is_not_restored_offline(tmp_path: Path) -> None:
    lock = locked(tmp_path)
    try:
        with pytest.raises(ConflictError, match="admin socket"):
            restore_offline(tmp_path, tmp_path / "any.db")
    finally:
        os.close(lock)


def test_the_lock_is_not_inherited_by_what_the_server_starts(tmp_path: Path) -> None:
    lock = locked(tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    )
    with child:
        os.close(lock)
        os.close(locked(tmp_path))
        child.kill()

"""A server that is killed at any line of a lock's trial leaves a whole lock, and the way back."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.inputs_killed import CASES, NEW

pytestmark = pytest.mark.anyio


async def test_whenever_a_trial_is_killed_a_whole_lock_is_there_and_the_old_one_comes_back(
    tmp_path: Path,
) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tests.faults.inputs_killed", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        timeout=120.0,
        check=True,
    )
    told: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    for number, (deed, old) in enumerate(CASES):
        of_case = [each for each in told if each["case"] == number]
        *killed, whole = of_case
        assert [each["dead"] for each in of_case] == [True] * len(killed) + [False]
        assert {each["left"] for each in of_case} == ({NEW} if deed == "keep" else {old, NEW}), deed
        kept = {NEW} if deed == "keep" else set()
        assert {each["then"] for each in of_case} == {old} | kept, deed
        assert whole["then"] == (NEW if deed == "keep" else old)
        assert all(each["files"] == ["flake", "flake.lock", "flake.nix"] for each in of_case)

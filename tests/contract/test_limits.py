"""What holds a box to what it was granted, on this machine and on others."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hyperhive.domain.confinement import Limits
from hyperhive.runtimes import limits
from hyperhive.runtimes.records import BoxRecord
from hyperhive.runtimes.users import User

from tests.walls import PATIENCE_SECONDS, Boxes, some_boxes

pytestmark = pytest.mark.anyio


@pytest.fixture
async def boxes() -> AsyncIterator[Boxes]:
    async with some_boxes() as boxes:
        yield boxes


def a_user(*, dropped_to: bool = False) -> User:
    return User("someone", 1234, 1234, "someone", dropped_to)


async def test_a_box_has_no_more_tasks_than_it_may(boxes: Boxes) -> None:
    script = """
import json, subprocess
started = []
try:
    for _ in range(40):
        started.append(subprocess.Popen(["sleep", "60"]))
except OSError as error:
    print(json.dumps([len(started), error.strerror]))
"""
    told = await boxes.tells("alice", script, limits=Limits(tasks=10))
    assert told == [9, "Resource temporarily unavailable"]


async def test_a_box_over_its_memory_is_ended_and_says_so(boxes: Boxes) -> None:
    script = "import time; held = bytearray(b'x') * (96 << 20); time.sleep(600)"
    most = Limits(memory_bytes=64 << 20)
    await boxes.runtime.start(boxes.spec("alice", *boxes.python(script), limits=most))
    ended = await boxes.failed("alice")
    assert "its limit is 64 MiB" in ended.ending
    assert "its limit is 64 MiB" in "".join(await boxes.runtime.logs("alice", 2))


async def test_a_box_within_its_memory_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WATCH_SECONDS", 0.0)
    used = limits.memory_in_use([os.getpid()])[os.getpid()]
    record = BoxRecord("alice", "i1", "d1", 1.0, "boot", os.getpid(), memory_bytes=2 * used)
    looks = [[record], [replace(record, memory_bytes=used // 2)]]
    ended = []

    async def end(record: BoxRecord, reason: str) -> None:
        ended.append(len(looks))

    async def in_thread(job: Callable[..., Any], *arguments: object) -> Any:
        return job(*arguments)

    guard = limits.MemoryGuard(lambda: looks.pop(0) if looks else [], end, in_thread)
    guard.ensure_running()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not ended:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0)
    guard.close()
    assert ended == [0]


def a_machine_with_systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, granted: str) -> None:
    """Put a systemd-run into the path that says which limit it gave."""
    program = tmp_path / "systemd-run"
    program.write_text(f"#!/bin/sh\necho {granted}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_systemd_holds_the_limits_where_it_gives_what_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    a_machine_with_systemd(monkeypatch, tmp_path, str(192 * 1024 * 1024))
    assert limits.best_holder(a_user()).kind == "systemd"


def test_systemd_that_accepts_a_limit_and_does_not_set_it_is_not_relied_upon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    a_machine_with_systemd(monkeypatch, tmp_path, "max")
    assert limits.best_holder(a_user()).kind == "watcher"


def test_a_scope_gets_each_declared_limit_and_drops_to_the_user_of_the_boxes() -> None:
    asked = limits.SystemdHolder().prefix(Limits(1 << 30, 1.5, 20), a_user(dropped_to=True))
    assert {"--uid=1234", "--gid=1234", "--property=MemoryMax=1073741824"} < set(asked)
    assert {"--property=CPUQuota=150%", "--property=TasksMax=21"} < set(asked)


def test_a_box_without_limits_needs_no_scope() -> None:
    assert limits.SystemdHolder().prefix(Limits(), a_user()) == []

"""``python -m tests.faults.reminders_on_disk DIRECTORY full|read-only``: deliver to such a disk.

In a mount namespace of its own, where the state of alice becomes a file system that is full, or
that nobody can write to. Prints what she was given, what was noted of it and what lies there.
"""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from tests.builders import ManualClock, a_desk, an_actor

TEXT = "the text " + "x" * 4000


def mount(state: Path, kind: str) -> None:
    """Put a file system of 64 KiB into the place of a directory."""
    options = "size=64k,ro" if kind == "read-only" else "size=64k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", state], check=True)
    if kind == "full":
        (state / "ballast").write_bytes(b"\0" * 64 * 1024)


async def main(directory: Path, kind: str) -> None:
    """Deliver one reminder whose text is to go into a file."""
    state = directory / "agents" / "alice" / "state"
    state.mkdir(parents=True)
    mount(state, kind)
    clock = ManualClock()
    async with a_desk(directory, clock=clock) as desk:
        asked = await desk.reminders.remind(
            an_actor("alice"), TEXT, delay_seconds=60.0, file_path="notes/x.md"
        )
        clock.advance(60)
        await desk.deliveries.deliver_due()
        told = {
            "bodies": [message["body"] for message in await desk.recv("alice", count=9)],
            "shown": await desk.reminders.show(asked["id"]),
            "files": [str(path.relative_to(state)) for path in state.rglob("*") if path.is_file()],
        }
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))

"""``python -m tests.faults.inputs_killed DIRECTORY``: die at each line of a lock's trial.

For each of `CASES`, a child of this process does the deed and kills itself at its n-th line of
`hyperhive.nix.flakes`, for every n until it comes to its end. What `put_back` makes of what each
left, and which files are there after another trial, is written as one line of JSON.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from hyperhive.nix import flakes
from hyperhive.nix.flakes import FLAKE, LOCK, FlakeInputs

NEW: Final = "new " * 1000
OLD: Final = "old " * 1000
DEEDS: Final[dict[str, Callable[[FlakeInputs], Awaitable[object]]]] = {
    "try_out": lambda inputs: inputs.try_out(NEW),
    "keep": lambda inputs: inputs.keep(),
    "put_back": lambda inputs: inputs.put_back(),
}
CASES: Final = tuple((deed, old) for deed in DEEDS for old in ("", OLD))


def die_at(nth: int) -> None:
    """Have this process kill itself before it runs its n-th line of the flakes' module."""
    left = nth

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename != flakes.__file__:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    threading.settrace(trace)
    sys.settrace(trace)


async def run(deed: str, inputs: FlakeInputs) -> None:
    """Do one deed; a coroutine of its own, so that what it calls is traced from its begin."""
    await DEEDS[deed](inputs)


def is_killed(deed: str, inputs: FlakeInputs, nth: int) -> bool:
    """Do a deed in a child that dies at its n-th line; whether it came to die."""
    child = os.fork()
    if child == 0:
        die_at(nth)
        asyncio.run(run(deed, inputs))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0


def main(directory: Path) -> None:
    """Tell what is left of every death."""
    for number, (deed, old) in enumerate(CASES):
        nth, is_dead = 0, True
        while is_dead:
            nth += 1
            flake = directory / f"{number}-{nth}" / "flake"
            flake.mkdir(parents=True)
            (flake / FLAKE).write_text("{ }")
            if old:
                (flake / LOCK).write_text(old)
            inputs = FlakeInputs(flake)
            if deed != "try_out":
                asyncio.run(run("try_out", inputs))
            is_dead = is_killed(deed, inputs, nth)
            left = (flake / LOCK).read_text() if (flake / LOCK).exists() else ""
            asyncio.run(run("put_back", inputs))
            then = asyncio.run(inputs.lock())
            for after in ("try_out", "keep"):
                asyncio.run(run(after, inputs))
            files = sorted(path.name for path in flake.parent.rglob("*"))
            told = {"case": number, "dead": is_dead, "left": left, "then": then, "files": files}
            print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

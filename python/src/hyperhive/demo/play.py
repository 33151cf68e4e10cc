"""Runs the demo: a directory, a hive in it, the story, and nothing left behind.

With ``headless`` the story is played once, each step checked and timed, and the exit status says
whether it went right. Otherwise the hive stays up after it until Ctrl-C.
"""

import asyncio
import contextlib
import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

from hyperhive import config
from hyperhive.bootstrap import Running, running
from hyperhive.config import Hive
from hyperhive.demo.story import Step, Story, StoryError

SCRIPTS: Final = ("queen.toml", "alice.toml", "bob.toml")
LOG: Final = "demo.log"
AUDIENCE_SECONDS: Final = 15.0
"""How long the story waits for somebody to watch it."""


def main(headless: bool, directory: Path | None, port: int | None) -> int:  # noqa: FBT001 - called by the command line
    """Play the demo and return the exit status: 0, or 1 when a step failed.

    ``directory`` is kept afterwards; without it a temporary one is used and removed. ``port`` is
    the page's, a free one if ``None``.
    """
    with _place(directory) as place:
        write_hive(place)
        hive = config.load(place / "hive.toml")
        if port is not None:
            where = hive.operator.model_copy(update={"port": port})
            hive = hive.model_copy(update={"operator": where})
        with _log_to(place / LOG):
            return asyncio.run(_run(hive, place, headless=headless))


def write_hive(place: Path) -> None:
    """Put the declaration and the scripts of the demo into a directory, unless they are there."""
    source = files("hyperhive.demo") / "scripts"
    (place / "scripts").mkdir(parents=True, exist_ok=True)
    wanted = {"hive.toml": place / "hive.toml"}
    wanted |= {name: place / "scripts" / name for name in SCRIPTS}
    for name, path in wanted.items():
        if not path.exists():
            path.write_text((source / name).read_text(encoding="utf-8"), encoding="utf-8")


async def _run(hive: Hive, place: Path, *, headless: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running(hive, with_agents=True) as run:
        await _greet(run, place, headless=headless)
        story = Story(run, _tell)
        playing = asyncio.create_task(_play(run, story, headless=headless))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({playing, stopped}, return_when=asyncio.FIRST_COMPLETED)
        failure = _failure_of(playing)
        if not playing.done():
            playing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await playing
        if headless:
            _show_table(story.steps)
        if failure is not None:
            _say(f"\nThe story failed: {failure}.\nThe log is {place / LOG}.")
            _say(_last_lines(place / LOG))
        if not headless and not stop.is_set():
            _say("\nThe story is over; the hive stays up. Write to queen on the page for another")
            _say("round. Ctrl-C ends it.")
            await stop.wait()
        stopped.cancel()
        if stop.is_set():
            _say("\nStopping.")
    if headless:
        return 0 if failure is None and playing.done() and not playing.cancelled() else 1
    return 0 if failure is None else 1


async def _play(run: Running, story: Story, *, headless: bool) -> None:
    """Play the story, for a person once they look at it."""
    if not headless:
        _say(f"The story begins when the page is open, or in {AUDIENCE_SECONDS:g} seconds.\n")
        await _audience(run)
    await story.play()


async def _audience(run: Running) -> None:
    with contextlib.suppress(TimeoutError), run.store.bus.watch() as watch:
        async with asyncio.timeout(AUDIENCE_SECONDS):
            while not run.feed.readers:
                await watch.wait()


def _failure_of(playing: "asyncio.Task[None]") -> BaseException | None:
    if not playing.done() or playing.cancelled():
        return None
    error = playing.exception()
    if error is not None and not isinstance(error, StoryError):
        raise error
    return error


async def _greet(run: Running, place: Path, *, headless: bool) -> None:
    _say(f"A hive in {place}: queen (manager), alice and bob, each a process with its own socket.")
    _say("They run as this user, without isolation, and play scripts: no model is asked.\n")
    if not headless:
        _say(f"  watch it       {await run.vault.login_link()}")
        _say(f"  command line   export HYPERHIVE_ADMIN_SOCKET={run.listeners.admin_socket}")
        _say("                 hyperhive status\n")


def _tell(text: str) -> None:
    _say(f"  · {text}")


def _show_table(steps: list[Step]) -> None:
    _say(f"\n  {'seconds':>8}  step")
    for step in steps:
        _say(f"  {step.seconds:>8.2f}  {step.text}")
    _say(f"  {sum(step.seconds for step in steps):>8.2f}  in all")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _last_lines(path: Path, count: int = 20) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(path.read_text(encoding="utf-8").splitlines()[-count:])
    return ""


@contextmanager
def _place(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield directory.resolve()
        return
    place = Path(tempfile.mkdtemp(prefix="hyperhive-"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Keep the server's log in a file, off the story's screen."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
        root.setLevel(before)

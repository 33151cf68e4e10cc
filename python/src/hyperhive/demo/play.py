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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hyperhive.bootstrap import Running, forge_of, running
from hyperhive.config import Forge, ForgeKind, Hive, RuntimeKind
from hyperhive.demo.boxes import Choice, Wanted, choose
from hyperhive.demo.casts import (
    CASTS,
    MODEL,
    Cast,
    Driver,
    load_hive,
    programs,
    write_hive,
    write_scripts,
)
from hyperhive.demo.deciding import DecidingStory
from hyperhive.demo.model.script import load_script
from hyperhive.demo.model.server import ScriptedModel, scripted_model
from hyperhive.demo.story import Step, Story, StoryError
from hyperhive.forge.embedded import git

LOG: Final = "demo.log"
TEMPORARY: Final = "tmp"
WALLS: Final[Mapping[RuntimeKind, str]] = {
    RuntimeKind.PROCESS: "as this user, without isolation",
    RuntimeKind.BUBBLEWRAP: "each in a box of its own",
}
AUDIENCE_SECONDS: Final = 15.0
"""How long the story waits for somebody to watch it."""


def main(
    headless: bool,  # noqa: FBT001 - called by the command line
    directory: Path | None,
    port: int | None,
    *,
    runtime: str = Wanted.AUTO,
    driver: str = Driver.SCRIPTED,
) -> int:
    """Play the demo and return the exit status: 0, or 1 when a step failed.

    ``directory`` is kept afterwards; without it a temporary one is used and removed. ``port`` is
    the page's, a free one if ``None``. Raises `UnavailableError` where what ``runtime`` or
    ``driver`` asks for is not there.
    """
    cast, needed = Driver(driver), programs(Driver(driver))
    with _place(directory) as place:
        write_scripts(place, cast)
        choice = choose(Wanted(runtime), place, needed)
        write_hive(place, cast, choice.kind)
        with _log_to(place / LOG):
            return asyncio.run(_main(place, cast, choice, port, headless=headless))


async def _main(
    place: Path, driver: Driver, choice: Choice, port: int | None, *, headless: bool
) -> int:
    """Start the model, if one is needed, and the hive."""
    async with contextlib.AsyncExitStack() as stack:
        model: ScriptedModel | None = None
        variables: dict[str, str] = {}
        if driver is Driver.CLAUDE:
            rules = load_script(place / "scripts" / MODEL)
            model = await stack.enter_async_context(scripted_model(rules))
            variables["ANTHROPIC_BASE_URL"] = model.url
            # Claude Code leaves a directory there; a box has a place of its own anyway.
            variables["TMPDIR"] = str(place / TEMPORARY)
            (place / TEMPORARY).mkdir(mode=0o700, exist_ok=True)
        hive = load_hive(place, driver, choice.kind, variables)
        if port is not None:
            where = hive.operator.model_copy(update={"port": port})
            hive = hive.model_copy(update={"operator": where})
        if (fault := git.fault()) and hive.forge.kind is not ForgeKind.NONE:
            hive = hive.model_copy(update={"forge": Forge()})
            _say(f"The part with the forge is left out: {fault}")
        _say(f"A hive in {place}: queen (manager), alice and bob, each with its own socket.")
        _say(f"They run in {choice.kind.value}: {WALLS[choice.kind]}. Why: {choice.reason}.")
        _say(f"{CASTS[driver].told}\n")
        status = await _run(hive, place, CASTS[driver], headless=headless)
        if model is not None:
            _say(f"\nThe scripted model was asked {len(model.requests)} times.")
        return status


async def _run(hive: Hive, place: Path, cast: Cast, *, headless: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running(hive, with_agents=True, forge=forge_of(hive)) as run:
        if not headless:
            await _greet(run)
        story = _story(run, cast, headless=headless)
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


def _story(run: Running, cast: Cast, *, headless: bool) -> Story:
    steps, returns = cast.step_seconds, cast.return_seconds
    return DecidingStory(run, _tell, step_seconds=steps, return_seconds=returns, clicks=headless)


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


async def _greet(run: Running) -> None:
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
    place = Path(tempfile.mkdtemp(prefix="hyperhive-")).resolve()
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

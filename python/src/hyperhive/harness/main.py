"""``hyperhive agent``: run the harness of the box this process is in."""

import asyncio
import logging
import os
import signal
import sys

from hyperhive.harness.box import Box, NoBoxError
from hyperhive.harness.drivers.strays import end_strays, remove_left_files
from hyperhive.harness.loop import Harness
from hyperhive.harness.probing import Probing
from hyperhive.harness.watchdog import Watchdog

_log = logging.getLogger(__name__)


def main() -> int:
    """Run until SIGTERM, SIGINT or the hive's order to stop; return the exit status.

    0 after a stop, however it came; 2 when the environment names no agent's socket.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    watchdog = Watchdog.from_environment()
    try:
        box = Box.from_environment(os.environ)
    except NoBoxError as error:
        sys.stderr.write(f"hyperhive agent: {error}\n")
        return 2
    ended = end_strays(box.socket)
    if ended:
        _log.warning("Ended %d processes that the harness before this one left behind.", ended)
    # Only now: strays would be told of as strangers.
    probing = Probing(box.environment)
    remove_left_files(box.environment)
    asyncio.run(_run(box, watchdog, probing))
    return 0


async def _run(box: Box, watchdog: Watchdog, probing: Probing) -> None:
    harness = Harness(box, watchdog, probing)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(
            number, lambda: harness.stop("The harness was told to end.", hurry=True)
        )
    await harness.run()

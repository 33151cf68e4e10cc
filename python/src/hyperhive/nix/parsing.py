"""Reading Nix expressions without evaluating them; see `hyperhive.domain.ports.NixReader`."""

import asyncio
import shutil
from typing import Final

from hyperhive.domain.configuration import readable
from hyperhive.programs import Bounds, run

AT_ONCE: Final = 2
"""How many expressions are read at the same time; whoever proposes more waits."""

_PARSER: Final = "nix-instantiate"
_BOUNDS: Final = Bounds(seconds=10.0, output=1024 * 1024, memory=1024 * 1024 * 1024, file=0)
_ENVIRONMENT: Final = {
    "LC_ALL": "C.UTF-8",
    "HOME": "/nonexistent",
    "NIX_CONF_DIR": "/nonexistent",
    "NIX_USER_CONF_FILES": "",
    "NIX_PATH": "",
    "NO_COLOR": "1",
}
_SAID_CHARS: Final = 500


class NixParser:
    """Asks the Nix of this machine; where there is none, nothing is known."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def fault(self, text: str) -> str | None:
        """Say what keeps a text from being an expression; see `NixReader.fault`."""
        if shutil.which(_PARSER) is None:
            return None
        # No store is opened: an expression that is only parsed needs none.
        command = (_PARSER, "--store", "dummy://", "--parse", "-")
        async with self._turn:
            ended = await run(
                command,
                "parsing it",
                environment=_ENVIRONMENT,
                stdin=text.encode(),
                bounds=_BOUNDS,
            )
        return None if ended.status == 0 else said(ended.said, ended.status)


def said(text: bytes, status: int) -> str:
    """Give in one line what Nix said of an error, without the excerpt that it shows."""
    lines = [" ".join(line.split()) for line in text.decode(errors="replace").splitlines()]
    told = [line for line in lines if line and not line.startswith("warning:")]
    words = " ".join(told[:2]).partition(" (use '--show-trace'")[0]
    words = words.removeprefix("error: ").removesuffix(":")
    words = words.replace("«stdin»:", "")
    return readable(words[:_SAID_CHARS]) or f"it ended with status {status}"

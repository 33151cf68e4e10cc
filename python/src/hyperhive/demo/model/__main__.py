"""``python -m hyperhive.demo.model SCRIPT``: answer by a script until interrupted."""

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

from hyperhive.demo.model.script import ModelScriptError, load_script
from hyperhive.demo.model.server import Request, scripted_model


def main() -> int:
    """Serve, and write the address to standard output."""
    parser = argparse.ArgumentParser(prog="python -m hyperhive.demo.model", description=__doc__)
    parser.add_argument("script", type=Path, help="the rules, a TOML file")
    parser.add_argument("--port", type=int, default=0, help="on the loopback; a free one if unset")
    parser.add_argument("--socket", type=Path, help="a Unix socket instead of a port")
    options = parser.parse_args()
    try:
        rules = load_script(options.script)
    except ModelScriptError as error:
        sys.stderr.write(f"{error}\n")
        return 2

    async def serve() -> None:
        async with scripted_model(rules, port=options.port, socket=options.socket) as model:
            sys.stdout.write(f"{model.url}\n")
            sys.stdout.flush()
            model.tell = _show
            await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())
    return 0


def _show(request: Request) -> None:
    sys.stdout.write(f"{request.rule} answers {request.conversation.model}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())

"""``python -m tests.bench.echoing SOCKET``: the least that wakes one connection from another.

``wait N`` makes a connection wait for event N, again and again; ``ring N`` sets it. Each wake-up
is a line back to who waits.
"""

import asyncio
import sys
from collections import defaultdict

_rung: defaultdict[bytes, asyncio.Event] = defaultdict(asyncio.Event)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        verb, number = line.split()
        if verb == b"ring":
            _rung[number].set()
            continue
        writer.write(b"waiting\n")
        while not reader.at_eof():
            await _rung[number].wait()
            _rung[number].clear()
            writer.write(b"rung\n")
    writer.close()


async def _main(path: str) -> None:
    server = await asyncio.start_unix_server(_serve, path)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))

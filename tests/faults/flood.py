"""What a hostile agent's program does: holds as many connections to its socket as it was told to.

A third say nothing, a third begin a request and never end it, a third send no HTTP at all. What
the server closes is opened again at once. It ends when there is a file ``enough``.
"""

import contextlib
import os
import selectors
import socket
import sys
import time
from pathlib import Path

BEGINNINGS = (
    b"",
    b"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    b"\x00\xff\n\n" * 9,
)
PAUSE_SECONDS = 0.005


def main(wanted: int) -> None:
    """Flood until there is enough."""
    path = os.environ["HYPERHIVE_SOCKET"]
    selector = selectors.DefaultSelector()
    opened = 0
    while not Path("enough").exists():
        if len(selector.get_map()) < wanted:
            with contextlib.suppress(OSError):
                connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                connection.connect(path)
                connection.sendall(BEGINNINGS[opened % 3])
                connection.setblocking(False)
                selector.register(connection, selectors.EVENT_READ, connection)
                opened += 1
        for key, _ in selector.select(0):
            try:
                hung_up = not key.data.recv(65536)
            except ConnectionError:
                hung_up = True
            if hung_up:
                selector.unregister(key.data)
                key.data.close()
        if opened == wanted:
            Path("flooding").write_text(f"{opened}\n")
        if opened >= wanted:
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(int(sys.argv[1]))

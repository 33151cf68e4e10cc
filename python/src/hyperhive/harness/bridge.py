"""``hyperhive mcp``: MCP on standard input and output, carried to the agent's socket.

One JSON-RPC message a line comes in and becomes one POST; its answer goes out as one line.
Nothing is left unanswered: a line that is no JSON-RPC, a refusal of the server, an answer that
is no JSON and a server that stays away each become a JSON-RPC error that says why. Requests run
side by side, so a waiting ``recv`` holds up nobody. A restart of the server goes unnoticed (see
``bridge_call``). The client's ``notifications/cancelled`` and its going away close the
connections concerned, so that the server stops waiting in its name.

It is started once a turn and must answer in a tenth of a second: no asyncio, no dataclasses.
"""

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from typing import IO, Any, Final

from hyperhive.harness.bridge_call import SERVER_ERROR, Call, CallFailedError, confirm_delivery

LINE_BYTES_MAX: Final = 1024 * 1024
_ID_BYTES_MAX: Final = 8 * LINE_BYTES_MAX
"""A line over the limit is read up to here, only to learn which request it was."""
WORKERS_MAX: Final = 32
WAITING_MAX: Final = 256
CONFIRM_AT_END_SECONDS: Final = 2.0

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600


class Bridge:
    """The connection of one MCP client to one agent's socket."""

    def __init__(self, socket: str, turn: str | None, output: int = 1) -> None:
        self._socket = socket
        self._turn = turn
        self._output = output
        self._output_lock = threading.Lock()
        self._version: str | None = None
        self._calls: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._state = threading.Condition()
        self._open: dict[object, Call] = {}
        self._workers = 0
        self._spare = 0
        """Workers without a call, less the calls without a worker."""
        self._confirming = 0

    def serve(self, lines: IO[bytes]) -> None:
        """Carry every line until the client closes its end; then let go of what is open.

        A delivery that the client has seen is still confirmed, for up to 2 seconds.
        """
        while line := lines.readline(LINE_BYTES_MAX + 1):
            if len(line) > LINE_BYTES_MAX and not line.endswith(b"\n"):
                self._refuse_oversized(line, lines)
            elif line.strip():
                self._take(line)
        with self._state:
            for call in self._open.values():
                call.cancel()
            self._state.wait_for(lambda: not self._confirming, CONFIRM_AT_END_SECONDS)

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            self._fail(None, PARSE_ERROR, f"The line is not JSON: {error}.")
            return
        if isinstance(message, list):
            text = "Batches are not supported; send one message a line."
            self._fail(None, INVALID_REQUEST, text)
        elif not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            self._fail(_id_of(message), INVALID_REQUEST, "The line is no JSON-RPC 2.0 message.")
        elif not isinstance(message.get("method", ""), str):
            self._fail(_id_of(message), INVALID_REQUEST, "The method of a message is a text.")
        elif message.get("method") == "notifications/cancelled":
            self._cancel(message.get("params"))
        elif "id" in message and _id_of(message) is None:
            text = "The id of a request is a text or an integer."
            self._fail(None, INVALID_REQUEST, text)
        else:
            self._enqueue(Call(self._socket, line, message, self._version, self._turn))

    def _enqueue(self, call: Call) -> None:
        with self._state:
            if self._calls.qsize() >= WAITING_MAX:
                full = True
            else:
                full = False
                if call.id is not None:
                    self._open[call.id] = call
                self._calls.put(call)
                self._spare -= 1
                if self._spare < 0 and self._workers < WORKERS_MAX:
                    self._workers += 1
                    self._spare += 1
                    threading.Thread(target=self._work, daemon=True).start()
        if full and call.id is not None:
            text = f"{WAITING_MAX} requests are waiting already. Wait for their answers first."
            self._fail(call.id, SERVER_ERROR, text)

    def _cancel(self, params: object) -> None:
        if isinstance(params, Mapping):
            with self._state:
                call = self._open.get(_id_of({"id": params.get("requestId")}))
            if call is not None:
                call.cancel()

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            try:
                self._carry(call)
            except Exception as error:  # noqa: BLE001 -- a request must never stay unanswered
                if call.id is not None:
                    text = f"The bridge failed: {type(error).__name__}: {error}."
                    self._fail(call.id, SERVER_ERROR, text)
            finally:
                with self._state:
                    self._spare += 1
                    if self._open.get(call.id) is call:
                        del self._open[call.id]

    def _carry(self, call: Call) -> None:
        try:
            answer = call.carry()
        except CallFailedError as failure:
            if call.id is None:
                sys.stderr.write(f"hyperhive mcp: {call.method}: {failure}\n")
            elif not call.is_cancelled:
                self._fail(call.id, failure.code, str(failure), failure.data)
            return
        if call.id is None or answer is None or call.is_cancelled:
            return
        if call.method == "initialize" and isinstance(result := answer.message.get("result"), dict):
            self._version = str(result.get("protocolVersion") or "") or None
        with self._state:
            self._confirming += 1
        try:
            self._write(answer.line)
            if answer.delivery is not None:
                confirm_delivery(self._socket, answer.delivery, self._turn)
        finally:
            with self._state:
                self._confirming -= 1
                self._state.notify_all()

    def _refuse_oversized(self, line: bytes, lines: IO[bytes]) -> None:
        while not line.endswith(b"\n") and (more := lines.readline(LINE_BYTES_MAX)):
            # Past what could be parsed, only the end of the line is of interest.
            line = line + more if len(line) <= _ID_BYTES_MAX else line[:_ID_BYTES_MAX] + more[-1:]
        try:
            request = _id_of(json.loads(line))
        except (ValueError, RecursionError):
            request = None
        text = f"The line is over {LINE_BYTES_MAX} bytes. Put the text in a file and send its path."
        self._fail(request, INVALID_REQUEST, text)

    def _fail(self, request: object, code: int, message: str, data: object = None) -> None:
        error: dict[str, Any] = {"code": code, "message": message}
        if data is not None:
            error["data"] = data
        answer = {"jsonrpc": "2.0", "id": request, "error": error}
        self._write(json.dumps(answer).encode())

    def _write(self, line: bytes) -> None:
        rest = memoryview(line + b"\n")
        with self._output_lock:
            try:
                while rest:
                    rest = rest[os.write(self._output, rest) :]
            except OSError:
                # The client has closed its end: nobody is left to serve.
                os._exit(0)


def _id_of(message: object) -> str | int | None:
    request = message.get("id") if isinstance(message, Mapping) else None
    return request if isinstance(request, str | int) and not isinstance(request, bool) else None


def main() -> int:
    """Serve standard input and output; return the exit status.

    0 when the client went; 2 when the environment names no agent's socket.
    """
    # A client that is interrupted decides itself whether to end; its going ends the bridge.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    socket = os.environ.get("HYPERHIVE_SOCKET")
    if not socket:
        sys.stderr.write(
            "hyperhive mcp: HYPERHIVE_SOCKET is not set, so there is no agent's socket to speak to."
            " The hive sets it in every box; run this there, or set it to the socket's path.\n"
        )
        return 2
    Bridge(socket, os.environ.get("HYPERHIVE_TURN") or None).serve(sys.stdin.buffer)
    return 0


if __name__ == "__main__":
    STATUS = main()
    sys.stderr.flush()
    # Workers may be in the middle of a read; an ordinary exit would wait for nothing but could
    # meet them in mid-print.
    os._exit(STATUS)

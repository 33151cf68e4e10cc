import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hyperhive.harness import bridge as bridge_module
from hyperhive.harness import bridge_call
from tests.harness.conftest import BRIDGE, BridgeClient
from tests.harness.fake_server import FakeServer, Problem, Raw, a_message
from tests.promises import promise


def call(bridge: BridgeClient, id: object, tool: str, **arguments: object) -> None:  # noqa: A002
    bridge.send("tools/call", id, name=tool, arguments=arguments)


def slowly(hive: FakeServer) -> Callable[[object], dict[str, object]]:
    """Make a tool that answers when there is something in the inbox."""

    def answer(arguments: object) -> dict[str, object]:
        hive.wait_until(lambda: hive.inbox)
        return {}

    return answer


def test_a_request_is_answered_with_its_own_id(hive: FakeServer, bridge: BridgeClient) -> None:
    call(bridge, "a-1", "echo", word="yes")
    answer = bridge.answer()
    assert answer["id"] == "a-1"
    assert answer["result"]["structuredContent"] == {"word": "yes"}


def test_a_request_carries_the_turn_and_a_number_of_its_own(
    hive: FakeServer, bridge: BridgeClient
) -> None:
    for number in (1, 2):
        call(bridge, number, "echo")
        bridge.answer()
    (first, _), (second, _) = hive.requests
    assert first["hyperhive-turn"] == "42"
    assert len(first["hyperhive-request"]) == 32
    assert first["hyperhive-request"] != second["hyperhive-request"]
    assert first["accept"] == "application/json, text/event-stream"


def test_the_negotiated_protocol_version_is_sent_from_then_on(
    hive: FakeServer, bridge: BridgeClient
) -> None:
    bridge.send("initialize", 1, protocolVersion="2025-06-18")
    bridge.answer()
    call(bridge, 2, "echo")
    bridge.answer()
    (hello, _), (later, _) = hive.requests
    assert "mcp-protocol-version" not in hello
    assert later["mcp-protocol-version"] == "2025-06-18"


def test_a_request_that_names_its_version_is_sent_under_it_with_method_and_name(
    hive: FakeServer, bridge: BridgeClient
) -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    bridge.send("tools/call", 1, name="echo", arguments={}, _meta=meta)
    bridge.answer()
    headers, _ = hive.requests[0]
    assert headers["mcp-protocol-version"] == "2026-07-28"
    assert headers["mcp-method"] == "tools/call"
    assert headers["mcp-name"] == "echo"


def test_a_waiting_request_does_not_hold_up_another(hive: FakeServer, bridge: BridgeClient) -> None:
    call(bridge, 1, "recv", wait_seconds=5)
    call(bridge, 2, "echo")
    assert bridge.answer()["id"] == 2


def test_no_number_of_waiting_requests_below_the_limit_holds_up_another(
    hive: FakeServer, bridge: BridgeClient
) -> None:
    """Each arrives while the worker of the one before has only begun to take it."""
    waiting = bridge_module.WORKERS_MAX - 1
    for number in range(waiting):
        call(bridge, number, "recv", wait_seconds=30)
    call(bridge, "other", "echo")
    assert bridge.answer()["id"] == "other"


@promise("T3")
def test_forty_requests_at_once_are_all_answered(hive: FakeServer, bridge: BridgeClient) -> None:
    for number in range(40):
        call(bridge, number, "echo", n=number)
    answers = [bridge.answer() for _ in range(40)]
    assert {answer["id"]: answer["result"]["structuredContent"]["n"] for answer in answers} == {
        number: number for number in range(40)
    }


def test_a_delivery_is_confirmed_after_the_client_has_it(
    hive: FakeServer, bridge: BridgeClient
) -> None:
    hive.inbox.append(a_message())
    call(bridge, 1, "recv")
    assert bridge.answer()["result"]["structuredContent"]["messages"][0]["id"] == 7
    hive.wait_until(lambda: hive.confirmed)
    assert hive.confirmed[0][1] == "42"


def test_a_delivery_is_confirmed_even_if_the_client_goes_at_once(
    hive: FakeServer, bridge: BridgeClient
) -> None:
    hive.inbox.append(a_message())
    call(bridge, 1, "recv")
    bridge.answer()
    bridge.close()
    assert len(hive.confirmed) == 1


def test_a_confirmation_is_repeated_until_the_server_takes_it(
    hive: FakeServer, bridge: BridgeClient
) -> None:
    refusals = [Problem(503, "unavailable"), Problem(503, "unavailable")]
    hive.refuse = lambda path: refusals.pop() if "confirm" in path and refusals else None
    hive.inbox.append(a_message())
    call(bridge, 1, "recv")
    bridge.answer()
    hive.wait_until(lambda: hive.confirmed)


@promise("T4")
def test_a_restart_of_the_server_goes_unnoticed(hive: FakeServer, bridge: BridgeClient) -> None:
    call(bridge, 1, "recv", wait_seconds=30)
    hive.wait_until(lambda: hive.requests)
    hive.stop()
    call(bridge, 2, "echo")
    hive.start()
    hive.inbox.append(a_message())
    answers = [bridge.answer(), bridge.answer()]
    assert {answer["id"] for answer in answers} == {1, 2}
    assert all("result" in answer for answer in answers)


def test_a_repeated_request_keeps_its_number(hive: FakeServer, bridge: BridgeClient) -> None:
    call(bridge, 1, "recv", wait_seconds=30)
    hive.wait_until(lambda: hive.requests)
    hive.stop()
    hive.start()
    hive.inbox.append(a_message())
    bridge.answer()
    assert len({headers["hyperhive-request"] for headers, _ in hive.requests}) == 1
    assert len(hive.requests) == 2


def test_a_server_that_stays_away_becomes_an_error(
    box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge_call, "RETRY_SECONDS", 0.1)
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    request = bridge_call.Call(str(box / "nothing"), b"{}", message, None, None)
    with pytest.raises(bridge_call.CallFailedError, match="could not be reached"):
        request.carry()


def test_a_request_is_repeated_while_the_server_is_unavailable(
    hive: FakeServer, bridge: BridgeClient
) -> None:
    refusals = [Problem(503, "unavailable")] * 3
    hive.refuse = lambda path: refusals.pop() if refusals else None
    call(bridge, 1, "echo", word="yes")
    assert bridge.answer()["result"]["structuredContent"] == {"word": "yes"}


@promise("T3")
def test_a_refusal_of_the_server_is_an_error_with_its_reason(
    hive: FakeServer, bridge: BridgeClient
) -> None:
    hive.refuse = lambda path: Problem(403, "forbidden", "You may not.")
    call(bridge, 1, "echo")
    error = bridge.answer()["error"]
    assert error["message"] == "You may not. Do otherwise."
    assert error["data"] == {"status": 403, "code": "forbidden"}


def test_an_error_that_is_json_rpc_already_keeps_its_code(
    hive: FakeServer, bridge: BridgeClient
) -> None:
    body = (
        b'{"jsonrpc":"2.0","id":"server-error","error":{"code":-32022,"message":"Old","data":[1]}}'
    )

    def refuse(path: str) -> None:
        raise Raw(400, body)

    hive.refuse = refuse
    call(bridge, 9, "echo")
    answer = bridge.answer()
    assert answer["id"] == 9
    assert answer["error"] == {"code": -32022, "message": "Old", "data": [1]}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>Hello</html>", "text/html"),
        (b"Invalid Host header", "application/json"),
        (b"data: {}\n\n", "text/event-stream"),
        (b"[]", "application/json"),
        (b"", "application/json"),
    ],
)
@promise("T3")
def test_an_answer_that_is_no_json_rpc_is_an_error(
    hive: FakeServer, bridge: BridgeClient, body: bytes, kind: str
) -> None:
    def refuse(path: str) -> None:
        raise Raw(200, body, kind)

    hive.refuse = refuse
    call(bridge, 1, "echo")
    assert "no JSON-RPC" in bridge.answer()["error"]["message"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"not json\n", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}\n', -32700),
        (b"[" * 100_000 + b"\n", -32700),
        (b"[]\n", -32600),
        (b'{"id":1,"method":"x"}\n', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"x"}\n', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":5}\n', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":"' + b"x" * 2**20 + b'"}\n', -32600),
        (b"x" * (12 * 2**20) + b"\n", -32600),
    ],
)
def test_a_malformed_line_is_refused_and_the_next_one_served(
    hive: FakeServer, bridge: BridgeClient, line: bytes, code: int
) -> None:
    writer = threading.Thread(target=bridge.write, args=(line,))
    writer.start()
    assert bridge.answer()["error"]["code"] == code
    writer.join()
    call(bridge, 2, "echo")
    assert bridge.answer()["id"] == 2


def test_an_oversized_request_is_refused_under_its_id(
    hive: FakeServer, bridge: BridgeClient
) -> None:
    bridge.write(b'{"jsonrpc":"2.0","method":"x","params":["' + b"x" * 2**20 + b'"],"id":77}\n')
    assert bridge.answer()["id"] == 77


def test_a_cancelled_request_is_taken_back_and_not_answered(
    hive: FakeServer, bridge: BridgeClient
) -> None:
    hive.tools["slow"] = slowly(hive)
    call(bridge, 1, "slow")
    hive.wait_until(lambda: hive.requests)
    bridge.send("notifications/cancelled", requestId=1)
    call(bridge, 2, "echo")
    assert bridge.answer()["id"] == 2
    hive.inbox.append(a_message())
    hive.wait_until(lambda: hive.gone == 1)


def test_a_notification_is_carried_and_not_answered(hive: FakeServer, bridge: BridgeClient) -> None:
    bridge.send("notifications/initialized")
    hive.wait_until(lambda: hive.requests)
    call(bridge, 1, "echo")
    assert bridge.answer()["id"] == 1


def test_the_end_of_input_ends_the_bridge_and_what_it_waits_for(
    hive: FakeServer, bridge: BridgeClient
) -> None:
    hive.tools["slow"] = slowly(hive)
    call(bridge, 1, "slow")
    hive.wait_until(lambda: hive.requests)
    assert bridge.close() == 0
    hive.inbox.append(a_message())
    hive.wait_until(lambda: hive.gone == 1)


def test_an_interrupt_leaves_the_bridge_to_its_client(
    hive: FakeServer, bridge: BridgeClient
) -> None:
    call(bridge, 1, "echo")
    bridge.answer()
    bridge.process.send_signal(signal.SIGINT)
    call(bridge, 2, "echo")
    assert bridge.answer()["id"] == 2


def test_a_client_that_closed_its_end_ends_the_bridge(
    hive: FakeServer, bridge: BridgeClient
) -> None:
    assert bridge.process.stdout is not None
    bridge.process.stdout.close()
    call(bridge, 1, "echo")
    assert bridge.process.wait(5) == 0


def test_a_server_that_breaks_off_in_mid_answer_is_asked_again(
    box: Path, bridge: BridgeClient
) -> None:
    answer = b'{"jsonrpc":"2.0","id":1,"result":{}}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(box / "socket"))
        listener.listen()
        listener.settimeout(5)
        bridge.send("tools/list", 1)
        for part in (b"", head[:20], head % len(answer) + answer[:5], head % len(answer) + answer):
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.sendall(part)
            connection.close()
        assert bridge.answer()["result"] == {}


def test_without_a_socket_the_bridge_says_so(environment: dict[str, str]) -> None:
    del environment["HYPERHIVE_SOCKET"]
    done = subprocess.run(BRIDGE, env=environment, capture_output=True, timeout=5, check=False)
    assert done.returncode == 2
    assert b"HYPERHIVE_SOCKET is not set" in done.stderr

"""How the operator's API refuses: a problem document, a code and a way on, never a 500."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.promises import promise
from tests.surfaces.hives import Answer, Whole, Wire, a_whole_hive

pytestmark = pytest.mark.anyio

HUGE = "9" * 30
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Let one hive serve all the refusals of this file: none of them changes anything."""
    return "asyncio"


@pytest.fixture(scope="module")
async def hive(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    async with a_whole_hive(tmp_path_factory.mktemp("hive")) as whole:
        yield whole


def told(answer: Answer) -> dict[str, Any]:
    """Check that an answer is a whole problem document, and give it."""
    assert answer.kind == "application/problem+json", answer
    problem: dict[str, Any] = answer.json()
    assert problem.keys() == {"type", "title", "status", "detail", "code", "remedy"}
    assert problem["status"] == answer.status
    assert all(problem[key] for key in ("title", "detail", "code", "remedy")), problem
    return problem


REFUSED = [
    ("GET", "/nope", 404, "not_found"),
    ("GET", "/api/nope", 404, "not_found"),
    ("GET", "/api/messages/999", 404, "not_found"),
    ("GET", "/api/messages/x", 404, "not_found"),
    ("GET", "/api/messages/-1", 400, "invalid"),
    ("GET", f"/api/messages/{HUGE}", 400, "invalid"),
    ("GET", f"/api/messages/{'9' * 5000}", 404, "not_found"),
    ("GET", f"/api/messages?before={HUGE}", 400, "invalid"),
    ("GET", "/api/messages?before=-1", 400, "invalid"),
    ("GET", "/api/messages?limit=0", 400, "invalid"),
    ("GET", "/api/messages?limit=501", 400, "invalid"),
    ("GET", "/api/messages?limit=ten", 400, "invalid"),
    ("GET", "/api/messages?state=lost", 400, "invalid"),
    ("GET", f"/api/messages?agent={'a' * 65}", 400, "invalid"),
    ("POST", "/api/messages/999/requeue", 404, "not_found"),
    ("POST", f"/api/messages/{HUGE}/drop", 400, "invalid"),
    ("POST", f"/api/messages/{HUGE}/read", 400, "invalid"),
    ("GET", "/api/agents/nobody/turns", 404, "not_found"),
    ("GET", "/api/agents/%00/turns", 404, "not_found"),
    ("GET", "/api/agents/%ff/turns", 404, "not_found"),
    ("GET", "/api/turns/999/events", 404, "not_found"),
    ("GET", f"/api/turns/{HUGE}/events", 400, "invalid"),
    ("GET", f"/api/turns/1/events?after={HUGE}", 400, "invalid"),
    ("GET", f"/api/audit?before={HUGE}", 400, "invalid"),
    ("GET", f"/dashboard/history?before={HUGE}", 400, "invalid"),
    ("GET", f"/dashboard/stream?after={HUGE}", 400, "invalid"),
    ("GET", "/dashboard/stream?after=-1", 400, "invalid"),
    ("GET", f"/dashboard/stream?epoch={'e' * 65}", 400, "invalid"),
    ("PUT", "/api/messages", 405, "method_not_allowed"),
    ("DELETE", "/api/messages/1", 405, "method_not_allowed"),
    ("PATCH", "/api/state", 405, "method_not_allowed"),
    ("POST", "/api/restore", 400, "invalid"),
    ("GET", "/login/used-or-invented", 401, "unauthorized"),
    ("GET", "/login/%00", 401, "unauthorized"),
    ("GET", "/static/nope.js", 404, "not_found"),
]


@promise("E3")
@pytest.mark.parametrize(("method", "target", "status", "code"), REFUSED)
async def test_a_refusal_is_a_problem_document(
    hive: Whole, method: str, target: str, status: int, code: str
) -> None:
    answer = await hive.operator.ask(method, target)

    problem = told(answer)
    assert (problem["status"], problem["code"]) == (status, code)


BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b'{"to": "alice"}',
    b'{"to": ["alice"], "body": "x"}',
    b'{"to": "alice", "body": null}',
    b'{"to": "alice", "body": "   "}',
    b'{"to": "alice", "body": "\xff"}',
    b'{"to": "alice", "body": "\\ud800"}',
    b'{"to": "\\ud800", "body": "x"}',
    b'{"to": "alice", "body": "x", "from": "bob"}',
    b'{"to": "alice", "body": "x", "key": ""}',
    b'{"to": "alice", "body": "x", "key": "' + b"k" * 125 + b'"}',
    b'{"to": "alice", "body": "x", "in_reply_to": -1}',
    b'{"to": "alice", "body": "x", "in_reply_to": ' + HUGE.encode() + b"}",
    b'{"to": "alice", "body": "x", "in_reply_to": true}',
    b'{"to": "alice", "body": "x", "in_reply_to": "5"}',
    b'{"to": "alice", "body": "x", "in_reply_to": 1e400}',
    b"[" * 100_000,
    b'{"to":' * 100_000,
]


@promise("E3")
@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:60]))
async def test_a_body_that_is_wrong_is_refused_and_nothing_is_sent(
    hive: Whole, body: bytes
) -> None:
    before = await hive.operator.get("/api/state")

    answer = await hive.operator.ask("POST", "/api/messages", headers=JSON, body=body)

    assert told(answer)["code"] == "invalid"
    assert (await hive.operator.get("/api/state"))["seq"] == before["seq"]


@promise("M11")
@pytest.mark.parametrize(
    ("to", "body", "status", "says"),
    [
        ("nobody", "x", 404, "Known: *, alice, bob, manager, operator, queen."),
        ("alice", "x" * (16 * 1024 + 1), 413, "file"),
    ],
)
async def test_a_refused_send_says_what_to_do(
    hive: Whole, to: str, body: str, status: int, says: str
) -> None:
    answer = await hive.operator.ask("POST", "/api/messages", data={"to": to, "body": body})

    problem = told(answer)
    assert problem["status"] == status
    assert says in problem["remedy"]


@promise("E3")
async def test_a_body_of_two_mebibytes_is_too_large(hive: Whole) -> None:
    body = json.dumps({"to": "alice", "body": "x" * (2 << 20)}).encode()

    answer = await hive.operator.ask("POST", "/api/messages", headers=JSON, body=body)

    assert told(answer)["code"] == "too_large"


@promise("E3")
@pytest.mark.parametrize("verb", ["requeue", "drop"])
async def test_only_a_dead_message_is_settled_by_hand(hive: Whole, verb: str) -> None:
    number = await hive.operator.send("alice")

    answer = await hive.operator.ask("POST", f"/api/messages/{number}/{verb}")

    assert told(answer)["code"] == "conflict"


@promise("E3")
@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/etc", "\0", "x" * 5000, "/dev/zero", "/proc/self/mem", "", "nowhere"]
)
async def test_a_restore_of_what_is_no_backup_is_refused(hive: Whole, path: str) -> None:
    before = await hive.operator.get("/api/state")

    answer = await hive.admin.ask("POST", "/api/restore", data={"path": path})

    assert told(answer)["code"] in {"not_found", "invalid"}
    assert (await hive.operator.get("/api/state"))["epoch"] == before["epoch"]


@promise("E3", "E2")
@pytest.mark.parametrize("said", ["x", ":", "1:", "1:x", "-1", "1.5", "²", "9" * 30, "9" * 5000])
async def test_a_last_event_id_that_is_no_position_is_refused(hive: Whole, said: str) -> None:
    answer = await hive.operator.ask("GET", "/dashboard/stream", headers={"last-event-id": said})

    assert told(answer)["code"] == "invalid"
    assert "/api/state" in told(answer)["remedy"]


@promise("E3")
@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/\xff"],
)
async def test_a_form_is_no_request(hive: Whole, kind: str) -> None:
    answer = await hive.operator.ask(
        "POST", "/api/messages", headers={"content-type": kind}, body=b"to=alice&body=x"
    )

    assert told(answer)["code"] == "invalid"


@promise("E3")
@pytest.mark.parametrize(
    "said",
    [
        b"nonsense\r\n\r\n",
        b"GET /api/state HTTP/1.1\r\n\r\n",
        b"GET /api/state HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"x" * 1_000_000,
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40,
    ],
    ids=lambda said: repr(said[:50]),
)
async def test_what_is_no_http_is_answered_with_400_and_closed(hive: Whole, said: bytes) -> None:
    async with await Wire.to(hive.tcp) as wire:
        with contextlib.suppress(ConnectionError):
            await wire.say(said)
        heard = await wire.hear_all()

    head, _, body = heard.partition(b"\r\n\r\n")
    assert b"500" not in head.splitlines()[0]
    assert int(head.split()[1]) in {400, 403}
    assert json.loads(body)["remedy"]


async def test_a_websocket_is_no_way_in(hive: Whole) -> None:
    upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}

    answer = await hive.stranger.ask("GET", "/api/state", headers=upgrade)

    assert told(answer)["code"] == "unauthorized"


TRICKS = [
    "/static/../login.html",
    "/static/../../app.py",
    "/static/%2e%2e/__init__.py",
    "/static/..%2f__init__.py",
    "/static/%2e%2e%2f%2e%2e%2fapi.py",
    "/static/....//....//etc/passwd",
    "/static//etc/passwd",
    "/static/%2fetc%2fpasswd",
    "/static/..%5c..%5cetc%5cpasswd",
    "/static/%c0%ae%c0%ae/__init__.py",
    "/static/main.js%00.css",
    "/static/%00",
    "/static/.",
    "/static/..",
    "/static/view",
    "/static/view/",
    "/static/main.js/",
    "/static/main.js/../../__init__.py",
    "/static/" + "a" * 300,
    "/static/" + "a/" * 3000,
]


@promise("I3", "E3")
@pytest.mark.parametrize("target", TRICKS, ids=lambda target: target[:50])
async def test_no_path_leads_out_of_the_public_files(hive: Whole, target: str) -> None:
    answer = await hive.stranger.ask("GET", target)

    if answer.status == 200:  # the same file, reached in an odd way
        assert target.startswith("/static/main.js")
        assert answer.kind == "text/javascript"
    else:
        assert told(answer)["code"] == "not_found"


async def test_the_page_and_its_files_are_served(hive: Whole) -> None:
    page = await hive.operator.ask("GET", "/")
    script = await hive.stranger.ask("GET", "/static/main.js")

    assert (page.status, page.kind) == (200, "text/html")
    assert (script.status, script.kind) == (200, "text/javascript")

"""The client library against a scripted server."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hyperhive.client import AgentClient, OperatorClient, StreamResetError
from hyperhive.client.streams import Frame, frames
from hyperhive.domain.errors import (
    ConflictError,
    ForbiddenError,
    HiveError,
    InvalidError,
    NotFoundError,
    QuotaError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from tests.promises import promise
from tests.surfaces.fake_hive import (
    Answer,
    Broken,
    FakeHive,
    Stream,
    fake_hive,
    fake_hive_on_tcp,
    problem,
)

REASON = {"reason": "r"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeHive]:
    with fake_hive(tmp_path / "s") as hive:
        yield hive


@pytest.fixture
def operator(server: FakeHive) -> Iterator[OperatorClient]:
    with OperatorClient(server.address) as client:
        yield client


@pytest.fixture
def agent(server: FakeHive) -> Iterator[AgentClient]:
    with AgentClient(server.address) as client:
        yield client


def an_event(seq: int) -> dict[str, Any]:
    return {
        "seq": seq,
        "at": 1.0,
        "kind": "x",
        "agent": None,
        "actor": "system",
        "data": {},
    }


def a_frame(event: str, data: object, identity: str = "") -> str:
    head = f"id: {identity}\n" if identity else ""
    return f"{head}event: {event}\ndata: {json.dumps(data)}\n\n"


def streamed(*seqs: int) -> str:
    hello = a_frame("hello", {"epoch": "e1", "seq": 5})
    return hello + "".join(a_frame("event", an_event(seq), f"e1:{seq}") for seq in seqs)


def a_result(value: object) -> Answer:
    content = [{"type": "text", "text": json.dumps(value)}]
    return Answer({"jsonrpc": "2.0", "id": "1", "result": _tool(content, value)})


def _tool(content: object, value: object) -> dict[str, object]:
    return {"content": content, "structuredContent": value, "isError": False}


@pytest.mark.parametrize(
    ("call", "method", "target", "body"),
    [
        (lambda c: c.health(), "GET", "/api/health", None),
        (lambda c: c.state(), "GET", "/api/state", None),
        (
            lambda c: c.send("bob", "hi", in_reply_to=3, key="k"),
            "POST",
            "/api/messages",
            {"to": "bob", "body": "hi", "in_reply_to": 3, "key": "k"},
        ),
        (
            lambda c: c.messages(before=9, limit=2, agent="bob", state="dead"),
            "GET",
            "/api/messages?before=9&limit=2&agent=bob&state=dead",
            None,
        ),
        (lambda c: c.message(4), "GET", "/api/messages/4", None),
        (lambda c: c.requeue(4), "POST", "/api/messages/4/requeue", None),
        (lambda c: c.drop(4), "POST", "/api/messages/4/drop", None),
        (lambda c: c.mark_read(4), "POST", "/api/messages/4/read", None),
        (
            lambda c: c.turns("a/b", limit=2),
            "GET",
            "/api/agents/a%2Fb/turns?limit=2",
            None,
        ),
        (
            lambda c: c.turn_events(7, after=3, limit=2),
            "GET",
            "/api/turns/7/events?after=3&limit=2",
            None,
        ),
        (
            lambda c: c.history(before=8, limit=2, agent="bob", kind="x"),
            "GET",
            "/dashboard/history?before=8&limit=2&agent=bob&kind=x",
            None,
        ),
        (lambda c: c.audit(limit=2), "GET", "/api/audit?limit=2", None),
        (lambda c: c.stop("a/b"), "POST", "/api/agents/a%2Fb/stop", {}),
        (lambda c: c.start("bob"), "POST", "/api/agents/bob/start", {}),
        (lambda c: c.restart("bob", reason="r"), "POST", "/api/agents/bob/restart", REASON),
        (lambda c: c.rebuild("bob"), "POST", "/api/agents/bob/rebuild", {}),
        (lambda c: c.cancel_turn("bob"), "POST", "/api/agents/bob/cancel-turn", {}),
        (lambda c: c.compact("bob"), "POST", "/api/agents/bob/compact", {}),
        (lambda c: c.new_session("bob"), "POST", "/api/agents/bob/new-session", {}),
        (lambda c: c.set_model("bob", "m"), "POST", "/api/agents/bob/model", {"model": "m"}),
        (lambda c: c.set_model("bob", None), "POST", "/api/agents/bob/model", {"model": None}),
        (lambda c: c.pause("bob", reason="r"), "POST", "/api/agents/bob/pause", REASON),
        (lambda c: c.pause(reason="r"), "POST", "/api/hive/pause", REASON),
        (lambda c: c.resume("bob"), "POST", "/api/agents/bob/resume", {}),
        (lambda c: c.resume(), "POST", "/api/hive/resume", {}),
        (lambda c: c.destroy("bob"), "POST", "/api/agents/bob/destroy", {}),
        (
            lambda c: c.spawn("eve", "listens", model="m"),
            "POST",
            "/api/spawn",
            {"name": "eve", "description": "listens", "system_prompt": "", "model": "m"},
        ),
        (lambda c: c.revive("bob"), "POST", "/api/tombstones/bob/revive", {}),
        (lambda c: c.deployments("bob"), "GET", "/api/agents/bob/deployments", None),
        (
            lambda c: c.redeploy("bob", "deployed/7"),
            "POST",
            "/api/agents/bob/redeploy",
            {"revision": "deployed/7"},
        ),
        (lambda c: c.update_inputs(), "POST", "/api/hive/update-inputs", {}),
        (lambda c: c.purge("bob"), "POST", "/api/tombstones/bob/purge", {}),
        (lambda c: c.restart_hive(), "POST", "/api/hive/restart", {"agents": None}),
        (
            lambda c: c.restart_hive(("bob", "eve"), reason="r"),
            "POST",
            "/api/hive/restart",
            {"agents": ["bob", "eve"], **REASON},
        ),
        (lambda c: c.plan(), "GET", "/api/plan", None),
        (lambda c: c.plan(Path("/h.toml")), "POST", "/api/plan", {"path": "/h.toml"}),
        (lambda c: c.apply(), "POST", "/api/apply", {}),
        (lambda c: c.logs("bob", lines=5), "GET", "/api/agents/bob/logs?lines=5", None),
        (lambda c: c.login_link(), "POST", "/api/login-link", None),
        (lambda c: c.backup(), "POST", "/api/backup", {}),
        (lambda c: c.restore("/b.db"), "POST", "/api/restore", {"path": "/b.db"}),
    ],
)
def test_every_method_asks_its_endpoint_and_returns_the_answer(
    server: FakeHive,
    operator: OperatorClient,
    call: Callable[[OperatorClient], object],
    method: str,
    target: str,
    body: object,
) -> None:
    server.answers(method, target.partition("?")[0], Answer({"it": 1}))

    answer = call(operator)

    assert answer == {"it": 1}
    asked = server.asked[-1]
    assert (asked.method, asked.target, asked.body) == (method, target, body)


def test_a_secret_goes_with_every_request_over_tcp() -> None:
    with (
        fake_hive_on_tcp() as server,
        OperatorClient(server.address, secret="s3") as client,
    ):
        server.answers("GET", "/api/health", Answer())

        client.health()

        assert server.asked[0].headers["Authorization"] == "Bearer s3"


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("invalid", 400, InvalidError),
        ("too_large", 413, TooLargeError),
        ("unauthorized", 401, UnauthorizedError),
        ("forbidden", 403, ForbiddenError),
        ("not_found", 404, NotFoundError),
        ("conflict", 409, ConflictError),
        ("quota", 429, QuotaError),
        ("unavailable", 503, UnavailableError),
    ],
)
def test_a_problem_becomes_the_domains_error_of_its_code(
    server: FakeHive,
    operator: OperatorClient,
    code: str,
    status: int,
    kind: type[HiveError],
) -> None:
    server.answers("GET", "/api/state", problem(code, status, "It is so.", "Do that."))

    with pytest.raises(kind) as caught:
        operator.state()

    error = caught.value
    assert type(error) is kind
    assert (error.detail, error.remedy, str(error)) == (
        "It is so.",
        "Do that.",
        "It is so. Do that.",
    )


def test_a_code_of_a_newer_server_is_a_hive_error_that_keeps_it(
    server: FakeHive, operator: OperatorClient
) -> None:
    server.answers("GET", "/api/state", problem("too_hot", 418, "Tea."))

    with pytest.raises(HiveError) as caught:
        operator.state()

    assert (caught.value.code, caught.value.status) == ("too_hot", 418)


def test_an_error_without_a_problem_shows_its_status_and_first_words(
    server: FakeHive, operator: OperatorClient
) -> None:
    server.answers("GET", "/api/state", Answer(b"Invalid Host header", 421))

    with pytest.raises(HiveError, match=r"421.*Invalid Host header"):
        operator.state()


def test_nobody_at_the_address_is_an_error_that_says_what_to_start(
    tmp_path: Path,
) -> None:
    with (
        OperatorClient(tmp_path / "none") as client,
        pytest.raises(UnavailableError, match="hyperhive up"),
    ):
        client.health()


def test_an_answer_that_is_no_json_is_an_error(server: FakeHive, operator: OperatorClient) -> None:
    server.answers("GET", "/api/health", Answer(b"<html>"))

    with pytest.raises(UnavailableError, match="JSON"):
        operator.health()


def test_a_send_whose_connection_breaks_is_repeated_under_the_same_key(
    server: FakeHive, operator: OperatorClient
) -> None:
    server.answers("POST", "/api/messages", Broken(), Answer({"id": 1}, 201))

    operator.send("bob", "hi")

    first, second = server.asked
    assert first.body["key"] == second.body["key"]


def test_two_sends_have_different_keys(server: FakeHive, operator: OperatorClient) -> None:
    server.answers("POST", "/api/messages", Answer({"id": 1}, 201))

    operator.send("bob", "hi")
    operator.send("bob", "hi")

    first, second = server.asked
    assert first.body["key"] != second.body["key"]


def test_a_change_whose_connection_breaks_is_sent_once(
    server: FakeHive, operator: OperatorClient
) -> None:
    server.answers("POST", "/api/messages/4/drop", Broken())

    with pytest.raises(UnavailableError):
        operator.drop(4)

    assert len(server.asked) == 1


def test_a_connection_the_server_closed_between_calls_is_not_used_again(
    server: FakeHive, operator: OperatorClient
) -> None:
    server.answers("POST", "/api/messages/4/drop", Answer(closes=True))

    operator.drop(4)
    operator.drop(4)

    assert len(server.asked) == 2


def test_events_are_given_out_as_they_come(server: FakeHive, operator: OperatorClient) -> None:
    server.answers("GET", "/dashboard/stream", Stream(streamed(6, 7)))

    events = operator.events(5, epoch="e1")

    assert [next(events)["seq"], next(events)["seq"]] == [6, 7]
    assert server.asked[0].target == "/dashboard/stream?after=5&epoch=e1"


@promise("E2")
def test_a_broken_stream_is_resumed_after_its_last_event(
    server: FakeHive, operator: OperatorClient
) -> None:
    server.answers("GET", "/dashboard/stream", Stream(streamed(6)), Stream(streamed(7)))

    events = operator.events()
    seqs = [next(events)["seq"], next(events)["seq"]]

    assert seqs == [6, 7]
    assert server.asked[1].headers["Last-Event-ID"] == "e1:6"


def test_a_stream_that_broke_before_any_event_resumes_from_its_greeting(
    server: FakeHive, operator: OperatorClient
) -> None:
    server.answers("GET", "/dashboard/stream", Stream(streamed()), Stream(streamed(6)))

    next(operator.events())

    assert server.asked[1].headers["Last-Event-ID"] == "e1:5"


def test_a_reset_is_an_error_with_its_reason(server: FakeHive, operator: OperatorClient) -> None:
    server.answers("GET", "/dashboard/stream", Stream(a_frame("reset", {"reason": "epoch"})))

    with pytest.raises(StreamResetError) as caught:
        next(operator.events(5))

    assert caught.value.reason == "epoch"


def test_a_first_connection_that_fails_is_an_error_at_once(
    server: FakeHive, operator: OperatorClient
) -> None:
    server.answers("GET", "/dashboard/stream", Broken())

    with pytest.raises(UnavailableError):
        next(operator.events())

    assert len(server.asked) == 1


def test_a_stream_that_stays_away_ends_when_the_patience_does(
    server: FakeHive, operator: OperatorClient
) -> None:
    told: list[HiveError] = []
    server.answers("GET", "/dashboard/stream", Stream(streamed(6)), Broken())
    events = operator.events(patience_seconds=0.1, on_disconnect=told.append)
    next(events)

    with pytest.raises(UnavailableError):
        next(events)

    assert len(told) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            b": keep-alive\n\nevent: event\nid: e:1\ndata: {}\n\n",
            [Frame("event", "e:1", "{}")],
        ),
        (b"event: event\r\ndata: {}\r\n\r\n", [Frame("event", None, "{}")]),
        (b"data: a\ndata: b\n\n", [Frame("message", None, "a\nb")]),
        (b"data:tight\nretry: 3\nodd\n\n", [Frame("message", None, "tight")]),
        (b"event: event\ndata: {", []),
    ],
)
def test_server_sent_events_are_cut_as_the_format_says(text: bytes, expected: list[Frame]) -> None:
    assert list(frames(iter(text.splitlines(keepends=True)))) == expected


def test_a_tool_call_is_one_json_rpc_request_and_gives_the_structured_result(
    server: FakeHive, agent: AgentClient
) -> None:
    server.answers("POST", "/mcp", a_result({"id": 9, "to": "bob"}))

    sent = agent.send("bob", "hi")

    assert sent["id"] == 9
    asked = server.asked[0].body
    assert asked["method"] == "tools/call"
    assert asked["params"] == {"name": "send", "arguments": {"to": "bob", "body": "hi"}}


@pytest.mark.parametrize(
    ("call", "tool", "arguments"),
    [
        (lambda c: c.recv(2, max=3), "recv", {"wait_seconds": 2, "max": 3}),
        (lambda c: c.ack((1, 2)), "ack", {"ids": [1, 2]}),
        (lambda c: c.message_status(3), "message_status", {"id": 3}),
        (lambda c: c.list_agents(), "list_agents", {}),
        (lambda c: c.whoami(), "whoami", {}),
        (lambda c: c.set_status("busy"), "set_status", {"text": "busy"}),
        (lambda c: c.call("later_tool", x=1, y=None), "later_tool", {"x": 1}),
    ],
)
def test_every_tool_has_its_name_and_arguments(
    server: FakeHive,
    agent: AgentClient,
    call: Callable[[AgentClient], object],
    tool: str,
    arguments: dict[str, object],
) -> None:
    server.answers("POST", "/mcp", a_result({}))

    call(agent)

    assert server.asked[0].body["params"] == {"name": tool, "arguments": arguments}


def test_a_call_whose_connection_breaks_is_repeated_as_the_same_request(
    server: FakeHive, agent: AgentClient
) -> None:
    server.answers("POST", "/mcp", Broken(), a_result({}))

    agent.whoami()

    first, second = (asked.headers["Hyperhive-Request"] for asked in server.asked)
    assert first == second
    assert len(bytes.fromhex(first)) == 16


def test_two_calls_are_different_requests(server: FakeHive, agent: AgentClient) -> None:
    server.answers("POST", "/mcp", a_result({}))

    agent.whoami()
    agent.whoami()

    first, second = (asked.headers["Hyperhive-Request"] for asked in server.asked)
    assert first != second


def test_what_was_delivered_is_confirmed_in_the_same_turn(server: FakeHive) -> None:
    delivered = a_result({"messages": [], "waiting": 0})
    server.answers("POST", "/mcp", Answer(delivered.body, headers={"Hyperhive-Delivery": "d7"}))
    server.answers("POST", "/deliveries/d7/confirm", Answer(b"", 204))

    with AgentClient(server.address, turn=12) as agent:
        agent.recv()

    assert [asked.path for asked in server.asked] == ["/mcp", "/deliveries/d7/confirm"]
    assert {asked.headers["Hyperhive-Turn"] for asked in server.asked} == {"12"}


def test_outside_a_turn_no_turn_is_named(server: FakeHive, agent: AgentClient) -> None:
    server.answers("POST", "/mcp", a_result({}))

    agent.whoami()

    assert "Hyperhive-Turn" not in server.asked[0].headers


@pytest.mark.parametrize(
    ("answer", "kind", "detail"),
    [
        (
            {"result": {"content": [{"type": "text", "text": "No."}], "isError": True}},
            HiveError,
            "No.",
        ),
        (
            {
                "result": {
                    "content": [{"type": "text", "text": "No. Ask."}],
                    "structuredContent": {
                        "code": "forbidden",
                        "detail": "No.",
                        "remedy": "Ask.",
                    },
                    "isError": True,
                }
            },
            ForbiddenError,
            "No.",
        ),
        (
            {"error": {"code": -32602, "message": "Unknown tool: x"}},
            InvalidError,
            "Unknown tool: x",
        ),
    ],
)
def test_a_refused_call_is_the_domains_error(
    server: FakeHive,
    agent: AgentClient,
    answer: dict[str, object],
    kind: type[HiveError],
    detail: str,
) -> None:
    server.answers("POST", "/mcp", Answer({"jsonrpc": "2.0", "id": "1", **answer}))

    with pytest.raises(kind) as caught:
        agent.whoami()

    assert type(caught.value) is kind
    assert caught.value.detail == detail


def test_a_refusal_before_mcp_is_the_domains_error_of_its_status(
    server: FakeHive, agent: AgentClient
) -> None:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Too large."}}
    server.answers("POST", "/mcp", Answer(error, 413))

    with pytest.raises(TooLargeError, match=r"^Too large\.$"):
        agent.whoami()


def test_a_call_outlasts_its_server_only_as_long_as_its_patience(
    tmp_path: Path,
) -> None:
    with (
        AgentClient(tmp_path / "none", patience_seconds=0.1) as agent,
        pytest.raises(UnavailableError),
    ):
        agent.whoami()


def test_the_library_needs_the_standard_library_and_the_domain_alone() -> None:
    code = (
        "import sys; before = set(sys.modules); "
        "from hyperhive.client import AgentClient, OperatorClient, StreamResetError; "
        "print(*sorted({name.split('.')[0] if not name.startswith('hyperhive.') else "
        "'.'.join(name.split('.')[:2]) for name in set(sys.modules) - before}))"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    foreign = set(run.stdout.split()) - set(sys.stdlib_module_names)
    assert foreign == {"hyperhive", "hyperhive.client", "hyperhive.domain"}


@pytest.mark.parametrize("kind", [OperatorClient, AgentClient])
def test_the_librarys_page_names_every_public_method(kind: type) -> None:
    page = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")

    public = [name for name in vars(kind) if not name.startswith("_")]

    assert [name for name in public if not re.search(rf"`{name}[`(]", page)] == []

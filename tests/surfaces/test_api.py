"""What the operator's API answers when asked rightly, on the port and on the admin socket."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hyperhive.domain.errors import UnavailableError
from tests.builders import EPOCH, ManualClock
from tests.promises import promise
from tests.surfaces.hives import Whole, a_harness, a_whole_hive, operator_routes

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def hive(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Whole]:
    async with a_whole_hive(tmp_path, clock=clock) as whole:
        yield whole


async def a_turn(hive: Whole, agent: str = "alice") -> int:
    """Run one turn of an agent's from a message to a good end."""
    await hive.admin.send(agent)
    box = hive.box(agent)
    async with a_harness(box):
        offered = (await box.harness("work", session="session-1", wait_seconds=5)).json()["turn"]
        turn = int(offered["id"])
        assert (await box.harness(f"turns/{turn}/begin", session="session-1")).status == 200
        lines = [
            {"n": n, "at": EPOCH + n, "kind": "text", "data": {"text": f"line {n}"}}
            for n in range(3)
        ]
        told = await box.harness(f"turns/{turn}/events", session="session-1", events=lines)
        assert told.status == 200, told
        usage = {"input_tokens": 10, "output_tokens": 2, "cost_usd": 0.01}
        ended = await box.harness(
            f"turns/{turn}/end", session="session-1", outcome="ok", usage=usage, tools={"send": 1}
        )
        assert ended.json() == {"outcome": "ok"}
    return turn


async def a_dead_message(hive: Whole, clock: ManualClock) -> int:
    """Let five turns fail over one message."""
    number = await hive.admin.send("bob", "too hard")
    box = hive.box("bob")
    async with a_harness(box):
        for _ in range(5):
            turn = (await box.harness("work", session="session-1", wait_seconds=5)).json()["turn"]
            await box.harness(f"turns/{turn['id']}/begin", session="session-1")
            await box.harness(f"turns/{turn['id']}/end", session="session-1", outcome="failed")
            clock.advance(700)
    return number


def backups(hive: Whole) -> list[Path]:
    """Give the copies of the database that the hive keeps."""
    return list((hive.run.hive.state_dir / "backups").iterdir())


async def test_a_snapshot_holds_agents_messages_and_the_place_where_it_is_true(
    hive: Whole,
) -> None:
    number = await hive.operator.send("manager", "what next?")

    state = await hive.operator.get("/api/state")

    assert state.keys() == {
        "seq", "epoch", "at", "hive", "agents", "messages", "dead", "operator", "alerts",
        "tombstones", "questions", "approvals", "reminders", "forge", "plan",
    }  # fmt: skip
    assert [agent["name"] for agent in state["agents"]] == ["alice", "bob", "queen"]
    queen = state["agents"][2]
    assert (queen["role"], queen["state"]) == ("manager", "stopped")
    assert queen["inbox"] == {"queued": 1, "leased": 0, "dead": 0}
    sent = state["messages"][-1]
    assert (sent["id"], sent["from"], sent["to"]) == (number, "operator", "queen")
    assert (sent["state"], sent["preview"]) == ("queued", "what next?")
    newest = (await hive.operator.get("/dashboard/history?limit=1"))["events"][0]
    assert newest["seq"] == state["seq"]


async def test_a_send_answers_with_the_event_it_caused(hive: Whole) -> None:
    answer = await hive.operator.ask(
        "POST", "/api/messages", data={"to": "alice", "body": "hello", "key": "k" * 124}
    )

    assert answer.status == 201
    sent = answer.json()
    assert (sent["to"], sent["receiver"]) == ("alice", "stopped")
    newest = (await hive.operator.get("/dashboard/history?limit=1"))["events"][0]
    assert newest["seq"] == sent["seq"]
    assert newest["kind"] == "message_queued"
    assert newest["data"]["message"]["id"] == sent["id"]


@promise("M2")
async def test_a_send_repeated_with_its_key_is_one_message(hive: Whole) -> None:
    request = {"to": "alice", "body": "once", "key": "order-7"}

    first = await hive.operator.post("/api/messages", request)
    again = await hive.operator.post("/api/messages", request)

    assert again == first
    listed = await hive.operator.get("/api/messages?agent=alice")
    assert [message["id"] for message in listed["messages"]] == [first["id"]]


async def test_a_broadcast_of_the_operator_reaches_every_agent(hive: Whole) -> None:
    sent = await hive.operator.post("/api/messages", {"to": "*", "body": "all hands"})

    assert sent["id"] is None
    assert sent["ids"].keys() == {"queen", "alice", "bob"}
    assert sent["left_out"] == []


async def test_messages_are_paged_backwards_without_gap_or_repeat(hive: Whole) -> None:
    ids = [await hive.operator.send("alice", f"number {n}") for n in range(7)]

    seen: list[int] = []
    before = ""
    while True:
        page = await hive.operator.get(f"/api/messages?limit=3{before}")
        seen += [message["id"] for message in page["messages"]]
        if not page["more"]:
            break
        before = f"&before={seen[-1]}"

    assert seen == sorted(ids, reverse=True)


async def test_messages_are_found_by_state_and_by_agent(hive: Whole) -> None:
    mine = await hive.operator.send("alice")
    other = await hive.operator.send("bob")
    await hive.box("bob").call("recv")

    leased = await hive.operator.get("/api/messages?state=leased")
    of_alice = await hive.operator.get("/api/messages?agent=alice")

    assert [message["id"] for message in leased["messages"]] == [other]
    assert [message["id"] for message in of_alice["messages"]] == [mine]


async def test_one_message_is_shown_whole_with_every_step_of_its_life(hive: Whole) -> None:
    body = "long " * 1000
    number = await hive.operator.send("alice", body)
    await hive.box("alice").call("recv")
    await hive.box("alice").call("ack", ids=[number])

    shown = await hive.operator.get(f"/api/messages/{number}")

    assert shown["body"] == body
    assert len(shown["preview"]) <= 280
    assert shown["size"] == len(body)
    steps = [event["kind"] for event in shown["history"]]
    assert steps == ["message_queued", "message_leased", "message_acked"]


@promise("M9")
@pytest.mark.parametrize(("verb", "after"), [("requeue", "queued"), ("drop", "dropped")])
async def test_a_dead_message_alerts_the_operator_who_settles_it(
    hive: Whole, clock: ManualClock, verb: str, after: str
) -> None:
    number = await a_dead_message(hive, clock)
    before = await hive.operator.get("/api/state")
    assert [message["id"] for message in before["dead"]] == [number]
    assert [alert["agent"] for alert in before["alerts"]] == ["bob"]

    answer = await hive.operator.post(f"/api/messages/{number}/{verb}")

    assert (answer["id"], answer["state"]) == (number, after)
    state = await hive.operator.get("/api/state")
    assert state["seq"] == answer["seq"]
    assert (state["dead"], state["alerts"]) == ([], [])


async def test_a_message_to_the_operator_is_unread_until_it_is_read(hive: Whole) -> None:
    number = (await hive.box("alice").call("send", to="operator", body="done")).result["id"]
    assert (await hive.operator.get("/api/state"))["operator"] == {"unread": 1}

    await hive.operator.post(f"/api/messages/{number}/read")

    assert (await hive.operator.get("/api/state"))["operator"] == {"unread": 0}
    assert (await hive.operator.get(f"/api/messages/{number}"))["read_at"] == EPOCH


async def test_turns_and_their_transcripts_are_paged(hive: Whole) -> None:
    first, second = await a_turn(hive), await a_turn(hive)

    newest = await hive.operator.get("/api/agents/alice/turns?limit=1")
    older = await hive.operator.get(f"/api/agents/alice/turns?before={second}")
    lines = await hive.operator.get(f"/api/turns/{first}/events?limit=2")
    rest = await hive.operator.get(f"/api/turns/{first}/events?after=1")

    assert ([turn["id"] for turn in newest["turns"]], newest["more"]) == ([second], True)
    assert ([turn["id"] for turn in older["turns"]], older["more"]) == ([first], False)
    assert older["turns"][0]["usage"]["cost_usd"] == 0.01
    assert older["turns"][0]["tools"] == {"send": 1}
    assert ([line["n"] for line in lines["events"]], lines["more"]) == ([0, 1], True)
    assert ([line["data"] for line in rest["events"]], rest["more"]) == (
        [{"text": "line 2"}],
        False,
    )


async def test_history_is_paged_backwards_and_filtered(hive: Whole) -> None:
    await hive.operator.send("alice")
    await hive.operator.send("bob")

    whole = (await hive.operator.get("/dashboard/history?limit=500"))["events"]
    newest = await hive.operator.get("/dashboard/history?limit=1")
    older = await hive.operator.get(f"/dashboard/history?before={whole[0]['seq']}&limit=500")
    of_bob = await hive.operator.get("/dashboard/history?agent=bob&kind=message_queued")

    assert (newest["events"], newest["more"]) == (whole[:1], True)
    assert (older["events"], older["more"]) == (whole[1:], False)
    assert [event["agent"] for event in of_bob["events"]] == ["bob"]


@promise("I3")
async def test_health_needs_no_login(hive: Whole) -> None:
    answer = await hive.stranger.ask("GET", "/api/health")

    assert answer.status == 200
    assert answer.json()["status"] == "ok"
    assert answer.json()["agents"] == 3


@promise("I6")
async def test_what_the_operator_changes_is_in_the_audit_log(
    hive: Whole, clock: ManualClock
) -> None:
    first = await a_dead_message(hive, clock)
    second = await a_dead_message(hive, clock)

    await hive.operator.post("/api/messages", {"to": "bob", "body": "an order"})
    await hive.operator.post(f"/api/messages/{first}/requeue")
    await hive.admin.post(f"/api/messages/{second}/drop")
    backup = await hive.admin.post("/api/backup")
    link = await hive.admin.post("/api/login-link")
    login = await hive.stranger.ask("GET", link["url"].partition(hive.host)[2])
    cookie = login.cookies[0].partition(";")[0]
    session = await hive.stranger.ask("GET", "/api/session", headers={"cookie": cookie})
    token = {"cookie": cookie, "x-hyperhive-csrf": session.json()["csrf"]}
    await hive.stranger.ask("POST", "/logout", headers=token)

    entries = (await hive.operator.get("/api/audit"))["entries"]
    told = [(entry["verb"], entry["via"], entry["subject"]) for entry in reversed(entries)]
    assert told[-7:] == [
        ("send", "http", "bob"),
        ("requeue", "http", f"message:{first}"),
        ("drop", "admin socket", f"message:{second}"),
        ("backup", "admin socket", backup["path"]),
        ("login_link", "admin socket", "operator"),
        ("login", "link", "operator"),
        ("logout", "http", "operator"),
    ]
    assert {entry["actor"] for entry in entries} == {"operator"}
    assert {entry["at"] for entry in entries[:7]} == {clock.at}


async def test_a_backup_is_restored_by_the_admin_socket_alone(hive: Whole) -> None:
    kept = await hive.operator.send("alice", "before")
    backup = await hive.operator.post("/api/backup")
    lost = await hive.operator.send("alice", "after")
    before = await hive.operator.get("/api/state")

    refused = await hive.operator.ask("POST", "/api/restore", data={"path": backup["path"]})
    restored = await hive.admin.post("/api/restore", {"path": backup["path"]})

    assert (refused.status, refused.json()["code"]) == (403, "forbidden")
    state = await hive.operator.get("/api/state")
    assert state["epoch"] == restored["epoch"] != before["epoch"]
    assert [message["id"] for message in state["messages"]] == [kept]
    assert (await hive.operator.ask("GET", f"/api/messages/{lost}")).status == 404
    assert restored["saved"] in {str(path) for path in backups(hive)}


async def test_only_the_admin_socket_makes_login_links(hive: Whole) -> None:
    refused = await hive.operator.ask("POST", "/api/login-link")

    assert (refused.status, refused.json()["code"]) == (403, "forbidden")
    assert "hyperhive" in refused.json()["remedy"]


async def test_the_document_names_every_route_and_method(hive: Whole) -> None:
    files = {("/", "GET"), ("/login", "GET"), ("/static/{path}", "GET")}
    itself = {("/api", "GET"), ("/api/openapi.json", "GET"), ("/api/{path}", "GET")}

    document = await hive.operator.get("/api/openapi.json")

    documented = {
        (path, method.upper()) for path, methods in document["paths"].items() for method in methods
    }
    assert documented == operator_routes() - files - itself
    assert ("/api/messages/{number}/requeue", "POST") in documented


async def test_the_document_is_sound_json_schema_of_version_3_1(hive: Whole) -> None:
    answer = await hive.operator.ask("GET", "/api/openapi.json")

    document = json.loads(answer.body)
    assert document["openapi"].startswith("3.1")
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"], operation
            assert operation["tags"], operation


async def test_a_port_that_is_taken_is_told_in_a_sentence(hive: Whole, tmp_path: Path) -> None:
    taken = {"operator": {"port": hive.port}}

    with pytest.raises(UnavailableError, match=rf"port {hive.port}.*operator\.port"):
        async with a_whole_hive(tmp_path / "other", hive=taken):
            pass

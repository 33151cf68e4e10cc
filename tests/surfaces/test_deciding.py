"""Questions, threads and quotas as agents' tools and the operator's API and commands have them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hyperhive.cli.program import run as command
from hyperhive.client import AgentClient, OperatorClient
from tests.promises import promise
from tests.surfaces.hives import Beside, Whole, a_hive_beside, a_whole_hive

pytestmark = pytest.mark.anyio


@pytest.fixture
async def hive(tmp_path: Path) -> AsyncIterator[Whole]:
    async with a_whole_hive(tmp_path, alice={"quotas": {"messagesPerMinute": 3}}) as whole:
        yield whole


@promise("Q2")
async def test_an_agent_asks_goes_on_and_receives_the_operators_answer(hive: Whole) -> None:
    alice = hive.box("alice")
    asked = await alice.call("ask", question="Which?", options=["red", "blue"], request="r-ask")
    again = await alice.call("ask", question="Which?", options=["red", "blue"], request="r-ask")
    number = asked.result["id"]
    assert again.result == asked.result

    done = await hive.operator.post(f"/api/questions/{number}/answer", {"answer": "blue"})

    assert done["seq"] == hive.run.store.bus.seq
    (message,) = (await alice.call("recv", max=5)).result["messages"]
    event, facts = message["body"].split("\n")[1].split(" ", 1)
    assert (message["from"], event) == ("system", "question_answered")
    assert (json.loads(facts)["answer"], json.loads(facts)["answerer"]) == ("blue", "operator")
    (shown,) = (await hive.admin.get("/api/state"))["questions"]
    assert shown == await hive.admin.get(f"/api/questions/{number}")


@promise("Q4")
async def test_a_second_operator_learns_that_the_first_has_answered(hive: Whole) -> None:
    number = (await hive.box("alice").call("ask", question="Which?")).result["id"]
    where = f"/api/questions/{number}/answer"
    await hive.admin.post(where, {"answer": "red"})

    late = await hive.operator.ask("POST", where, data={"answer": "blue"})

    assert (late.status, late.json()["code"]) == (409, "conflict")
    assert "already answered by operator" in late.json()["detail"]
    for target, status in (("/api/questions/99/answer", 404), (where, 400)):
        refused = await hive.admin.ask("POST", target, data={"answer": "x" * (status == 404)})
        assert refused.status == status


async def test_one_agent_answers_another_and_not_for_another(hive: Whole) -> None:
    number = (await hive.box("alice").call("ask", question="Done?", to="bob")).result["id"]

    refused = await hive.box("queen").call("answer", id=number, answer="yes")
    assert refused.refusal is not None
    assert "is for bob, not for you" in refused.refusal
    done = await hive.box("bob").call("answer", id=number, answer="yes")
    assert done.result["state"] == "answered"


@promise("Q7")
async def test_threads_are_listed_and_withdrawn_on_both_surfaces(hive: Whole) -> None:
    alice = hive.box("alice")
    first = (await alice.call("ask", question="One?", to="bob")).result["id"]
    second = (await alice.call("ask", question="Two?", to="bob")).result["id"]

    mine = (await alice.call("get_open_threads")).result["threads"]
    assert [(each["kind"], each["id"], each["with"]) for each in mine] == [
        ("question", first, "bob"),
        ("question", second, "bob"),
    ]
    assert (await alice.call("cancel_thread", kind="question", id=first)).refusal is None
    done = await hive.admin.post(f"/api/threads/question/{second}/cancel")
    assert (done["state"], done["seq"]) == ("cancelled", hive.run.store.bus.seq)
    assert (await hive.admin.get("/api/threads?agent=alice"))["threads"] == []
    unknown = await alice.call("cancel_thread", kind="wish", id=1)
    assert "Known: approval, message, question, reminder" in str(unknown.refusal)


@promise("Q1")
async def test_an_agent_and_the_operator_see_what_is_left_of_its_quotas(hive: Whole) -> None:
    alice = hive.box("alice")
    for _ in range(3):
        assert (await alice.call("send", to="bob", body="x")).refusal is None
    refused = await alice.call("send", to="bob", body="x")

    assert "messages_per_minute is used up: 3 of 3" in str(refused.refusal)
    own = (await alice.call("whoami")).result["quotas"]["messages_per_minute"]
    assert (own["limit"], own["left"]) == (3, 0)
    shown = await hive.admin.get("/api/agents/alice/quotas")
    assert shown["quotas"]["messages_per_minute"]["used"] == 3
    assert (await hive.admin.ask("GET", "/api/agents/nobody/quotas")).status == 404


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with a_hive_beside(tmp_path_factory.mktemp("deciding")) as running:
        yield running


def test_the_commands_and_the_clients_do_the_same(
    beside: Beside, capsys: pytest.CaptureFixture[str]
) -> None:
    listeners = beside.hive.run.listeners

    def said(*arguments: str) -> str:
        status = command(["--socket", str(listeners.admin_socket), *arguments])
        found = capsys.readouterr()
        assert status == 0, found.err
        return found.out

    with (
        AgentClient(listeners.agent_socket("alice")) as alice,
        AgentClient(listeners.agent_socket("bob")) as bob,
        OperatorClient(listeners.admin_socket) as operator,
    ):
        mine = alice.ask("Which\x1b[2J ones?", ["red", "blue"], multi=True)["id"]
        theirs = alice.ask("Done?", to="bob")["id"]
        gone = alice.ask("Never mind?")["id"]

        listed = said("questions")
        assert "Which" in listed
        assert "\x1b" not in listed
        assert "Done?" not in listed
        assert "Done?" in said("questions", "--all")
        assert "Several of" in said("questions", "show", str(mine))
        assert said("answer", str(mine), "red", "blue") == f"Question {mine} is answered.\n"
        assert json.loads(said("--json", "questions", "show", str(mine)))["answer"] == [
            "red",
            "blue",
        ]
        assert said("questions", "cancel", str(gone)) == f"Question {gone} is cancelled.\n"
        assert "Done?" in said("threads", "--agent", "bob")
        assert "open_questions" in said("quotas", "alice")
        assert bob.answer(theirs, "yes")["state"] == "answered"
        assert operator.threads("bob")["threads"] == []
        assert operator.question(theirs)["answerer"] == "bob"
        last = bob.ask("And now?", to="alice")["id"]
        assert said("threads", "cancel", "question", str(last)) == (
            f"The question {last} is cancelled.\n"
        )
        assert alice.get_open_threads()["threads"] == []


async def test_a_question_that_expires_is_closed_by_the_running_server(hive: Whole) -> None:
    alice = hive.box("alice")
    receiving = asyncio.create_task(alice.call("recv", wait_seconds=20))
    await alice.call("ask", question="Quick?", ttl_seconds=1)

    (message,) = (await receiving).result["messages"]

    assert '"answerer":"ttl-watchdog"' in message["body"]

"""The commands that act on agents, against a scripted server."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperhive.cli import logs
from hyperhive.cli.main import main
from tests.surfaces.cli_answers import Ran, Run, a_rollout, a_snapshot
from tests.surfaces.fake_hive import Answer, FakeHive, Stream, fake_hive, problem


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeHive]:
    with fake_hive(tmp_path / "admin.sock") as hive:
        yield hive


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], server: FakeHive) -> Run:
    """Run a command against the scripted server."""

    def run(*arguments: str) -> Ran:
        status = main(["--socket", server.address, *arguments])
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return run


def did(verb: str, agent: str | None = "bob") -> Answer:
    return Answer({"agent": agent, "did": verb, "seq": 9})


def an_event(seq: int, kind: str, agent: str | None = None, **data: object) -> dict[str, object]:
    return {
        "seq": seq, "at": 101.0, "kind": kind, "agent": agent, "actor": "system", "data": data,
    }  # fmt: skip


def a_stream(*events: dict[str, object]) -> Stream:
    frames = [("hello", {"epoch": "e1", "seq": 5}), *(("event", event) for event in events)]
    return Stream("".join(f"event: {kind}\ndata: {json.dumps(data)}\n\n" for kind, data in frames))


def going(*names: str) -> dict[str, object]:
    return {name: {"incarnation": "x", "deadline": 200.0} for name in names}


@pytest.mark.parametrize(
    ("arguments", "path", "body", "said"),
    [
        (["stop", "bob"], "/api/agents/bob/stop", {}, "bob is held"),
        (["start", "bob"], "/api/agents/bob/start", {}, "bob is let go"),
        (
            ["restart", "bob", "--reason", "stuck", "--no-wait"],
            "/api/agents/bob/restart",
            {"reason": "stuck"},
            "under way",
        ),
        (["rebuild", "bob", "--no-wait"], "/api/agents/bob/rebuild", {}, "under way"),
        (
            ["pause", "bob", "--reason", "hot"],
            "/api/agents/bob/pause",
            {"reason": "hot"},
            "bob is paused",
        ),
        (["pause"], "/api/hive/pause", {}, "The hive is paused"),
        (["resume", "bob"], "/api/agents/bob/resume", {}, "bob is resumed"),
        (["resume"], "/api/hive/resume", {}, "The hive is resumed"),
        (["cancel", "bob"], "/api/agents/bob/cancel-turn", {}, "is being cancelled"),
        (["compact", "bob"], "/api/agents/bob/compact", {}, "bob compacts"),
        (["new-session", "bob"], "/api/agents/bob/new-session", {}, "a new conversation"),
        (["model", "bob", "opus"], "/api/agents/bob/model", {"model": "opus"}, "uses opus"),
        (
            ["model", "bob", "--declared"],
            "/api/agents/bob/model",
            {"model": None},
            "its declared model",
        ),
        (["destroy", "bob", "--yes"], "/api/agents/bob/destroy", {}, "bob is gone"),
        (["revive", "bob"], "/api/tombstones/bob/revive", {}, "bob is an agent of the hive again"),
        (["purge", "bob", "--yes"], "/api/tombstones/bob/purge", {}, "is deleted"),
        (
            ["restart", "--all", "--no-wait"],
            "/api/hive/restart",
            {"agents": None},
            "under way",
        ),
    ],
)
def test_a_command_asks_for_its_action_and_says_what_follows(
    ask: Run,
    server: FakeHive,
    arguments: list[str],
    path: str,
    body: object,
    said: str,
) -> None:
    server.answers("GET", "/api/state", Answer(a_snapshot()))
    server.answers("POST", path, did("it"))

    ran = ask(*arguments)

    assert (ran.status, ran.err) == (0, "")
    assert said in ran.out
    assert [asked.body for asked in server.asked_of(path)] == [body]


@pytest.mark.parametrize(
    "arguments",
    [
        ["restart"],
        ["restart", "bob", "--all"],
        ["rebuild"],
        ["model", "bob", "opus", "--declared"],
        ["stop"],
        ["logs", "bob", "-n", "0"],
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(
    ask: Run, server: FakeHive, arguments: list[str]
) -> None:
    assert ask(*arguments).status == 2
    assert server.asked == []


def test_one_agents_refusal_keeps_no_other_from_being_stopped(ask: Run, server: FakeHive) -> None:
    server.answers("POST", "/api/agents/eve/stop", problem("not_found", 404, "There is no eve."))
    server.answers("POST", "/api/agents/bob/stop", did("stop"))

    ran = ask("stop", "eve", "bob", "bob")

    assert (ran.status, ran.err) == (1, "hyperhive: There is no eve.\n")
    assert ran.out == "bob is held and stops.\n"
    assert len(server.asked) == 2


def test_what_was_done_and_what_was_refused_is_one_object(ask: Run, server: FakeHive) -> None:
    server.answers("POST", "/api/agents/eve/stop", problem("not_found", 404, "No.", "Look."))
    server.answers("POST", "/api/agents/bob/stop", did("stop"))

    told = json.loads(ask("stop", "eve", "bob", "--json").out)

    assert told == {
        "done": [{"agent": "bob", "did": "stop", "seq": 9}],
        "refused": [{"agent": "eve", "code": "not_found", "detail": "No.", "remedy": "Look."}],
    }


def test_the_model_in_use_is_shown(ask: Run, server: FakeHive) -> None:
    both = {"model": "sonnet", "declared_model": "sonnet"}
    server.answers("GET", "/api/state", Answer(a_snapshot(agent_facts=both)))

    assert ask("model", "bob").out == "sonnet\n"


def test_the_declared_model_is_shown_beside_another_one(ask: Run, server: FakeHive) -> None:
    both = {"model": "opus", "declared_model": "sonnet"}
    server.answers("GET", "/api/state", Answer(a_snapshot(agent_facts=both)))

    assert ask("model", "bob").out == "opus (declared: sonnet)\n"
    assert json.loads(ask("model", "bob", "--json").out) == {"agent": "bob", **both}
    assert "opus (declared: sonnet)" in ask("status").out


def test_an_unknown_agents_model_is_an_error_that_names_the_known(
    ask: Run, server: FakeHive
) -> None:
    server.answers("GET", "/api/state", Answer(a_snapshot()))

    ran = ask("model", "eve")

    assert ran.status == 1
    assert "bob" in ran.err


def test_spawn_names_the_approval_that_makes_the_agent(ask: Run, server: FakeHive) -> None:
    server.answers("POST", "/api/spawn", Answer({"id": 7, "state": "pending", "seq": 3}))

    ran = ask("spawn", "eve", "listens", "--model", "opus")

    assert (ran.status, ran.err) == (0, "")
    assert "hyperhive approve 7" in ran.out
    (asked,) = server.asked_of("/api/spawn")
    given = {"name": "eve", "description": "listens", "system_prompt": "", "model": "opus"}
    assert asked.body == given


def test_update_inputs_names_the_approval_that_shows_them(ask: Run, server: FakeHive) -> None:
    answer = Answer({"id": 7, "state": "pending", "seq": 3})
    server.answers("POST", "/api/hive/update-inputs", answer)

    ran = ask("update-inputs")

    assert (ran.status, ran.err) == (0, "")
    assert "hyperhive approve 7" in ran.out


def test_the_history_of_an_agent_ends_with_what_runs(ask: Run, server: FakeHive) -> None:
    deployed = [
        {"commit": letter * 40, "subject": said, "author": "queen", "at": 1.0, "tags": [tag]}
        for letter, said, tag in (("b", "the second", "deployed/7"), ("a", "the first", "x/1"))
    ]
    server.answers("GET", "/api/agents/eve/deployments", Answer({"deployments": deployed}))

    ran = ask("history", "eve")

    assert (ran.status, ran.err) == (0, "")
    assert ran.out.index("a" * 12) < ran.out.index("b" * 12)
    assert "deployed/7  the second" in ran.out


@pytest.mark.parametrize("command", ["destroy", "purge"])
def test_nobody_to_ask_means_that_nothing_is_destroyed(
    ask: Run, server: FakeHive, command: str
) -> None:
    ran = ask(command, "bob")

    assert (ran.status, server.asked) == (1, [])
    assert "--yes" in ran.err


@pytest.mark.parametrize(("answer", "status", "asked"), [("y\n", 0, 1), ("\n", 1, 0)])
def test_a_terminal_is_asked_before_anything_is_purged(
    ask: Run,
    server: FakeHive,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    status: int,
    asked: int,
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: answer.strip())
    server.answers("POST", "/api/tombstones/bob/purge", did("purge"))

    ran = ask("purge", "bob")

    assert (ran.status, len(server.asked)) == (status, asked)


def a_whole_restart(last: dict[str, object] | None) -> Stream:
    """Give the events of a restart; ``last`` is the record of its last event."""
    drained = a_rollout(phase="manager", cut=["bob"])
    others = a_rollout(
        phase="others",
        cut=["bob"],
        restarted=["queen"],
        going=going("alice", "bob"),
        waiting=[],
    )
    return a_stream(
        an_event(6, "rollout_changed", rollout=a_rollout()),
        an_event(7, "turn_ended", "alice", id=3, outcome="ok"),
        an_event(8, "rollout_changed", rollout=drained),
        an_event(9, "rollout_changed", rollout={**drained, "going": going("queen")}),
        an_event(10, "rollout_changed", rollout=others),
        an_event(11, "agent_state_changed", "alice", state="ready", reason=None, since=1.0),
        an_event(12, "agent_state_changed", "bob", state="crashed", reason="it", since=1.0),
        an_event(13, "rollout_changed", rollout=last),
    )


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (None, "it is crashed"),
        (
            a_rollout(
                phase="finished",
                cut=["bob"],
                restarted=["queen", "alice"],
                failed={"bob": "it was not ready in time"},
            ),
            "it was not ready in time",
        ),
    ],
    ids=["without a last record", "with a last record"],
)
def test_a_restart_of_all_is_told_until_it_is_finished(
    ask: Run, server: FakeHive, last: dict[str, object] | None, why: str
) -> None:
    server.answers("GET", "/api/state", Answer(a_snapshot()))
    server.answers("POST", "/api/hive/restart", did("restart", None))
    server.answers("GET", "/dashboard/stream", a_whole_restart(last))

    ran = ask("restart", "--all", "--reason", "new broom")

    told = [re.sub(r"^.*\d\d:\d\d  ", "", line) for line in ran.out.splitlines()]
    assert told == [
        "restarting queen, alice, bob: new broom",
        "waiting up to 1 min for the turns of bob",
        "alice ended its turn (ok)",
        "bob's turn was cut; its messages come again",
        "queen, the manager, is being restarted",
        "queen is back",
        "alice is being restarted",
        "bob is being restarted",
        "alice is back",
        f"bob did not come back: {why}",
        "finished: 2 restarted, 1 failed",
    ]
    assert ran.status == 1
    assert server.asked_of("/dashboard/stream")[0].target == "/dashboard/stream?after=5&epoch=e1"


def test_the_end_of_a_restart_is_one_object(ask: Run, server: FakeHive) -> None:
    server.answers("GET", "/api/state", Answer(a_snapshot()))
    server.answers("POST", "/api/hive/restart", did("restart", None))
    server.answers("GET", "/dashboard/stream", a_whole_restart(None))

    told = json.loads(ask("restart", "queen", "alice", "bob", "--json").out)

    assert told == {
        "reason": "new broom",
        "restarted": ["queen", "alice"],
        "failed": {"bob": "it is crashed"},
        "cut": ["bob"],
    }
    assert server.asked_of("/api/hive/restart")[0].body == {"agents": ["queen", "alice", "bob"]}


def test_the_end_of_an_earlier_restart_is_not_taken_for_the_new_ones(
    ask: Run, server: FakeHive
) -> None:
    before = a_snapshot(hive_facts={"rollout": a_rollout(id=2)})
    server.answers("GET", "/api/state", Answer(before))
    server.answers("POST", "/api/apply", Answer({"agents": {}, "seq": 5}))
    server.answers("POST", "/api/hive/restart", did("restart", None))
    stream = a_stream(
        an_event(6, "rollout_changed", rollout=a_rollout(id=2, phase="others")),
        an_event(7, "rollout_changed", rollout=None),
        an_event(8, "rollout_changed", rollout=a_rollout(id=8, order=["bob"])),
        an_event(9, "rollout_changed", rollout=None),
    )
    server.answers("GET", "/dashboard/stream", stream)

    ran = ask("rebuild", "--all")

    paths = [asked.path for asked in server.asked]
    assert paths == ["/api/state", "/api/apply", "/api/hive/restart", "/dashboard/stream"]
    assert "restarting bob" in ran.out
    assert "finished: 1 restarted" in ran.out
    assert ran.status == 0


@pytest.mark.parametrize(
    ("order", "events", "status", "said"),
    [
        ([], [], 0, "bob does not run: it starts from what is configured now."),
        (
            ["bob"],
            [
                an_event(6, "alert_raised", key="system:bob", text="the store is full"),
                an_event(7, "rollout_changed", rollout=None),
            ],
            1,
            "the store is full",
        ),
    ],
)
def test_a_rebuild_that_no_restart_follows_does_not_wait_for_one(
    ask: Run,
    server: FakeHive,
    order: list[str],
    events: list[dict[str, object]],
    status: int,
    said: str,
) -> None:
    server.answers("GET", "/api/state", Answer(a_snapshot()))
    done = {"agent": "bob", "did": "rebuild", "order": order, "seq": 5}
    server.answers("POST", "/api/agents/bob/rebuild", Answer(done))
    server.answers("GET", "/dashboard/stream", a_stream(*events))

    ran = ask("rebuild", "bob")

    assert ran.status == status
    assert said in ran.out + ran.err


def test_a_plan_is_a_table_of_actions_and_warnings(ask: Run, server: FakeHive) -> None:
    step = {"action": "restart", "agent": "bob", "reason": "its declaration changed"}
    server.answers("GET", "/api/plan", Answer({"actions": [step], "warnings": ["limits is set."]}))

    out = ask("plan").out

    assert "warning: limits is set." in out
    assert re.search(r"^restart +bob +its declaration changed$", out, re.MULTILINE)


def test_a_plan_of_another_file_names_it_whole(ask: Run, server: FakeHive, tmp_path: Path) -> None:
    (tmp_path / "other.toml").touch()
    server.answers("POST", "/api/plan", Answer({"actions": [], "warnings": []}))

    ran = ask("plan", str(tmp_path / "other.toml"))

    assert server.asked[0].body == {"path": str(tmp_path / "other.toml")}
    assert "Nothing to do" in ran.out


def test_apply_shows_its_plan_before_it_acts(ask: Run, server: FakeHive) -> None:
    step = {"action": "stop", "agent": "bob", "reason": "it is not declared"}
    server.answers("GET", "/api/plan", Answer({"actions": [step], "warnings": []}))
    server.answers(
        "POST", "/api/apply", Answer({"agents": {"added": [], "removed": ["bob"]}, "seq": 9})
    )

    ran = ask("apply")

    assert [asked.path for asked in server.asked] == ["/api/plan", "/api/apply"]
    assert ran.out.index("stop ") < ran.out.index("Applied: removed bob.")


def test_the_last_lines_of_a_log_are_printed_and_never_obeyed(ask: Run, server: FakeHive) -> None:
    server.answers("GET", "/api/agents/bob/logs", Answer({"lines": ["one", "t\x1b[2Jwo"]}))

    ran = ask("logs", "bob", "-n", "2")

    assert ran.out == "one\nt\ufffd[2Jwo\n"
    assert server.asked[0].target == "/api/agents/bob/logs?lines=2"


def test_a_followed_log_prints_each_line_once(
    ask: Run, server: FakeHive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOOK_SECONDS", 0.0)
    server.answers(
        "GET",
        "/api/agents/bob/logs",
        Answer({"lines": ["1", "2", "3"]}),
        problem("unavailable", 503, "Not now."),
        Answer({"lines": ["2", "3", "4"]}),
        problem("unauthorized", 401, "Enough."),
    )

    ran = ask("logs", "bob", "-n", "2", "--follow")

    assert ran.out == "2\n3\n4\n"
    assert ran.err.count("Not now.") == 1


@pytest.mark.parametrize(
    ("before", "now", "fresh"),
    [
        ([], ["a"], ["a"]),
        (["a"], ["a"], []),
        (["a", "b"], ["a", "b", "c"], ["c"]),
        (["a", "b"], ["b", "c"], ["c"]),
        (["a", "a"], ["a", "a", "a"], ["a"]),
        (["a"], ["x", "y"], ["x", "y"]),
        (["a"], [], []),
    ],
)
def test_what_was_written_since_is_what_the_last_look_did_not_have(
    before: list[str], now: list[str], fresh: list[str]
) -> None:
    assert logs.written_since(before, now) == fresh


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        ("agent_held", {"by": "operator", "at": 1.0}, "bob is held by operator"),
        ("agent_paused", {"pause": {"reason": "hot"}}, "bob is paused: hot"),
        ("agent_model_changed", {"model": None}, "bob uses its declared model"),
        ("agent_measured", {"bytes": 3 * 2**20}, "bob's files take 3.0 MiB"),
        ("day_began", {"spent_today_usd": 0.0}, "a new day of spending"),
        ("transient_set", {"action": "restarting", "reason": "x"}, "bob is restarting: x"),
        ("rollout_changed", {"rollout": None}, "the restart is finished"),
        ("rollout_changed", {"rollout": a_rollout()}, "restart (new broom): draining, 0 of 3 back"),
        ("tombstone_purged", {}, "what bob left is deleted"),
        ("agent_context_changed", {"context": {"tokens": 5, "window": 20}}, "bob's context: 25%"),
        ("box_probed", {"probe": {"differences": [], "remarks": []}}, "bob's box is as promised"),
        ("box_probed", {"probe": {"differences": ["a hole"]}}, "is not as promised; a hole"),
    ],
)
def test_what_happens_to_an_agent_is_told_in_words(
    ask: Run, server: FakeHive, kind: str, data: dict[str, object], line: str
) -> None:
    page = {"events": [an_event(4, kind, "bob", **data)], "more": False}
    server.answers("GET", "/dashboard/history", Answer(page))

    assert line in ask("events").out


EARLIER, WANTED, ANEW = "a" * 40, "b" * 40, "c" * 40


def redeploys(server: FakeHive, *events: dict[str, object]) -> None:
    """Let bob be a spawned agent that is restarted with an earlier state."""
    bob = {"name": "bob", "spawned": {"revision": EARLIER}}
    server.answers("GET", "/api/state", Answer({"seq": 8, "epoch": "e1", "agents": [bob]}))
    done = {"agent": "bob", "did": "redeploy", "revision": WANTED, "seq": 9}
    server.answers("POST", "/api/agents/bob/redeploy", Answer(done))
    server.answers("GET", "/dashboard/stream", a_stream(*events))


def runs(seq: int, revision: str) -> dict[str, object]:
    event = an_event(seq, "agent_changed", "bob")
    return event | {"data": {"agent": {"spawned": {"revision": revision}}}}


def test_a_redeployment_is_followed_until_the_agent_is_ready_with_it(
    ask: Run, server: FakeHive
) -> None:
    redeploys(server, runs(10, EARLIER), runs(11, WANTED), runs(12, ANEW))
    ran = ask("redeploy", "bob", "deployed/7")
    assert (ran.status, ran.err) == (0, "")
    assert f"bob runs deployed/7 again, deployed as {ANEW[:12]}." in ran.out
    (asked,) = server.asked_of("/api/agents/bob/redeploy")
    assert asked.body == {"revision": "deployed/7"}


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([an_event(10, "alert_raised", key="deploy:bob", text="It did not.")], "It did not."),
        ([runs(10, WANTED), runs(11, EARLIER)], "bob runs what it ran before"),
        ([an_event(10, "agent_removed", "bob")], "bob was removed meanwhile"),
    ],
)
def test_an_agent_that_does_not_come_up_with_it_fails_the_command(
    ask: Run, server: FakeHive, events: list[dict[str, object]], said: str
) -> None:
    redeploys(server, *events)
    ran = ask("redeploy", "bob", "deployed/7")
    assert ran.status == 1
    assert said in ran.err


def test_a_redeployment_is_not_waited_for_if_so_asked(ask: Run, server: FakeHive) -> None:
    redeploys(server)
    assert "hyperhive history bob" in ask("redeploy", "bob", "deployed/7", "--no-wait").out

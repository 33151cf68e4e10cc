"""The command line in process, against a scripted server."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from hyperhive.cli.main import main
from hyperhive.cli.program import SECTIONS, hyperhive
from tests.promises import promise
from tests.surfaces.cli_answers import Ran, Run, a_message, a_pause, a_rollout, a_snapshot, an_event
from tests.surfaces.fake_hive import Answer, FakeHive, Stream, fake_hive, problem

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
COMMANDS = [name for section in SECTIONS.values() for name in section]


@pytest.fixture(autouse=True)
def _a_bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HYPERHIVE_ADMIN_SOCKET", "HYPERHIVE_CONFIG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeHive]:
    with fake_hive(tmp_path / "admin.sock") as hive:
        yield hive


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in process; gives its status and both outputs."""

    def _run(*arguments: str) -> Ran:
        status = main(arguments)
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return _run


@pytest.fixture
def ask(run: Run, server: FakeHive) -> Run:
    """Run a command against the scripted server."""
    return lambda *arguments: run("--socket", server.address, *arguments)


def a_stream(*seqs: int) -> Stream:
    frames = [("hello", {"epoch": "e1", "seq": 5}), *(("event", an_event(seq)) for seq in seqs)]
    return Stream("".join(f"event: {kind}\ndata: {json.dumps(data)}\n\n" for kind, data in frames))


def test_help_names_every_command_and_what_it_does(run: Run) -> None:
    ran = run("--help")

    assert ran.status == 0
    for section in SECTIONS.values():
        for name, entry in section.items():
            assert re.search(rf"^  {name} +{re.escape(entry.summary)}$", ran.out, re.MULTILINE)


def test_no_arguments_show_help(run: Run) -> None:
    assert "Usage: hyperhive" in run().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(run: Run, name: str) -> None:
    ran = run(name, "--help")

    assert ran.status == 0
    assert f"Usage: hyperhive {name}" in ran.out


@pytest.mark.parametrize("arguments", [["--help"], ["events", "--help"], ["send", "--help"]])
@promise("C1")
def test_help_imports_neither_the_server_nor_the_transport(arguments: list[str]) -> None:
    code = (
        "import sys; from hyperhive.cli.main import main; status = main(sys.argv[1:]); "
        "heavy = {'pydantic', 'litestar', 'sqlalchemy', 'mcp', 'http.client', 'asyncio'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else status)"
    )

    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)

    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(("name", "module"), [("mcp", "bridge"), ("agent", "main")])
def test_the_programs_of_a_box_start_without_the_command_lines_library(
    name: str, module: str
) -> None:
    code = (
        "import sys, types; fake = types.ModuleType('fake'); fake.main = lambda: 7; "
        f"sys.modules['hyperhive.harness.{module}'] = fake; "
        "from hyperhive.cli.main import main; status = main(sys.argv[1:]); "
        "sys.exit('click' if 'click' in sys.modules else status)"
    )

    ran = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True)

    assert (ran.returncode, ran.stderr) == (7, "")


def test_the_command_lines_page_has_every_command_and_option() -> None:
    page = DOCS.read_text(encoding="utf-8")

    missing = [name for name in _everything_to_write(hyperhive, "hyperhive") if name not in page]

    assert missing == []


def test_the_command_lines_page_has_no_command_that_is_gone() -> None:
    page = DOCS.read_text(encoding="utf-8")

    headings = re.findall(r"^### `hyperhive ([a-z-]+)", page, re.MULTILINE)

    assert sorted(set(headings) - set(COMMANDS)) == []


def _everything_to_write(command: click.Command, path: str) -> Iterator[str]:
    ctx = click.Context(command)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield f"`{parameter.opts[0]}"
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            assert inner is not None
            yield f"`{path} {name}"
            yield from _everything_to_write(inner, f"{path} {name}")


@pytest.mark.parametrize(
    "arguments", [["--json", "status"], ["status", "--json"]], ids=["before", "after"]
)
def test_json_is_asked_for_on_either_side_of_the_command(
    ask: Run, server: FakeHive, arguments: list[str]
) -> None:
    server.answers("GET", "/api/state", Answer(a_snapshot()))

    assert json.loads(ask(*arguments).out) == a_snapshot()


def test_status_shows_agents_alerts_and_dead_messages(ask: Run, server: FakeHive) -> None:
    alert = {"key": "k", "severity": "warning", "text": "low disk", "agent": None, "raised_at": 1.0}
    told = a_snapshot(alerts=[alert], dead=[a_message(12, state="dead")])
    server.answers("GET", "/api/state", Answer(told))

    out = ask("status").out

    row = r"^bob +worker +scripted +- +busy +\S+ \S+ +4 +3 +0 +- +reading$"
    assert re.search(row, out, re.MULTILINE)
    assert "3 unread" in out
    assert "low disk" in out
    assert re.search(r"dead messages: 12\b", out)


def test_status_shows_what_keeps_an_agent_from_working(ask: Run, server: FakeHive) -> None:
    facts = {
        "held": {"by": "operator", "at": 1.0},
        "pauses": [a_pause(), a_pause(cause="rate_limit", reason="over", until=99.0)],
        "transient": "restarting",
        "model": "sonnet",
        "declared_model": "sonnet",
        "context": {"tokens": 86_000, "window": 200_000},
    }
    server.answers("GET", "/api/state", Answer(a_snapshot(agent_facts=facts)))

    out = ask("status").out

    assert re.search(r"scripted +sonnet +busy .* 43% +restarting; held by operator since", out)
    assert "paused: too hot; reading" in out
    assert "over" not in out


def test_status_shows_how_the_whole_hive_stands(ask: Run, server: FakeHive) -> None:
    rollout = a_rollout(
        phase="others",
        restarted=["queen"],
        going={"alice": {"incarnation": "x", "deadline": 1.0}},
        waiting=["bob"],
    )
    gone = {
        "name": "eve", "role": "worker", "description": "Listened.", "removed_at": 1.0,
        "bytes": 3 * 2**20,
    }  # fmt: skip
    facts = {"pauses": [a_pause()], "rollout": rollout, "spent_today_usd": 1.5}
    server.answers("GET", "/api/state", Answer(a_snapshot(hive_facts=facts, tombstones=[gone])))

    out = ask("status").out

    assert "1.50 USD today" in out
    assert "The hive is paused: too hot" in out
    assert "new broom; 1 of 3 back; being restarted: alice; waiting: bob" in out
    assert re.search(r"eve +worker .* 3.0 MiB +Listened\.$", out, re.MULTILINE)


def test_a_hive_that_does_not_run_is_one_line_that_says_what_to_start(
    run: Run, tmp_path: Path
) -> None:
    ran = run("--socket", str(tmp_path / "none"), "status")

    assert (ran.status, ran.out) == (1, "")
    assert re.fullmatch(r"hyperhive: No hive answers at .*hyperhive up.*\n", ran.err)


def test_an_error_is_an_object_where_json_was_asked_for(run: Run, tmp_path: Path) -> None:
    ran = run("--socket", str(tmp_path / "none"), "status", "--json")

    assert json.loads(ran.err)["code"] == "unavailable"


def test_a_refusal_of_the_server_is_shown_with_its_remedy(ask: Run, server: FakeHive) -> None:
    refusal = problem("not_found", 404, "There is no recipient 'bbo'.", "Known: bob.")
    server.answers("POST", "/api/messages", refusal)

    ran = ask("send", "bbo", "hi")

    assert ran.status == 1
    assert ran.err == "hyperhive: There is no recipient 'bbo'. Known: bob.\n"


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["send", "bob"], ["requeue", "x"], ["turns"], ["mcp", "x"]]
)
def test_wrong_usage_is_one_line_and_status_two(run: Run, arguments: list[str]) -> None:
    ran = run(*arguments)

    assert ran.status == 2
    assert ran.err.count("\n") == 1
    assert "--help`" in ran.err


def test_an_interrupt_ends_quietly(
    ask: Run, server: FakeHive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hyperhive.client.operator.OperatorClient.state", interrupted)

    ran = ask("status")

    assert (ran.status, ran.out, ran.err.strip()) == (130, "", "")


def test_a_reader_that_has_enough_is_no_error_to_speak_of(server: FakeHive) -> None:
    code = "import sys; from hyperhive.cli.main import main; sys.exit(main(sys.argv[1:]))"
    server.answers("GET", "/api/state", Answer(a_snapshot()))
    command = [sys.executable, "-c", code, "--socket", server.address, "status"]
    reading, writing = os.pipe()
    os.close(reading)

    ran = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)

    assert (ran.returncode, ran.stderr) == (1, "")


def test_a_message_is_sent_with_its_key_and_what_it_answers(ask: Run, server: FakeHive) -> None:
    sent = {"id": 9, "ids": {}, "to": "bob", "receiver": "ready", "left_out": [], "seq": 1}
    server.answers("POST", "/api/messages", Answer(sent, 201))

    ran = ask("send", "bob", "hi", "--key", "k", "--in-reply-to", "3")

    assert ran.out == "Message 9 is in the inbox of bob, who is ready.\n"
    assert server.asked[0].body == {"to": "bob", "body": "hi", "key": "k", "in_reply_to": 3}


def test_a_broadcast_says_whom_it_reached_and_whom_not(ask: Run, server: FakeHive) -> None:
    ids = {"bob": 1, "alice": 2}
    sent = {"id": None, "ids": ids, "to": "*", "receiver": None, "left_out": ["eve"], "seq": 1}
    server.answers("POST", "/api/messages", Answer(sent, 201))

    assert ask("send", "*", "hi").out == "Sent to bob (1), alice (2). Left out: eve.\n"


def test_a_dash_reads_the_body_from_standard_input(
    ask: Run, server: FakeHive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("grüß\ndich".encode())))
    server.answers("POST", "/api/messages", Answer({"id": 1}, 201))

    ask("send", "bob", "-", "--json")

    assert server.asked[0].body["body"] == "grüß\ndich"


def test_standard_input_that_is_no_text_is_refused_before_anything_is_sent(
    ask: Run, server: FakeHive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))

    ran = ask("send", "bob", "-")

    assert (ran.status, server.asked) == (1, [])
    assert "UTF-8" in ran.err


def test_messages_are_listed_oldest_first_by_the_filters(ask: Run, server: FakeHive) -> None:
    page = {"messages": [a_message(8), a_message(7)], "more": True}
    server.answers("GET", "/api/messages", Answer(page))

    out = ask("messages", "--agent", "bob", "--state", "queued").out

    assert out.index("\n7 ") < out.index("\n8 ")
    assert "--before 7" in out
    assert server.asked[0].target == "/api/messages?limit=50&agent=bob&state=queued"


def test_a_message_is_shown_with_its_body_and_history(ask: Run, server: FakeHive) -> None:
    detail = a_message(
        body="line 1\nline 2", history=[an_event(3, "message_acked", id=7, to="bob")]
    )
    server.answers("GET", "/api/messages/7", Answer(detail))

    out = ask("messages", "show", "7").out

    assert "line 1\nline 2" in out
    assert "7 was handled by bob" in out


def test_what_an_agent_wrote_cannot_command_the_terminal(ask: Run, server: FakeHive) -> None:
    nasty = "a\x1b[2Jb\x9bc\u202ed\re"
    server.answers(
        "GET", "/api/messages/7", Answer(a_message(body=nasty, preview=nasty, history=[]))
    )
    server.answers(
        "GET", "/api/messages", Answer({"messages": [a_message(preview=nasty)], "more": False})
    )

    out = ask("messages", "show", "7").out + ask("messages").out

    assert not set(out) & set("\x1b\x9b\u202e\r")


@pytest.mark.parametrize(("verb", "state"), [("requeue", "queued"), ("drop", "dropped")])
def test_a_dead_message_is_given_back_or_up(
    ask: Run, server: FakeHive, verb: str, state: str
) -> None:
    server.answers("POST", f"/api/messages/7/{verb}", Answer({"id": 7, "state": state, "seq": 1}))

    assert f"Message 7 is {state}" in ask(verb, "7").out


def test_past_events_are_told_oldest_first(ask: Run, server: FakeHive) -> None:
    page = {"events": [an_event(4), an_event(3)], "more": True}
    server.answers("GET", "/dashboard/history", Answer(page))

    out = ask("events", "--limit", "2").out

    assert [line.split()[0] for line in out.splitlines()] == ["3", "4"]


def test_events_after_a_position_are_read_page_by_page(ask: Run, server: FakeHive) -> None:
    first = {"events": [an_event(6), an_event(5)], "more": True}
    second = {"events": [an_event(4), an_event(3)], "more": True}
    server.answers("GET", "/dashboard/history", Answer(first), Answer(second))

    told = json.loads(ask("events", "--after", "3", "--json").out)

    assert [event["seq"] for event in told["events"]] == [4, 5, 6]


def test_followed_events_are_lines_and_no_break_is_heard_of_twice(
    ask: Run, server: FakeHive
) -> None:
    server.answers("GET", "/api/state", Answer(a_snapshot()))
    end = problem("unauthorized", 401, "Enough.")
    server.answers("GET", "/dashboard/stream", a_stream(6, 7), a_stream(8), end)

    ran = ask("events", "--follow", "--after", "5", "--json")

    assert [json.loads(line)["seq"] for line in ran.out.splitlines()] == [6, 7, 8]
    assert server.asked[2].headers["Last-Event-ID"] == "e1:7"


def test_following_goes_on_after_a_reset(ask: Run, server: FakeHive) -> None:
    server.answers("GET", "/api/state", Answer(a_snapshot()), Answer(a_snapshot(seq=9, epoch="e2")))
    reset = Stream('event: reset\ndata: {"reason": "epoch"}\n\n')
    end = problem("unauthorized", 401, "Enough.")
    server.answers("GET", "/dashboard/stream", reset, end)

    ran = ask("events", "--follow", "--after", "5")

    assert "backup was restored" in ran.err
    assert server.asked[-1].target == "/dashboard/stream?after=9&epoch=e2"


def test_an_event_of_a_newer_server_is_told_by_its_name(ask: Run, server: FakeHive) -> None:
    page = {"events": [an_event(4, "moon_rose", full=True)], "more": False}
    server.answers("GET", "/dashboard/history", Answer(page))

    assert "moon_rose bob full=True" in ask("events").out


def test_turns_are_listed_with_their_ends(ask: Run, server: FakeHive) -> None:
    turn = {
        "id": 4, "agent": "bob", "started_at": 1.0, "ended_at": 63.0, "outcome": "failed",
        "error": "exit status 3", "usage": None, "tools": {"send": 2}, "messages": [7, 8],
    }  # fmt: skip
    server.answers("GET", "/api/agents/bob/turns", Answer({"turns": [turn], "more": False}))

    out = ask("turns", "bob").out

    assert re.search(r"4 .* 1 min 2 s +failed +7,8 +- +send:2 +exit status 3$", out, re.MULTILINE)


def test_a_transcript_is_read_to_its_end(ask: Run, server: FakeHive) -> None:
    def line(n: int) -> dict[str, object]:
        return {"n": n, "at": 1.0, "kind": "text", "data": {"text": f"line {n}"}}

    server.answers(
        "GET",
        "/api/turns/4/events",
        Answer({"events": [line(0)], "more": True}),
        Answer({"events": [line(1)], "more": False}),
    )

    out = ask("turns", "show", "4").out

    assert re.search(r"line 0\n.*line 1\n", out)
    assert "after=0" in server.asked[1].target


def test_the_audit_log_is_listed(ask: Run, server: FakeHive) -> None:
    entry = {
        "id": 1,
        "at": 1.0,
        "actor": "operator",
        "via": "http",
        "verb": "drop",
        "subject": "7",
        "detail": None,
    }
    server.answers("GET", "/api/audit", Answer({"entries": [entry], "more": False}))

    assert re.search(r"operator +http +drop +7$", ask("audit").out, re.MULTILINE)


def test_a_running_hive_makes_its_own_backup(ask: Run, server: FakeHive) -> None:
    server.answers("POST", "/api/backup", Answer({"path": "/b.db", "bytes": 10, "seq": 5}))

    assert ask("backup").out == "Backed up to /b.db (10 bytes, up to event 5).\n"


def test_a_running_hive_is_given_the_whole_path_of_what_to_restore(
    ask: Run, server: FakeHive, tmp_path: Path
) -> None:
    (tmp_path / "b.db").touch()
    server.answers("POST", "/api/restore", Answer({"epoch": "e2", "saved": "/old.db"}))

    ran = ask("restore", "b.db")

    assert server.asked[0].body == {"path": str(tmp_path / "b.db")}
    assert "/old.db" in ran.out


@pytest.fixture
def bootstrap(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in for the module that builds servers."""
    module = ModuleType("hyperhive.bootstrap")
    monkeypatch.setitem(sys.modules, "hyperhive.bootstrap", module)
    monkeypatch.setattr("hyperhive.bootstrap", module, raising=False)
    return module


def test_a_hive_that_does_not_run_is_restored_on_its_files(
    run: Run, tmp_path: Path, bootstrap: ModuleType
) -> None:
    (tmp_path / "hive.toml").write_text('runDir = "run"\n')
    (tmp_path / "b.db").touch()
    given: list[tuple[Path, Path]] = []

    def restore_offline(config: Path, file: Path) -> dict[str, object]:
        given.append((config, file))
        return {"epoch": "e2", "saved": "/old.db"}

    bootstrap.restore_offline = restore_offline  # type: ignore[attr-defined] # a stand-in

    ran = run("restore", "b.db")

    assert "/old.db" in ran.out
    assert given == [(tmp_path / "hive.toml", tmp_path / "b.db")]


def test_a_hive_that_does_not_run_is_backed_up_from_its_files(
    run: Run, tmp_path: Path, bootstrap: ModuleType
) -> None:
    (tmp_path / "hive.toml").write_text('runDir = "run"\n')
    made = {"path": "/b.db", "bytes": 10, "seq": 5}
    bootstrap.backup_offline = lambda _: made  # type: ignore[attr-defined] # a stand-in

    assert run("backup").out == "Backed up to /b.db (10 bytes, up to event 5).\n"


def test_files_are_left_alone_when_a_server_was_named(
    run: Run, tmp_path: Path, bootstrap: ModuleType
) -> None:
    (tmp_path / "hive.toml").write_text('runDir = "run"\n')
    (tmp_path / "b.db").touch()
    bootstrap.restore_offline = pytest.fail  # type: ignore[attr-defined] # a stand-in

    ran = run("--socket", "elsewhere.sock", "restore", "b.db")

    assert ran.status == 1


@pytest.mark.parametrize("command", ["up", "serve"])
def test_a_server_is_run_on_the_declaration_that_is_found(
    run: Run, tmp_path: Path, bootstrap: ModuleType, command: str
) -> None:
    (tmp_path / "hive.json").write_text("{}")
    given: list[Path] = []
    setattr(bootstrap, command, given.append)

    assert run(command).status == 0
    assert given == [tmp_path / "hive.json"]


def test_a_login_link_is_printed_alone(ask: Run, server: FakeHive) -> None:
    server.answers("POST", "/api/login-link", Answer({"url": "http://x/login/t"}, 201))

    assert ask("login-link").out == "http://x/login/t\n"


def test_the_demo_ends_with_its_own_status(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("hyperhive.demo")
    module.main = lambda headless, directory, port, **_: 3 if (headless, port) == (True, 0) else 0  # type: ignore[attr-defined] # a stand-in
    monkeypatch.setitem(sys.modules, "hyperhive.demo", module)
    monkeypatch.setattr("hyperhive.demo", module, raising=False)

    assert run("demo", "--headless", "--port", "0").status == 3


def test_the_socket_is_named_by_the_declarations_run_directory(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "etc" / "hive.toml").write_text('runDir = "../run"\n')
    monkeypatch.setenv("HYPERHIVE_CONFIG", "etc/hive.toml")

    with fake_hive(tmp_path / "run" / "admin.sock") as server:
        server.answers("GET", "/api/state", Answer(a_snapshot()))

        assert run("status").status == 0


def test_a_named_socket_comes_before_the_environments(
    ask: Run, server: FakeHive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYPERHIVE_ADMIN_SOCKET", "/nowhere")
    server.answers("GET", "/api/state", Answer(a_snapshot()))

    assert ask("status").status == 0


@pytest.mark.parametrize("text", ["runDir = 3\n", "runDir = \n", "\xff"])
def test_a_declaration_that_cannot_be_read_is_an_error_that_names_the_check(
    run: Run, tmp_path: Path, text: str
) -> None:
    (tmp_path / "hive.toml").write_bytes(text.encode("latin-1"))

    ran = run("status")

    assert ran.status == 1
    assert "hyperhive check-config" in ran.err
    assert ran.err.count("\n") == 1

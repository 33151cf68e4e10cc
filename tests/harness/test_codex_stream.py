"""What Codex printed becomes the events and the end of a turn.

The lines are real ones, of runs against a scripted model; see ``tests/clients/fixtures``.
"""

from datetime import UTC, datetime

import pytest

from hyperhive.domain.turns import TurnEventKind, TurnOutcome
from hyperhive.harness.drivers.cli_ends import End, Trouble
from hyperhive.harness.drivers.cli_files import Conversation
from hyperhive.harness.drivers.codex_stream import CodexStream, read_failure
from hyperhive.harness.drivers.port import Usage
from hyperhive.harness.drivers.processes import Line
from tests.harness.cli_fixtures import Transcript, lines_of, play

NOW = datetime(2026, 11, 22, 8, 56, tzinfo=UTC)


@pytest.fixture
def seen() -> Transcript:
    return Transcript()


@pytest.fixture
def stream(seen: Transcript) -> CodexStream:
    return CodexStream(seen.emit, seen.sessions.append)


def read(stream: CodexStream, name: str) -> None:
    play(stream, *lines_of("codex", name))


def test_a_turn_is_shown_in_the_order_in_which_it_happened(
    stream: CodexStream, seen: Transcript
) -> None:
    read(stream, "recv-send")
    kinds = [kind for kind, _ in seen.events if kind is not TurnEventKind.NOTE]
    assert kinds == [
        TurnEventKind.THINKING,
        TurnEventKind.TEXT,
        TurnEventKind.TOOL_CALL,
        TurnEventKind.TOOL_RESULT,
        TurnEventKind.TOOL_CALL,
        TurnEventKind.TOOL_RESULT,
        TurnEventKind.TEXT,
    ]


def test_a_tool_of_the_hive_has_the_name_it_has_everywhere(stream: CodexStream) -> None:
    read(stream, "recv-send")
    assert stream.tools == {"mcp__hyperhive__recv": 1, "mcp__hyperhive__send": 1}


def test_a_refused_tool_call_is_an_error_result_and_no_end(
    stream: CodexStream, seen: Transcript
) -> None:
    read(stream, "tool-error")
    result = seen.of(TurnEventKind.TOOL_RESULT)[0]
    assert result["is_error"] is True
    assert "no recipient 'nobody'" in result["result"]
    assert stream.end(0) == End()


def test_a_command_is_shown_with_its_output_and_status(
    stream: CodexStream, seen: Transcript
) -> None:
    read(stream, "shell")
    assert "touch" in seen.of(TurnEventKind.TOOL_CALL)[0]["arguments"]["command"]
    assert seen.of(TurnEventKind.TOOL_RESULT)[0]["result"] == "made\nagent\n[exit 0]"


def test_usage_is_what_this_turn_took_not_the_whole_conversation(seen: Transcript) -> None:
    before = Conversation("01a2", input_tokens=50_000, output_tokens=40)
    stream = CodexStream(seen.emit, seen.sessions.append, before)
    read(stream, "recv-send")
    assert stream.usage() == Usage(207, 3)


def test_a_conversation_that_counts_anew_is_counted_whole(seen: Transcript) -> None:
    stream = CodexStream(seen.emit, seen.sessions.append, Conversation("01a2", 99_000_000, 40))
    read(stream, "recv-send")
    assert stream.usage() == Usage(50_207, 43)


def test_the_conversation_is_known_from_its_first_line(
    stream: CodexStream, seen: Transcript
) -> None:
    play(stream, lines_of("codex", "recv-send")[0])
    assert seen.sessions == ["01a20277-26d0-7121-8fc9-61e0072741e6"]


@pytest.mark.parametrize(
    ("name", "status", "trouble"),
    [
        ("recv-send", 0, None),
        ("tool-error", 0, None),
        ("shell", 0, None),
        ("broken-servers", 0, None),
        ("rate-limited", 1, Trouble.RATE_LIMITED),
        ("rate-limited-waiting", -2, Trouble.RATE_LIMITED),
        ("usage-limit", 1, Trouble.RATE_LIMITED),
        ("overloaded", 1, Trouble.UNAVAILABLE),
        ("at-capacity", 1, Trouble.UNAVAILABLE),
        ("cut", 1, Trouble.UNAVAILABLE),
        ("refused", 1, Trouble.NOT_LOGGED_IN),
        ("unpaid", 1, Trouble.UNPAID),
        ("too-long", 1, Trouble.TOO_LONG),
        ("bad-request", 1, Trouble.OTHER),
        ("rate-limit-exceeded", -15, Trouble.OTHER),
    ],
)
def test_how_a_run_ended_is_read_from_its_last_lines(
    stream: CodexStream, name: str, status: int, trouble: Trouble | None
) -> None:
    read(stream, name)
    assert stream.end(status).trouble == trouble


@pytest.mark.parametrize("name", ["rate-limited-waiting", "refused"])
def test_what_it_would_only_wait_for_is_hopeless(stream: CodexStream, name: str) -> None:
    read(stream, name)
    assert stream.hopeless is not None


def test_an_overload_is_not_hopeless(stream: CodexStream) -> None:
    read(stream, "overloaded")
    assert stream.hopeless is None


@pytest.mark.parametrize(
    ("words", "at"),
    [
        ("Try again at 9:56 AM.", datetime(2026, 11, 22, 9, 56, tzinfo=UTC)),
        ("Try again at 8:15 AM.", datetime(2026, 11, 23, 8, 15, tzinfo=UTC)),
        ("or try again at Dec 3rd, 2026 1:05 PM.", datetime(2026, 12, 3, 13, 5, tzinfo=UTC)),
    ],
)
def test_a_usage_limit_says_when_it_ends(words: str, at: datetime) -> None:
    end = read_failure(f"You’ve hit your usage limit. {words}", NOW)  # noqa: RUF001
    assert end.resets_at == at.timestamp()


def test_a_credential_of_ones_own_provider_that_is_not_there_is_a_login_with_what_to_do() -> None:
    result = read_failure("Missing environment variable: `CORP_KEY`.").result(None, {})
    assert result.outcome is TurnOutcome.NEEDS_LOGIN
    assert "`CORP_KEY`. Declare its file" in str(result.error)


def test_a_time_that_makes_no_sense_is_no_time() -> None:
    end = read_failure("You've hit your usage limit. Try again at 99:99 PM.", NOW)
    assert (end.trouble, end.resets_at) == (Trouble.RATE_LIMITED, None)


def test_a_text_of_the_agent_about_rate_limits_is_only_a_text(stream: CodexStream) -> None:
    text = "unexpected status 401 Unauthorized; You've hit your usage limit."
    item = {"id": "item_0", "type": "agent_message", "text": text}
    play(stream, {"type": "item.completed", "item": item}, ended())
    assert stream.end(0) == End()


def test_a_failure_that_quotes_another_in_its_midst_is_not_that_other() -> None:
    end = read_failure("the tool said: unexpected status 401 Unauthorized")
    assert end.trouble is Trouble.OTHER


def test_a_server_that_did_not_come_up_is_an_alert(stream: CodexStream, seen: Transcript) -> None:
    text = (
        "2026-11-22T09:05:57.583940Z  WARN codex_mcp::rmcp_client: MCP server startup failed "
        'server_name="broken" error=No such file or directory (os error 2)'
    )
    stream.take_note(Line(text, is_cut=False))
    alert = seen.of(TurnEventKind.NOTE)[0]
    assert (alert["alert"], alert["mcp_server"]) == (True, "broken")


def test_a_conversation_that_is_gone_is_known_from_standard_error(stream: CodexStream) -> None:
    text = "Error: thread/resume: thread/resume failed: no rollout found for thread id 01a2"
    stream.take_note(Line(text, is_cut=False))
    assert stream.end(1).trouble is Trouble.NO_SESSION


@pytest.mark.parametrize(
    "line",
    ["not json", '{"type": "item.comp', '{"type": "wholly.new"}', "[" * 100_000],
)
def test_a_line_that_cannot_be_read_is_shown_and_changes_nothing(
    stream: CodexStream, seen: Transcript, line: str
) -> None:
    play(stream, line, ended())
    assert seen.of(TurnEventKind.NOTE)[0]["unread"] == line[:2000]
    assert stream.end(0) == End()


@pytest.mark.parametrize(
    "line",
    [
        {"type": "item.completed"},
        {"type": "item.completed", "item": {"type": "mcp_tool_call", "result": [], "error": 1}},
        {"type": "item.completed", "item": {"type": "todo_list", "items": [1]}},
        {"type": "item.started", "item": {"type": "wholly_new"}},
        {"type": "thread.started", "thread_id": 7},
    ],
)
def test_a_line_of_another_shape_ends_nothing(stream: CodexStream, line: dict[str, object]) -> None:
    play(stream, line, ended())
    assert stream.end(0) == End()


def test_an_end_without_a_result_is_a_failure_even_with_status_0(stream: CodexStream) -> None:
    play(stream, {"type": "turn.started"})
    assert stream.end(0).trouble is Trouble.OTHER


def ended() -> dict[str, object]:
    return {"type": "turn.completed", "usage": {"input_tokens": 1, "output_tokens": 1}}

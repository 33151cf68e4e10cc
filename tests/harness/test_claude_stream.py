"""What Claude Code printed becomes the events and the end of a turn.

The lines are real ones, of runs against a scripted model; see ``tests/clients/fixtures``.
"""

import pytest

from hyperhive.domain.turns import TurnEventKind, TurnOutcome
from hyperhive.harness.drivers.claude_stream import ClaudeStream
from hyperhive.harness.drivers.cli_ends import OUTCOMES, End, Trouble
from hyperhive.harness.drivers.processes import Line
from tests.harness.cli_fixtures import Transcript, lines_of, play


@pytest.fixture
def seen() -> Transcript:
    return Transcript()


@pytest.fixture
def stream(seen: Transcript) -> ClaudeStream:
    return ClaudeStream(seen.emit, seen.sessions.append)


def read(stream: ClaudeStream, name: str) -> None:
    play(stream, *lines_of("claude", name))


def test_a_turn_is_shown_in_the_order_in_which_it_happened(
    stream: ClaudeStream, seen: Transcript
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


def test_a_tool_call_has_its_name_and_arguments(stream: ClaudeStream, seen: Transcript) -> None:
    read(stream, "recv-send")
    call = seen.of(TurnEventKind.TOOL_CALL)[1]
    assert call["name"] == "mcp__hyperhive__send"
    assert call["arguments"] == {"to": "operator", "body": "got first hello"}


def test_a_tool_result_names_its_tool(stream: ClaudeStream, seen: Transcript) -> None:
    read(stream, "recv-send")
    result = seen.of(TurnEventKind.TOOL_RESULT)[0]
    assert (result["name"], result["is_error"]) == ("mcp__hyperhive__recv", False)
    assert "first hello" in result["result"]


def test_the_tools_of_a_turn_are_counted(stream: ClaudeStream) -> None:
    read(stream, "recv-send")
    assert stream.tools == {"mcp__hyperhive__recv": 1, "mcp__hyperhive__send": 1}


def test_usage_holds_what_all_inferences_took_caches_included(stream: ClaudeStream) -> None:
    read(stream, "recv-send")
    usage = stream.usage()
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (50_207, 43)
    assert usage.cost_usd == pytest.approx(0.02711)


def test_the_context_is_that_of_the_last_inference_and_not_the_bill(stream: ClaudeStream) -> None:
    read(stream, "recv-send")
    assert (stream.context_tokens, stream.context_window) == (50_008, 1_000_000)


def test_the_conversation_is_known_from_its_first_line(
    stream: ClaudeStream, seen: Transcript
) -> None:
    play(stream, lines_of("claude", "recv-send")[0])
    assert seen.sessions == ["c0389135-4466-4f94-924b-06018941ef0a"]


def test_a_refused_tool_call_is_an_error_result_and_no_end(
    stream: ClaudeStream, seen: Transcript
) -> None:
    read(stream, "tool-error")
    assert seen.of(TurnEventKind.TOOL_RESULT)[0]["is_error"] is True
    assert stream.end(0) == End()


@pytest.mark.parametrize(
    ("name", "status", "trouble"),
    [
        ("recv-send", 0, None),
        ("tool-error", 0, None),
        ("fallback", 0, None),
        ("compacted", 0, None),
        ("denied", 0, None),
        ("broken-servers", 0, None),
        ("rate-limited", 1, Trouble.RATE_LIMITED),
        ("rate-limited-until", 1, Trouble.RATE_LIMITED),
        ("overloaded", 1, Trouble.UNAVAILABLE),
        ("unreachable", 1, Trouble.UNAVAILABLE),
        ("cut", 1, Trouble.UNAVAILABLE),
        ("not-logged-in", 1, Trouble.NOT_LOGGED_IN),
        ("refused", 1, Trouble.NOT_LOGGED_IN),
        ("refused-again", -2, Trouble.NOT_LOGGED_IN),
        ("unpaid", 1, Trouble.UNPAID),
        ("too-long", 1, Trouble.TOO_LONG),
        ("spent", 1, Trouble.SPENT),
        ("no-session", 1, Trouble.NO_SESSION),
        ("failed-midway", 1, Trouble.OTHER),
        ("interrupted", 0, Trouble.OTHER),
        ("interrupted-tool", 0, Trouble.OTHER),
        ("terminated", 143, Trouble.OTHER),
    ],
)
def test_how_a_run_ended_is_read_from_its_last_lines(
    stream: ClaudeStream, name: str, status: int, trouble: Trouble | None
) -> None:
    read(stream, name)
    assert stream.end(status).trouble == trouble


def test_a_rate_limit_says_when_it_ends(stream: ClaudeStream) -> None:
    read(stream, "rate-limited-until")
    end = stream.end(1)
    assert end.resets_at == 1795340990
    assert "until 2026-11-22T09:49:50Z" in end.describe()


def test_a_rate_limit_without_a_time_names_none(stream: ClaudeStream) -> None:
    read(stream, "rate-limited")
    assert stream.end(1).resets_at is None


def test_a_credential_refused_twice_is_not_tried_for_minutes(stream: ClaudeStream) -> None:
    retries = lines_of("claude", "refused-again")
    play(stream, *retries[:2])
    first = stream.hopeless
    play(stream, retries[2])
    assert (first, stream.hopeless is not None) == (None, True)


def test_an_error_of_the_program_is_an_error_and_no_text_of_the_agent(
    stream: ClaudeStream, seen: Transcript
) -> None:
    read(stream, "rate-limited")
    assert seen.of(TurnEventKind.TEXT) == []
    assert seen.of(TurnEventKind.ERROR)[0]["error"] == "rate_limit"


def test_a_text_about_rate_limits_is_only_a_text(stream: ClaudeStream) -> None:
    text = "API Error: Request rejected (429) · rate_limit · authentication_failed"
    play(stream, said(text), ended())
    assert stream.end(0) == End()


def test_a_retry_is_a_note(stream: ClaudeStream, seen: Transcript) -> None:
    read(stream, "overloaded")
    assert any("529, overloaded" in text for text in seen.notes)


def test_a_server_that_did_not_come_up_is_an_alert(stream: ClaudeStream, seen: Transcript) -> None:
    read(stream, "broken-servers")
    alerts = [data["mcp_server"] for data in seen.of(TurnEventKind.NOTE) if data.get("alert")]
    assert alerts == ["broken", "exits", "web"]


def test_a_turn_without_the_hives_own_tools_is_hopeless(stream: ClaudeStream) -> None:
    servers = [{"name": "hyperhive", "status": "failed"}]
    play(stream, {"type": "system", "subtype": "init", "mcp_servers": servers})
    assert stream.hopeless is not None
    assert "tools" in stream.end(0).describe()


def test_the_skills_it_found_are_shown(stream: ClaudeStream, seen: Transcript) -> None:
    read(stream, "skills")
    assert "greet" in seen.of(TurnEventKind.NOTE)[0]["skills"]


def test_a_denied_tool_is_noted(stream: ClaudeStream, seen: Transcript) -> None:
    read(stream, "denied")
    assert any("Bash was denied" in text for text in seen.notes)


def test_a_compaction_is_noted_and_the_context_is_what_is_left(
    stream: ClaudeStream, seen: Transcript
) -> None:
    read(stream, "compacted")
    assert "The conversation was compacted: 120 tokens became 655." in seen.notes
    assert stream.context_tokens == 655


def test_what_a_helper_says_is_marked_and_does_not_count_as_context(
    stream: ClaudeStream, seen: Transcript
) -> None:
    play(stream, {**said("from a helper", tokens=9_000), "parent_tool_use_id": "toolu_1"})
    assert seen.of(TurnEventKind.TEXT)[0]["parent"] == "toolu_1"
    assert stream.context_tokens is None


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        '{"type": "assistant", "mess',
        "[1, 2]",
        '{"type": "wholly_new", "x": 1}',
        '{"type": "system", "subtype": "wholly_new"}',
        '{"no": "type"}',
        "[" * 100_000,
    ],
)
def test_a_line_that_cannot_be_read_is_shown_and_changes_nothing(
    stream: ClaudeStream, seen: Transcript, line: str
) -> None:
    play(stream, line, ended())
    assert seen.of(TurnEventKind.NOTE)[0]["unread"] == line[:2000]
    assert stream.end(0) == End()


@pytest.mark.parametrize(
    "line",
    [
        {"type": "assistant"},
        {"type": "assistant", "message": "text"},
        {"type": "assistant", "message": {"content": [None, {"type": "new"}], "usage": 3}},
        {"type": "user", "message": {"content": [{"type": "tool_result", "content": [3]}]}},
        {"type": "system", "subtype": "init", "mcp_servers": {"a": 1}, "session_id": 7},
        {"type": "system", "subtype": "api_retry", "attempt": "x", "error": None},
        {"type": "rate_limit_event", "rate_limit_info": []},
        {"type": "result", "is_error": "?", "modelUsage": {"m": 1}, "errors": [None]},
    ],
)
def test_a_line_of_another_shape_ends_nothing(
    stream: ClaudeStream, line: dict[str, object]
) -> None:
    play(stream, line, ended())
    assert stream.end(0) == End()


def test_a_blank_line_is_nothing(stream: ClaudeStream, seen: Transcript) -> None:
    play(stream, "", "   ")
    assert seen.events == []


def test_a_line_too_long_to_be_kept_is_said_to_be_so(
    stream: ClaudeStream, seen: Transcript
) -> None:
    stream.take(Line('{"type": "user"', is_cut=True))
    assert seen.of(TurnEventKind.NOTE)[0]["cut"] is True


def test_an_end_without_a_result_is_a_failure_even_with_status_0(stream: ClaudeStream) -> None:
    play(stream, said("I am nearly done."))
    assert stream.end(0).trouble is Trouble.OTHER


def test_neither_a_rate_limit_nor_a_missing_login_uses_up_an_attempt() -> None:
    lenient = {TurnOutcome.RATE_LIMITED, TurnOutcome.NEEDS_LOGIN}
    assert {trouble for trouble, outcome in OUTCOMES.items() if outcome in lenient} == {
        Trouble.RATE_LIMITED,
        Trouble.UNAVAILABLE,
        Trouble.NOT_LOGGED_IN,
        Trouble.NO_CREDENTIAL,
        Trouble.UNPAID,
    }


def said(text: str, tokens: int = 10) -> dict[str, object]:
    content = [{"type": "text", "text": text}]
    return {
        "type": "assistant",
        "message": {"model": "m", "content": content, "usage": {"input_tokens": tokens}},
    }


def ended() -> dict[str, object]:
    return {"type": "result", "subtype": "success", "is_error": False, "modelUsage": {}}

"""How the drivers call Claude Code and Codex, and what they do when a run goes wrong."""

import asyncio
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.turns import TurnEventKind, TurnOutcome
from hyperhive.harness.box import Box
from hyperhive.harness.drivers import claude, codex
from hyperhive.harness.drivers.cli_settings import CliSettings, McpServer, read_cli_settings
from hyperhive.harness.drivers.codex_rollout import measure
from hyperhive.harness.drivers.port import Assignment, Driver, TurnResult
from hyperhive.harness.wire import DriverSettings, WorkTurn
from tests.harness import fake_cli
from tests.harness.cli_fixtures import Transcript, lines_of

pytestmark = pytest.mark.anyio

SESSION = "c0389135-4466-4f94-924b-06018941ef0a"


@dataclass
class Turns:
    """Turns of a driver whose program is a stand-in."""

    driver: Driver
    home: Path
    seen: Transcript = field(default_factory=Transcript)

    def plan(self, number: int, *lines: str, status: int = 0, wait: bool = False) -> None:
        """Say what the n-th run does."""
        plan = self.home / "plan"
        (plan / f"{number}.jsonl").write_text("".join(f"{line}\n" for line in lines))
        (plan / f"{number}.status").write_text(str(status))
        if wait:
            (plan / f"{number}.wait").touch()

    def call(self, number: int = 1) -> dict[str, Any]:
        """How the n-th run was called."""
        call: dict[str, Any] = json.loads((self.home / "plan" / f"{number}.call").read_text())
        return call

    @property
    def count(self) -> int:
        return len(list((self.home / "plan").glob("*.call")))

    async def run(self, **changes: Any) -> TurnResult:
        """Run a turn."""
        return await self.driver.run(self.assignment(**changes), self.seen.emit)

    async def compact(self, **changes: Any) -> TurnResult:
        """Run a turn that compacts the conversation."""
        return await self.driver.compact(self.assignment(**changes), self.seen.emit)

    def assignment(
        self, variables: Mapping[str, str] | None = None, *, fresh: bool = False, **changes: Any
    ) -> Assignment:
        settings: dict[str, Any] = {
            "kind": "any",
            "command": (sys.executable, fake_cli.__file__),
            "script": None,
            "model": None,
            "fallback_model": None,
            "extra_args": (),
            "turn_limit_seconds": 60.0,
        }
        environment = {
            "HOME": str(self.home),
            "PATH": "/usr/bin:/bin",
            "FAKE_CLI_PLAN": str(self.home / "plan"),
            **(variables or {}),
        }
        return Assignment(
            turn=WorkTurn(7, (), 0, fresh=fresh),
            prompt="Message 1 from bob:\nhello\n",
            system_prompt='You are "alice".\nBe good.',
            settings=DriverSettings(**{**settings, **changes}),
            box=Box(str(self.home / "socket"), "alice", self.home, environment),
        )

    @property
    def notes(self) -> list[str]:
        return self.seen.notes


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "plan").mkdir()
    return tmp_path


@pytest.fixture
def of_claude(home: Path) -> Turns:
    return Turns(claude.ClaudeDriver(), home)


@pytest.fixture
def of_codex(home: Path) -> Turns:
    return Turns(codex.driver, home)


def well(client: str = "claude") -> list[str]:
    return lines_of(client, "recv-send")


def costing(usd: float, lines: Sequence[str]) -> list[str]:
    """Give recorded lines with another cost in their result."""
    told = [json.loads(line) for line in lines]
    return [json.dumps({**t, "total_cost_usd": usd} if t["type"] == "result" else t) for t in told]


def with_server(name: str, status: str, lines: Sequence[str]) -> list[str]:
    """Give recorded lines whose beginning tells of one server only."""
    told = [json.loads(line) for line in lines]
    server = {"mcp_servers": [{"name": name, "status": status}]}
    return [json.dumps({**t, **server} if t.get("subtype") == "init" else t) for t in told]


class TestClaude:
    async def test_the_prompt_is_on_standard_input_and_the_system_prompt_in_a_file(
        self, of_claude: Turns
    ) -> None:
        of_claude.plan(1, *well())
        result = await of_claude.run()
        call = of_claude.call()
        assert result.outcome is TurnOutcome.OK
        assert call["stdin"] == "Message 1 from bob:\nhello\n"
        assert call["--append-system-prompt-file"] == 'You are "alice".\nBe good.'
        assert not any("alice" in word for word in call["argv"])

    async def test_the_hives_server_is_waited_for(self, of_claude: Turns) -> None:
        of_claude.plan(1, *well())
        await of_claude.run()
        server = json.loads(of_claude.call()["--mcp-config"])["mcpServers"]["hyperhive"]
        assert server["alwaysLoad"] is True
        assert server["env"]["HYPERHIVE_TURN"] == "7"

    async def test_further_servers_are_given_and_allowed(self, of_claude: Turns) -> None:
        of_claude.plan(1, *well())
        servers = {
            "notes": McpServer(("notes", "--all"), {"TOKEN": "t"}),
            "web": McpServer(url="http://127.0.0.1:1/mcp"),
        }
        await of_claude.run(cli=CliSettings(mcp_servers=servers))
        given = json.loads(of_claude.call()["--mcp-config"])["mcpServers"]
        assert given["notes"] == {"command": "notes", "args": ["--all"], "env": {"TOKEN": "t"}}
        assert given["web"] == {"type": "http", "url": "http://127.0.0.1:1/mcp"}
        allowed = option(of_claude.call(), "--allowedTools").split(",")
        assert {"mcp__hyperhive", "mcp__notes", "mcp__web"} <= set(allowed)

    async def test_tools_that_compete_with_the_hives_are_off(self, of_claude: Turns) -> None:
        of_claude.plan(1, *well())
        await of_claude.run()
        denied = option(of_claude.call(), "--disallowedTools").split(",")
        assert {"SendMessage", "CronCreate", "ScheduleWakeup", "Task"} <= set(denied)

    async def test_declared_tools_are_all_it_has(self, of_claude: Turns) -> None:
        of_claude.plan(1, *well())
        await of_claude.run(cli=CliSettings(tools=("Read", "Bash(git *)", "Bash(ls *)")))
        call = of_claude.call()
        assert option(call, "--tools") == "Read,Bash"
        assert option(call, "--allowedTools") == "mcp__hyperhive,Read,Bash(git *),Bash(ls *)"

    async def test_what_is_declared_reaches_the_command_line(self, of_claude: Turns) -> None:
        of_claude.plan(1, *well())
        await of_claude.run(
            model="big",
            fallback_model="small",
            extra_args=("--effort", "low"),
            cli=CliSettings(spend_usd=1.5),
        )
        argv = of_claude.call()["argv"]
        assert {"--model=big", "--fallback-model=small", "--max-budget-usd=1.5"} <= set(argv)
        assert argv[-2:] == ["--effort", "low"]

    @pytest.mark.parametrize(
        ("asks", "given"),
        [
            (False, "--permission-mode=dontAsk"),
            (True, "--permission-prompt-tool=mcp__hyperhive__permission_prompt"),
        ],
    )
    async def test_what_is_not_allowed_is_denied_or_put_to_the_operator(
        self, of_claude: Turns, asks: bool, given: str
    ) -> None:
        of_claude.plan(1, *well())
        await of_claude.run(cli=CliSettings(asks_operator=asks))
        argv = of_claude.call()["argv"]
        assert [word for word in argv if word.startswith("--permission")] == [given]

    async def test_a_credential_is_a_variable_of_the_program_only(self, of_claude: Turns) -> None:
        of_claude.plan(1, *well())
        secrets = of_claude.home / "secrets"
        secrets.mkdir()
        (secrets / "ANTHROPIC_API_KEY").write_text("sk-1\n")
        await of_claude.run(variables={"HYPERHIVE_CREDENTIALS": str(secrets)})
        call = of_claude.call()
        assert call["environment"]["ANTHROPIC_API_KEY"] == "sk-1"
        assert "sk-1" not in json.dumps(call["argv"]) + call["--mcp-config"]

    async def test_a_credential_that_cannot_be_used_needs_a_login(self, of_claude: Turns) -> None:
        secrets = of_claude.home / "secrets"
        secrets.mkdir()
        (secrets / "ANTHROPIC_API_KEY").write_text("")
        result = await of_claude.run(variables={"HYPERHIVE_CREDENTIALS": str(secrets)})
        assert (result.outcome, of_claude.count) == (TurnOutcome.NEEDS_LOGIN, 0)

    async def test_the_second_turn_continues_the_conversation(self, of_claude: Turns) -> None:
        of_claude.plan(1, *well())
        of_claude.plan(2, *well())
        await of_claude.run()
        await of_claude.run()
        assert "--resume" not in of_claude.call(1)["argv"]
        argv = of_claude.call(2)["argv"]
        assert argv[argv.index("--resume") + 1] == SESSION

    async def test_a_conversation_that_is_gone_begins_anew_in_the_same_turn(
        self, of_claude: Turns
    ) -> None:
        of_claude.plan(1, *well())
        of_claude.plan(2, *lines_of("claude", "no-session"), status=1)
        of_claude.plan(3, *well())
        await of_claude.run()
        result = await of_claude.run()
        assert result.outcome is TurnOutcome.OK
        assert "--resume" not in of_claude.call(3)["argv"]
        assert "The conversation is gone; a new one begins." in of_claude.notes

    async def test_a_conversation_too_long_is_compacted_and_the_prompt_given_again(
        self, of_claude: Turns
    ) -> None:
        of_claude.plan(1, *lines_of("claude", "too-long"), status=1)
        of_claude.plan(2, *lines_of("claude", "compacted"))
        of_claude.plan(3, *well())
        result = await of_claude.run()
        prompts = [of_claude.call(number)["stdin"] for number in (1, 2, 3)]
        assert result.outcome is TurnOutcome.OK
        assert prompts == [prompts[0], "/compact", prompts[0]]

    async def test_a_conversation_that_stays_too_long_fails_after_one_more_try(
        self, of_claude: Turns
    ) -> None:
        for number in (1, 3):
            of_claude.plan(number, *lines_of("claude", "too-long"), status=1)
        of_claude.plan(2, *lines_of("claude", "compacted"))
        result = await of_claude.run()
        assert (result.outcome, of_claude.count) == (TurnOutcome.FAILED, 3)
        assert "Begin a new session" in str(result.error)

    async def test_what_all_runs_of_a_turn_consumed_is_added_up(self, of_claude: Turns) -> None:
        of_claude.plan(1, *lines_of("claude", "too-long"), status=1)
        of_claude.plan(2, *lines_of("claude", "compacted"))
        of_claude.plan(3, *well())
        result = await of_claude.run()
        assert result.usage is not None
        assert (result.usage.input_tokens, result.usage.output_tokens) == (50_307, 63)
        assert result.tools == {"mcp__hyperhive__recv": 1, "mcp__hyperhive__send": 1}

    async def test_what_is_left_for_a_run_is_what_the_runs_before_it_have_not_spent(
        self, of_claude: Turns
    ) -> None:
        of_claude.plan(1, *costing(1.0, lines_of("claude", "too-long")), status=1)
        of_claude.plan(2, *costing(0.25, lines_of("claude", "compacted")))
        of_claude.plan(3, *costing(0.1, well()))
        result = await of_claude.run(cli=CliSettings(spend_usd=1.5))
        budgets = [
            word.removeprefix("--max-budget-usd=")
            for number in (1, 2, 3)
            for word in of_claude.call(number)["argv"]
            if word.startswith("--max-budget-usd=")
        ]
        assert budgets == ["1.5", "0.5", "0.25"]
        assert result.usage is not None
        assert result.usage.cost_usd == pytest.approx(1.35)

    async def test_a_turn_whose_money_is_spent_runs_nothing_more(self, of_claude: Turns) -> None:
        of_claude.plan(1, *costing(1.5, lines_of("claude", "too-long")), status=1)
        result = await of_claude.run(cli=CliSettings(spend_usd=1.5))
        assert (result.outcome, of_claude.count) == (TurnOutcome.FAILED, 1)
        assert "limits.spendPerTurnUsd" in str(result.error)

    async def test_a_program_that_would_go_on_without_hope_is_ended(self, of_claude: Turns) -> None:
        of_claude.plan(1, *lines_of("claude", "refused-again"), wait=True)
        async with asyncio.timeout(15):
            result = await of_claude.run()
        assert result.outcome is TurnOutcome.NEEDS_LOGIN

    async def test_a_cancelled_turn_keeps_what_it_used(self, of_claude: Turns) -> None:
        of_claude.plan(1, *well(), wait=True)
        told = asyncio.Event()

        def emit(kind: TurnEventKind, data: Mapping[str, Any]) -> None:
            if kind is TurnEventKind.TEXT and data["text"] == "Done.":
                told.set()

        async with asyncio.timeout(15):
            turn = asyncio.ensure_future(of_claude.driver.run(of_claude.assignment(), emit))
            await told.wait()
            turn.cancel()
            result = await turn
        assert result.outcome is TurnOutcome.CANCELLED
        assert result.tools == {"mcp__hyperhive__recv": 1, "mcp__hyperhive__send": 1}

    async def test_the_conversation_is_known_before_the_turn_has_ended(
        self, of_claude: Turns
    ) -> None:
        of_claude.plan(1, well()[0], status=-9)
        of_claude.plan(2, *well())
        assert (await of_claude.run()).outcome is TurnOutcome.FAILED
        await of_claude.run()
        assert SESSION in of_claude.call(2)["argv"]

    async def test_a_program_that_is_not_there_is_named(self, of_claude: Turns) -> None:
        result = await of_claude.run(command=("/nowhere/claude",))
        assert result.outcome is TurnOutcome.FAILED
        assert "/nowhere/claude: No such file or directory" in str(result.error)

    async def test_the_context_is_told_at_the_end(self, of_claude: Turns) -> None:
        of_claude.plan(1, *well())
        await of_claude.run()
        told = of_claude.seen.of(TurnEventKind.NOTE)[-1]
        assert (told["context_tokens"], told["context_window"]) == (50_008, 1_000_000)

    async def test_the_context_of_a_turn_is_that_of_its_last_run(self, of_claude: Turns) -> None:
        of_claude.plan(1, *lines_of("claude", "too-long"), status=1)
        of_claude.plan(2, *lines_of("claude", "compacted"))
        of_claude.plan(3, *well())
        result = await of_claude.run()
        assert (result.context_tokens, result.context_window) == (50_008, 1_000_000)

    async def test_a_rate_limit_says_until_when_as_a_number(self, of_claude: Turns) -> None:
        of_claude.plan(1, *lines_of("claude", "rate-limited-until"), status=1)
        assert (await of_claude.run()).resets_at == 1795340990

    async def test_alerts_are_in_the_result_and_in_the_transcript(self, of_claude: Turns) -> None:
        of_claude.plan(1, *lines_of("claude", "broken-servers"))
        result = await of_claude.run()
        marked = [note["text"] for note in of_claude.seen.of(TurnEventKind.NOTE) if "alert" in note]
        assert result.alerts == tuple(marked)
        assert len(marked) == 3

    async def test_a_server_that_has_not_come_up_for_two_turns_is_an_alert_until_it_has(
        self, of_claude: Turns
    ) -> None:
        statuses = ("pending", "pending", "connected", "pending")
        for number, status in enumerate(statuses, start=1):
            of_claude.plan(number, *with_server("notes", status, well()))
        alerts = [(await of_claude.run()).alerts for _ in statuses]
        assert [len(each) for each in alerts] == [0, 1, 0, 0]
        assert "The MCP server notes had not connected" in alerts[1][0]

    async def test_a_slow_server_whose_tools_were_used_has_come_up(self, of_claude: Turns) -> None:
        for number in (1, 2):
            of_claude.plan(number, *with_server("hyperhive", "pending", well()))
            assert (await of_claude.run()).alerts == ()

    async def test_a_conversation_is_compacted_by_order(self, of_claude: Turns) -> None:
        of_claude.plan(1, *well())
        of_claude.plan(2, *lines_of("claude", "compacted"))
        await of_claude.run()
        result = await of_claude.compact()
        call = of_claude.call(2)
        assert (call["stdin"], SESSION in call["argv"]) == ("/compact", True)
        assert (result.outcome, result.context_tokens) == (TurnOutcome.OK, 655)

    async def test_without_a_conversation_there_is_nothing_to_compact(
        self, of_claude: Turns
    ) -> None:
        result = await of_claude.compact()
        assert (result.outcome, of_claude.count) == (TurnOutcome.OK, 0)
        assert of_claude.notes == ["There is no conversation to compact."]

    async def test_a_conversation_that_is_gone_needs_no_compaction(self, of_claude: Turns) -> None:
        of_claude.plan(1, *well())
        of_claude.plan(2, *lines_of("claude", "no-session"), status=1)
        of_claude.plan(3, *well())
        await of_claude.run()
        assert (await of_claude.compact()).outcome is TurnOutcome.OK
        await of_claude.run()
        assert "--resume" not in of_claude.call(3)["argv"]

    async def test_a_fresh_turn_forgets_the_conversation(self, of_claude: Turns) -> None:
        of_claude.plan(1, *well())
        of_claude.plan(2, *well())
        await of_claude.run()
        await of_claude.run(fresh=True)
        assert "--resume" not in of_claude.call(2)["argv"]
        assert "A new conversation begins." in of_claude.notes

    async def test_a_credential_the_program_gave_up_on_at_once_is_tried_once_more(
        self, of_claude: Turns
    ) -> None:
        first, _, *rest = lines_of("claude", "refused")
        of_claude.plan(1, first, *rest, status=1)
        of_claude.plan(2, *well())
        result = await of_claude.run()
        assert (result.outcome, of_claude.count) == (TurnOutcome.OK, 2)

    async def test_a_credential_refused_twice_needs_a_login(self, of_claude: Turns) -> None:
        first, _, *rest = lines_of("claude", "refused")
        for number in (1, 2):
            of_claude.plan(number, first, *rest, status=1)
        result = await of_claude.run()
        assert (result.outcome, of_claude.count) == (TurnOutcome.NEEDS_LOGIN, 2)

    @pytest.mark.parametrize("name", ["refused", "not-logged-in"])
    async def test_what_the_program_has_tried_again_or_cannot_try_is_not_run_again(
        self, of_claude: Turns, name: str
    ) -> None:
        of_claude.plan(1, *lines_of("claude", name), status=1)
        result = await of_claude.run()
        assert (result.outcome, of_claude.count) == (TurnOutcome.NEEDS_LOGIN, 1)


class TestCodex:
    def profile(self, turns: Turns) -> dict[str, Any]:
        return tomllib.loads((turns.home / ".codex" / "hyperhive.config.toml").read_text())

    async def test_the_prompt_is_on_standard_input_and_the_system_prompt_in_a_file(
        self, of_codex: Turns
    ) -> None:
        of_codex.plan(1, *well("codex"))
        result = await of_codex.run()
        assert result.outcome is TurnOutcome.OK
        assert of_codex.call()["stdin"] == "Message 1 from bob:\nhello\n"
        assert self.profile(of_codex)["developer_instructions"] == 'You are "alice".\nBe good.'

    async def test_the_hives_server_is_required(self, of_codex: Turns) -> None:
        of_codex.plan(1, *well("codex"))
        await of_codex.run()
        server = self.profile(of_codex)["mcp_servers"]["hyperhive"]
        assert (server["required"], server["env"]["HYPERHIVE_TURN"]) == (True, "7")

    async def test_further_servers_are_given(self, of_codex: Turns) -> None:
        of_codex.plan(1, *well("codex"))
        odd = McpServer(("notes", 'a "b"\n\x7fc'), {"TOKEN": "t é"})
        await of_codex.run(cli=CliSettings(mcp_servers={"no.tes": odd}))
        server = self.profile(of_codex)["mcp_servers"]["no.tes"]
        assert server == {"command": "notes", "args": ['a "b"\n\x7fc'], "env": {"TOKEN": "t é"}}

    async def test_the_profile_is_private(self, of_codex: Turns) -> None:
        of_codex.plan(1, *well("codex"))
        await of_codex.run()
        mode = (of_codex.home / ".codex" / "hyperhive.config.toml").stat().st_mode
        assert mode & 0o077 == 0

    async def test_declared_tools_are_all_it_has(self, of_codex: Turns) -> None:
        of_codex.plan(1, *well("codex"))
        await of_codex.run(cli=CliSettings(tools=("view_image",)))
        profile = self.profile(of_codex)
        assert (profile["features"]["shell_tool"], profile["features"]["view_image"]) == (
            False,
            True,
        )
        assert profile["web_search"] == "disabled"

    async def test_the_second_turn_continues_the_conversation(self, of_codex: Turns) -> None:
        of_codex.plan(1, *well("codex"))
        of_codex.plan(2, *well("codex"))
        await of_codex.run(extra_args=("-c", "x=1"))
        await of_codex.run(extra_args=("-c", "x=1"))
        session = "01a20277-26d0-7121-8fc9-61e0072741e6"
        assert of_codex.call(2)["argv"][-5:] == ["-c", "x=1", "resume", session, "-"]

    def rollout(self, turns: Turns, *lines: str) -> Path:
        """What Codex has written down of the conversation."""
        session = "01a20277-26d0-7121-8fc9-61e0072741e6"
        path = turns.home / ".codex" / "sessions" / "2026" / "11" / "22"
        path.mkdir(parents=True)
        path /= f"rollout-2026-11-22T09-42-18-{session}.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    async def test_the_context_is_read_from_what_it_has_written_down(self, of_codex: Turns) -> None:
        self.rollout(of_codex, *lines_of("codex", "rollout")[:2])
        of_codex.plan(1, *well("codex"))
        result = await of_codex.run()
        assert (result.context_tokens, result.context_window) == (5012, 258_400)

    async def test_a_context_that_is_not_written_down_is_not_known(self, of_codex: Turns) -> None:
        of_codex.plan(1, *well("codex"))
        result = await of_codex.run()
        assert (result.outcome, result.context_tokens) == (TurnOutcome.OK, None)

    async def test_a_conversation_is_compacted_by_a_limit_it_is_above(
        self, of_codex: Turns
    ) -> None:
        of_codex.plan(1, *well("codex"))
        of_codex.plan(2, *well("codex"))
        await of_codex.run()
        await of_codex.compact()
        argv = of_codex.call(2)["argv"]
        assert "model_auto_compact_token_limit=1" in argv
        assert "resume" in argv

    async def test_a_compaction_that_left_no_trace_is_an_alert(self, of_codex: Turns) -> None:
        of_codex.plan(1, *well("codex"))
        of_codex.plan(2, *well("codex"))
        await of_codex.run()
        result = await of_codex.compact()
        assert result.outcome is TurnOutcome.OK
        assert "nothing shows that" in result.alerts[0]

    async def test_a_compaction_is_seen_in_what_was_written_down_since(self, home: Path) -> None:
        lines = lines_of("codex", "rollout")
        turns = Turns(codex.driver, home)
        path = self.rollout(turns, *lines[:2])
        before = measure(home / ".codex", "01a20277-26d0-7121-8fc9-61e0072741e6")
        path.write_text("".join(f"{line}\n" for line in lines))
        after = measure(home / ".codex", "01a20277-26d0-7121-8fc9-61e0072741e6", before.size)
        assert (before.tokens, before.was_compacted) == (5012, False)
        assert (after.tokens, after.was_compacted) == (5012, True)

    async def test_a_rollout_of_another_shape_tells_nothing(self, of_codex: Turns) -> None:
        odd = [
            '{"type":"event_msg","payload":{"type":"token_count","info":[1]}}',
            "{",
            '"compacted"',
        ]
        self.rollout(of_codex, *odd)
        of_codex.plan(1, *well("codex"))
        result = await of_codex.run()
        assert (result.outcome, result.context_tokens) == (TurnOutcome.OK, None)

    async def test_a_conversation_too_long_is_compacted_and_the_prompt_given_again(
        self, of_codex: Turns
    ) -> None:
        of_codex.plan(1, *lines_of("codex", "too-long"), status=1)
        of_codex.plan(2, *well("codex"))
        of_codex.plan(3, *well("codex"))
        result = await of_codex.run()
        assert result.outcome is TurnOutcome.OK
        assert of_codex.call(3)["stdin"] == of_codex.call(1)["stdin"]

    async def test_a_fresh_turn_forgets_the_conversation(self, of_codex: Turns) -> None:
        of_codex.plan(1, *well("codex"))
        of_codex.plan(2, *well("codex"))
        await of_codex.run()
        await of_codex.run(fresh=True)
        assert "resume" not in of_codex.call(2)["argv"]

    async def test_a_credential_the_program_gave_up_on_at_once_is_tried_once_more(
        self, of_codex: Turns
    ) -> None:
        lines = [line for line in lines_of("codex", "refused") if "Reconnecting" not in line]
        of_codex.plan(1, *lines, status=1)
        of_codex.plan(2, *lines, status=1)
        result = await of_codex.run()
        assert (result.outcome, of_codex.count) == (TurnOutcome.NEEDS_LOGIN, 2)

    async def test_a_limit_on_spend_is_said_to_be_beyond_it(self, of_codex: Turns) -> None:
        of_codex.plan(1, *well("codex"))
        await of_codex.run(cli=CliSettings(spend_usd=1.0))
        assert of_codex.seen.of(TurnEventKind.NOTE)[0]["alert"] is True

    async def test_a_rate_limit_says_until_when_as_a_number(self, of_codex: Turns) -> None:
        of_codex.plan(1, *lines_of("codex", "usage-limit"), status=1)
        result = await of_codex.run()
        assert result.outcome is TurnOutcome.RATE_LIMITED
        assert isinstance(result.resets_at, float)


def test_settings_are_read_from_what_the_server_says() -> None:
    server = {"command": ["a", "b"], "environment": {"K": "v"}, "url": None}
    settings = read_cli_settings({"tools": ["Read"], "mcp_servers": {"x": server}, "spend_usd": 2})
    expected = CliSettings(("Read",), {"x": McpServer(("a", "b"), {"K": "v"})}, 2.0)
    assert settings == expected


def test_settings_of_an_older_server_are_unset() -> None:
    assert read_cli_settings({"kind": "claude"}) == CliSettings()


def option(call: Mapping[str, Any], name: str) -> str:
    """The value of an option on the command line."""
    found: str = next(word for word in call["argv"] if word.startswith(f"{name}="))
    return found.partition("=")[2]

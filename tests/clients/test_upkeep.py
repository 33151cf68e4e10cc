"""The real programs in the turns that keep a conversation in order: compact, fresh, other models.

The hive is the tests' own one, so that any turn can be offered; the harness and the programs are
real.
"""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hyperhive.demo.model.script import parse_script
from hyperhive.demo.model.server import ScriptedModel, scripted_model
from tests.clients.scripts import ANSWER, refusal
from tests.harness.fake_server import FakeServer, a_message

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("clients")]

WAIT_SECONDS = 90.0
HARNESS = (sys.executable, "-P", "-m", "hyperhive.harness")
SUMMARY = """
[[rule]]
name = "summary"
on = { prompt_contains = "summary" }
answer = [ { say = "<summary>It was long.</summary>" } ]
"""


@dataclass
class House:
    """An agent's box, its hive and its model."""

    hive: FakeServer
    model: ScriptedModel

    async def turn(self, *messages: dict[str, Any], **further: Any) -> dict[str, Any]:
        """Run a turn and return how it ended."""
        turn = self.hive.give(*messages, **further)
        await asyncio.to_thread(self.hive.wait_until, lambda: turn in self.hive.ends, WAIT_SECONDS)
        return {"id": turn, **self.hive.ends[turn]}

    def notes(self, turn: Mapping[str, Any]) -> list[str]:
        return self.hive.texts(turn["id"], "note")

    @property
    def asked(self) -> str:
        """All that the model was told with the newest request."""
        return str(self.model.requests[-1].body)


@asynccontextmanager
async def house(
    script: str, driver: Mapping[str, Any], credential: str, variables: Mapping[str, str]
) -> AsyncIterator[House]:
    """Set up a box; ``{url}`` in the driver's arguments or a variable is the model's address."""
    directory = Path(tempfile.mkdtemp(prefix="hh-"))
    try:
        for name in ("state", "secrets"):
            (directory / name).mkdir()
        (directory / "secrets" / credential).write_text("sk-scripted-0123456789\n")
        hive = FakeServer(directory / "socket")
        async with scripted_model(parse_script(script)) as model:
            given = [each.replace("{url}", model.url) for each in driver.get("extra_args", ())]
            hive.driver |= {**driver, "extra_args": given}
            environment = {
                **{key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ},
                "HYPERHIVE_SOCKET": str(hive.path),
                "HYPERHIVE_AGENT": "alice",
                "HYPERHIVE_STATE": str(directory / "state"),
                "HYPERHIVE_CREDENTIALS": str(directory / "secrets"),
                "HOME": str(directory),
                **{name: value.replace("{url}", model.url) for name, value in variables.items()},
            }
            hive.start()
            harness = await asyncio.create_subprocess_exec(*HARNESS, env=environment)
            try:
                yield House(hive, model)
            finally:
                harness.terminate()
                await harness.wait()
                hive.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def claude_house(program: Path, script: str, **variables: str) -> AsyncIterator[House]:
    driver = {"kind": "claude", "command": [str(program)]}
    variables = {"ANTHROPIC_BASE_URL": "{url}", **variables}
    async with house(script + ANSWER, driver, "ANTHROPIC_API_KEY", variables) as played:
        yield played


@asynccontextmanager
async def codex_house(program: Path, script: str) -> AsyncIterator[House]:
    provider = (
        'model_providers.scripted={name="scripted",base_url="{url}/v1",wire_api="responses",'
        'env_key="CODEX_API_KEY",request_max_retries=0,stream_max_retries=0}'
    )
    driver = {
        "kind": "codex",
        "command": [str(program)],
        "model": "scripted",
        "extra_args": ["-c", provider, "-c", 'model_provider="scripted"'],
    }
    async with house(script + ANSWER, driver, "CODEX_API_KEY", {}) as played:
        yield played


async def test_claude_compacts_its_conversation_by_order_and_goes_on_with_the_summary(
    claude_program: Path,
) -> None:
    async with claude_house(claude_program, SUMMARY) as played:
        # One exchange is not enough for it to compact.
        await played.turn(a_message(body="the first"))
        await played.turn(a_message(body="the second"))
        compacted = await played.turn(kind="compact")
        await played.turn(a_message(body="the third"))
        assert compacted["outcome"] == "ok", compacted
        rules = [request.rule for request in played.model.requests]
        assert rules == ["well", "well", "summary", "well"]
        assert "It was long." in played.asked
        assert any(
            note.startswith("The conversation was compacted") for note in played.notes(compacted)
        )
        assert compacted["context"]["tokens"] > 0


async def test_claude_begins_a_new_conversation_in_a_fresh_turn(claude_program: Path) -> None:
    async with claude_house(claude_program, "") as played:
        await played.turn(a_message(body="message-one"))
        assert "message-one" in played.asked
        await played.turn(a_message(body="message-two"), fresh=True)
        assert "message-one" not in played.asked
        await played.turn(a_message(body="message-three"))
        assert "message-two" in played.asked


async def test_claude_runs_a_turn_with_the_model_of_that_turn(claude_program: Path) -> None:
    async with claude_house(claude_program, "") as played:
        await played.turn(a_message(), model="claude-sonnet-5")
        await played.turn(a_message(), model="claude-opus-4-8")
        models = [request.conversation.model for request in played.model.requests]
        assert models == ["claude-sonnet-5", "claude-opus-4-8"]


async def test_claude_writes_down_what_it_must_remember_at_a_checkpoint(
    claude_program: Path,
) -> None:
    async with claude_house(claude_program, "") as played:
        end = await played.turn(kind="checkpoint", note="A restart is near.")
        prompt = played.model.requests[0].conversation.prompt
        assert end["outcome"] == "ok"
        assert "A note of the hive: A restart is near." in prompt
        assert "Write down in your state directory" in prompt


@pytest.mark.parametrize("retries", ["0", "1", "10"])
async def test_claude_tries_a_refused_credential_twice_however_often_it_may(
    claude_program: Path, retries: str
) -> None:
    script = refusal(401, "authentication_error", times=9, message="invalid x-api-key")
    variables = {"CLAUDE_CODE_MAX_RETRIES": retries}
    async with claude_house(claude_program, script, **variables) as played:
        end = await played.turn(a_message())
        assert end["outcome"] == "needs_login"
        assert len(played.model.requests) == 2


async def test_codex_compacts_its_conversation_by_order_and_goes_on_with_the_summary(
    codex_program: Path,
) -> None:
    script = SUMMARY.replace('summary" }', 'CONTEXT CHECKPOINT" }')
    async with codex_house(codex_program, script) as played:
        await played.turn(a_message(body="the first"))
        compacted = await played.turn(kind="compact")
        assert compacted["outcome"] == "ok", compacted
        rules = [request.rule for request in played.model.requests]
        assert rules == ["well", "summary", "well"]
        await played.turn(a_message(body="the second"))
        assert "It was long." in played.asked
        assert any(
            note.startswith("The conversation was compacted") for note in played.notes(compacted)
        )
        assert "alerts" not in compacted


async def test_codex_says_how_full_its_context_is(codex_program: Path) -> None:
    async with codex_house(codex_program, "") as played:
        end = await played.turn(a_message())
        assert end["context"] == {"tokens": 120, "window": 258_400}


async def test_codex_begins_a_new_conversation_in_a_fresh_turn(codex_program: Path) -> None:
    async with codex_house(codex_program, "") as played:
        await played.turn(a_message(body="message-one"))
        assert "message-one" in played.asked
        await played.turn(a_message(body="message-two"), fresh=True)
        assert "message-one" not in played.asked


async def test_codex_tries_a_refused_credential_twice(codex_program: Path) -> None:
    script = refusal(401, "authentication_error", times=9, message="invalid key")
    async with codex_house(codex_program, script) as played:
        end = await played.turn(a_message())
        assert end["outcome"] == "needs_login"
        assert len(played.model.requests) == 2

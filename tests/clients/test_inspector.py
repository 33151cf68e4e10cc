"""The command line of MCP's own Inspector, which speaks to an agent's socket through the bridge."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hyperhive.config.agents import MANAGER_TOOLS, Tool
from tests.clients.installing import NotInstalledError, program
from tests.promises import promise
from tests.surfaces.hives import Whole, a_whole_hive

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("clients")]

SECONDS = 60
"""Node starts in a second or two; on a busy machine it may be many."""


@pytest.fixture(scope="session")
def inspector() -> Path:
    try:
        return program("mcp-inspector-cli")
    except NotInstalledError as error:
        pytest.skip(f"the Inspector: {error}")


@pytest.fixture
async def hive(tmp_path: Path) -> AsyncIterator[Whole]:
    async with a_whole_hive(tmp_path) as whole:
        yield whole


async def inspected(inspector: Path, hive: Whole, *asked: str) -> dict[str, Any]:
    """Have the Inspector ask something in alice's box, as ``hyperhive mcp`` serves it there."""
    socket = hive.box("alice").socket
    bridge = [sys.executable, "-m", "hyperhive.cli.main", "mcp"]
    process = await asyncio.create_subprocess_exec(
        inspector,
        *("--cli", "-e", f"HYPERHIVE_SOCKET={socket}", *bridge, *asked),
        env={**os.environ, "NO_UPDATE_NOTIFIER": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complained.decode()
    answer: dict[str, Any] = json.loads(said)
    return answer


def call(tool: str, **arguments: str) -> list[str]:
    """Write a tool call for its command line."""
    given = [
        word for name, value in arguments.items() for word in ("--tool-arg", f"{name}={value}")
    ]
    return ["--method", "tools/call", "--tool-name", tool, *given]


@promise("T3")
async def test_the_inspector_lists_the_tools_with_their_schemas(
    inspector: Path, hive: Whole
) -> None:
    tools = (await inspected(inspector, hive, "--method", "tools/list"))["tools"]

    names = [tool["name"] for tool in tools]
    assert names[:3] == ["recv", "send", "ack"]
    assert set(names) == {known.value for known in Tool} - MANAGER_TOOLS
    assert all(tool["description"] and tool["inputSchema"] for tool in tools)


@promise("T3")
async def test_the_inspector_sends_and_receives(inspector: Path, hive: Whole) -> None:
    asked = await hive.admin.send("alice", "how are you?")

    sent = await inspected(inspector, hive, *call("send", to="bob", body="hello from outside"))
    received = await inspected(inspector, hive, *call("recv"))

    shown = await hive.admin.get(f"/api/messages/{sent['structuredContent']['id']}")
    assert (shown["from"], shown["to"], shown["body"]) == ("alice", "bob", "hello from outside")
    assert json.loads(sent["content"][0]["text"]) == sent["structuredContent"]
    (message,) = received["structuredContent"]["messages"]
    assert (message["id"], message["body"]) == (asked, "how are you?")


@promise("T1", "T3")
async def test_the_inspector_is_told_a_refusal_in_a_sentence(inspector: Path, hive: Whole) -> None:
    answer = await inspected(inspector, hive, *call("send", to="carol", body="x"))

    assert answer["isError"] is True
    assert "Known: *, alice, bob, manager, operator, queen." in answer["content"][0]["text"]

"""An agent that comes at run time, with real processes: asked for, approved, up, changed."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from hyperhive import bootstrap
from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.agents import CONNECTED
from tests import proposals
from tests.builders import a_hive
from tests.promises import promise
from tests.surfaces.hives import Operator, until

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("alone")]


@promise("N1")
async def test_a_spawned_agent_says_hello_gets_its_message_and_is_changed_by_a_commit(
    tmp_path: Path,
) -> None:
    with tempfile.TemporaryDirectory(prefix="hive-") as run_dir:
        hive = a_hive(tmp_path, Path(run_dir), ("queen",))
        async with bootstrap.running(hive, with_agents=True) as run:
            admin = Operator(run.listeners.admin_socket)

            async def decided(number: int) -> dict[str, Any]:
                shown = await admin.get(f"/api/approvals/{number}")
                await admin.post(f"/api/approvals/{number}/approve", {"digest": shown["digest"]})

                async def over() -> bool:
                    found = await admin.get(f"/api/approvals/{number}")
                    return bool(found["closed_at"])

                await until(over)
                return dict(await admin.get(f"/api/approvals/{number}"))

            asked = await admin.post("/api/spawn", {"name": "carol", "description": "sings"})
            done = await decided(asked["id"])
            assert done["state"] == "done", done
            assert done["result"]["ready"] is True
            assert run.agents.state_of("carol") in CONNECTED
            number = await admin.send("carol", "welcome")

            async def handled() -> bool:
                return bool((await run.messages.show(number))["state"] == "acked")

            await until(handled)

            commit = proposals.commit(
                tmp_path / "agents" / "carol" / "config",
                agent_json=json.dumps({"description": "hums"}),
            )
            queen = run.agents.hive.manager_name
            change = await run.deploying.request(THE_OPERATOR, "carol", commit[:7])
            assert (await decided(change["id"]))["state"] == "done"
            listed = await admin.get("/api/agents/carol/deployments")
            tags = [tag for each in listed["deployments"] for tag in each["tags"]]
            assert f"deployed/{change['id']}" in tags
            assert queen in run.agents.hive.agents
            destroyed = await admin.post("/api/agents/carol/destroy")
            assert destroyed["did"] == "destroy"
            state = await admin.get("/api/state")
            assert [each["name"] for each in state["tombstones"]] == ["carol"]

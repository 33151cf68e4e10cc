"""The hive of these tests, declared as an admin would, and what a test asks of it while it runs."""

import contextlib
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import hyperhive
from hyperhive.client import AgentClient, OperatorClient
from hyperhive.domain.errors import HiveError
from tests.systemd.machines import Machine, Namespace, await_that

AGENTS: Final = ("alice", "bob", "queen")
UID: Final = 770
SECRETS: Final = "/srv/secrets"
SCRIPTS: Final = Path(hyperhive.__path__[0]) / "demo/scripts"
START_SECONDS: Final = 60.0
ROLLOUT_SECONDS: Final = 120.0

Snapshot = Mapping[str, Any]


def demo_hive(*, without: str = "", **more: str) -> str:
    """Declare the demo's agents in Nix; ``more`` is Nix text to add to an agent of that name.

    What is declared as secret lies in `SECRETS`.
    """
    own = {
        "queen": 'role = "manager";',
        "alice": f'credentials.NOTE = "{SECRETS}/alice";',
    }
    agents = "".join(
        f'{name} = {{ {own.get(name, "")} driver.kind = "scripted";'
        f" driver.script = {SCRIPTS / name}.toml; {more.get(name, '')} }};\n"
        for name in AGENTS
        if name != without
    )
    operator = f'operator.passwordFile = "{SECRETS}/operator";'
    return f"{{ {operator} agents = {{ {agents} }}; }}"


class Host:
    """A machine with a hive."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def client(self) -> OperatorClient:
        """Speak to the hive as its admin does."""
        return OperatorClient(self.machine.path("/run/hyperhive/admin.sock"))

    def client_of(self, agent: str) -> AgentClient:
        """Speak to the hive as an agent does, by its socket."""
        return AgentClient(self.machine.path(f"/run/hyperhive/agents/{agent}/agent.sock"))

    def approve(self, number: int) -> Mapping[str, Any]:
        """Say yes, wait for what comes of it, and give the approval then."""
        with self.client() as client:
            client.approve(number, client.approval(number)["digest"])
        return self.ended(number)

    def ended(self, number: int) -> Mapping[str, Any]:
        """Wait until an approval is carried out, whichever server does it, and give it then."""

        def is_over() -> bool:
            with contextlib.suppress(HiveError), self.client() as client:
                return client.approval(number)["state"] in {"done", "failed"}
            return False

        await_that(is_over, f"approval {number} is carried out", ROLLOUT_SECONDS)
        with self.client() as client:
            return client.approval(number)

    def state(self) -> Snapshot:
        """Give the snapshot."""
        with self.client() as client:
            return client.state()

    def agent(self, name: str) -> Mapping[str, Any]:
        """Give one agent as the snapshot has it."""
        found: list[Mapping[str, Any]] = self.state()["agents"]
        return next(agent for agent in found if agent["name"] == name)

    def alerts(self) -> dict[str, str]:
        """Give the words of the alerts that stand, by key."""
        return {alert["key"]: alert["text"] for alert in self.state()["alerts"]}

    def await_states(self, *wanted: str, names: tuple[str, ...] = AGENTS) -> None:
        """Wait until all these agents are in one of these states."""

        def are_there() -> bool:
            return all(self.agent(name)["state"] in wanted for name in names)

        await_that(are_there, f"{names} are {' or '.join(wanted)}", START_SECONDS)

    def await_ready(self, *names: str) -> None:
        """Wait until these agents, or all, have said hello and have nothing to do."""
        self.await_states("ready", names=names or AGENTS)

    def await_settled(self) -> None:
        """Wait until all are ready and every inbox is empty."""

        def is_quiet() -> bool:
            return all(
                agent["state"] == "ready" and not any(agent["inbox"].values())
                for agent in self.state()["agents"]
            )

        await_that(is_quiet, "every agent is ready and has an empty inbox", START_SECONDS)

    def await_as_declared(self) -> None:
        """Wait until everything runs from the present declaration, and is settled."""

        def is_done() -> bool:
            with self.client() as client:
                return not client.plan()["actions"] and not client.state()["hive"]["rollout"]

        await_that(is_done, "everything runs as it is declared", ROLLOUT_SECONDS)
        self.await_settled()

    def messages(self, holds: Callable[[Mapping[str, Any]], bool]) -> list[Mapping[str, Any]]:
        """Give the messages of which something holds, newest first."""
        with self.client() as client:
            return [message for message in client.messages()["messages"] if holds(message)]

    def await_message(self, sender: str, to: str, part: str) -> Mapping[str, Any]:
        """Wait for a message from one to another that contains a text."""

        def is_it(message: Mapping[str, Any]) -> bool:
            ends = (message["from"], message["to"]) == (sender, to)
            return ends and part in message["preview"]

        await_that(
            partial(self.messages, is_it), f"{sender} writes {part!r} to {to}", START_SECONDS
        )
        return self.messages(is_it)[0]

    def await_acked(self, message: int | None) -> None:
        """Wait until a message has been received and its turn has ended well."""
        assert message is not None

        def is_acked() -> bool:
            with self.client() as client:
                return client.message(message)["state"] == "acked"

        await_that(is_acked, f"message {message} is acked", START_SECONDS)

    def await_server(self) -> None:
        """Wait until the hive answers; where it does not, what its unit said is the reason."""

        def answers() -> bool:
            with contextlib.suppress(HiveError):
                return bool(self.state())
            return False

        try:
            await_that(answers, "the server answers", START_SECONDS)
        except AssertionError as error:
            said = self.machine.run("journalctl", "--unit=hyperhive", "--output=cat")
            raise AssertionError(f"{error}\n{said[-3000:]}") from None

    def await_answer(self, name: str) -> None:
        """Wait until the hive answers, and have an agent take a message."""
        self.await_server()
        with self.client() as client:
            sent = client.send(name, "Are you there?")["id"]
        self.await_acked(sent)

    def events_since(self, seq: int) -> list[Mapping[str, Any]]:
        """Give the events after that one, oldest first."""
        found: list[Mapping[str, Any]] = []
        before: int | None = None
        with self.client() as client:
            while True:
                page = client.history(before=before)
                found += [event for event in page["events"] if event["seq"] > seq]
                before = page["events"][-1]["seq"] if page["events"] else 0
                if before <= seq or not page["more"]:
                    return found[::-1]

    def states_since(self, seq: int, name: str) -> list[tuple[str, str]]:
        """Give the states that an agent was in after an event, each with its reason."""
        return [
            (event["data"]["state"], event["data"]["reason"] or "")
            for event in self.events_since(seq)
            if event["kind"] == "agent_state_changed" and event["agent"] == name
        ]

    def starts_since(self, seq: int) -> list[str]:
        """Give whose boxes were started after an event, in order, each as often as it was."""
        return [
            event["agent"]
            for event in self.events_since(seq)
            if event["kind"] == "agent_state_changed" and event["data"]["state"] == "starting"
        ]

    def program(self) -> str:
        """Give where the command line is."""
        start = self.property("hyperhive.service", "ExecStart")
        found = re.search(r"path=(\S+)", start)
        assert found is not None
        return found[1]

    def python(self) -> str:
        """Give the Python that the command line runs with, which the guests have, too."""
        return self.machine.path(self.program()).read_text().splitlines()[0].removeprefix("#!")

    def property(self, unit: str, name: str) -> str:
        """Give what the machine's systemd says of a unit."""
        return self.machine.run("systemctl", "show", unit, f"--property={name}", "--value").strip()

    def invocations(self) -> dict[str, str]:
        """Give which run of its container each agent is in."""
        return {name: self.property(unit_of(name), "InvocationID") for name in AGENTS}

    def box(self, agent: str) -> Namespace:
        """Give what an agent's programs see: the very namespaces of its harness."""
        guest = self.machine.guest(f"h-{agent}")
        show = ("systemctl", "show", "hyperhive-agent", "--property=MainPID", "--value")
        inner = int(guest.run(*show))
        within = ["nsenter", "--mount", f"--target={inner}", "--"]
        rights = ("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
        return Namespace(lambda: [*guest.enter(), *within], rights)


def unit_of(agent: str) -> str:
    """Give the unit that is an agent's container."""
    return f"container@h-{agent}.service"

"""The part of an agent that a commit in its configuration repository may decide, and the rest.

Whoever writes an ``agent.json`` is an agent, and the operator approves a text. So a commit decides
what an agent is told and what it costs, and never what its box lets it reach: the runtime, the
program, mounts, environment, credentials and quotas come from the declaration alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from hyperhive.config.agents import Agent, Driver, DriverKind, Tool
from hyperhive.config.checks import relations
from hyperhive.config.faults import DeclarationError, Fault
from hyperhive.config.hive import Hive
from hyperhive.config.reading import read_json
from hyperhive.config.values import Seconds, Table, Text, Word
from hyperhive.config.wording import faults_from
from hyperhive.domain.actors import Role
from hyperhive.domain.configuration import AGENT_JSON
from hyperhive.domain.turns import TURN_LIMIT_SECONDS

_KEYS: Final[Mapping[DriverKind, frozenset[str]]] = {
    DriverKind.CLAUDE: frozenset(
        {"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"}
    ),
    DriverKind.CODEX: frozenset({"CODEX_API_KEY", "OPENAI_API_KEY"}),
}
"""What several agents can use at once, by driver: keys, and tokens that are not renewed by use."""


class SpawnedDriver(Table):
    """What a commit says of the driver; which program runs is not its to say."""

    model: Word | None = Field(default=None, description="The model that the CLI is told to use.")
    fallback_model: Word | None = Field(
        default=None, description="The model to use while the first is overloaded."
    )
    turn_limit_seconds: Seconds = Field(
        default=TURN_LIMIT_SECONDS, le=7200, description="A turn that takes longer is cancelled."
    )


class SpawnedAgent(Table):
    """An ``agent.json``."""

    description: Text = Field(
        default="", max_length=500, description="What the agent is for, in a sentence."
    )
    system_prompt: Text = Field(
        default="", max_length=65_536, description="Text added to the system prompt of the role."
    )
    driver: SpawnedDriver = Field(
        default_factory=SpawnedDriver, description="Which model runs its turns, and for how long."
    )
    tools: tuple[Tool, ...] | None = Field(
        default=None, description="Which of the hive's tools it has; all of a worker's if unset."
    )
    may_message: tuple[str, ...] | None = Field(
        default=None, description="Whom it may write to; everyone if unset."
    )


def read_settings(text: str) -> SpawnedAgent:
    """Read an ``agent.json``; raises `DeclarationError` with all that is wrong in it."""
    source = Path(AGENT_JSON)
    document = read_json(source, text)
    try:
        settings = SpawnedAgent.model_validate(document.data, by_alias=True, by_name=False)
    except ValidationError as error:
        faults = [_fault(each) for each in faults_from(error.errors(include_url=False))]
        raise DeclarationError([*document.faults, *faults], source) from None
    if document.faults:
        raise DeclarationError(document.faults, source)
    return settings


def settings_text(settings: SpawnedAgent) -> str:
    """Write an ``agent.json`` that says what was set, and nothing of what was not."""
    return settings.model_dump_json(by_alias=True, exclude_unset=True, indent=2) + "\n"


def agent_of(hive: Hive, name: str, settings: SpawnedAgent) -> Agent:
    """Give the agent that these settings make in a hive: the rest is as the manager's.

    Without a program of its own to run, which is so for all but models, it plays the manager's.
    """
    manager = hive.agents[hive.manager_name]
    told = settings.driver.model_dump(exclude_unset=True)
    driver = Driver.model_validate(manager.driver.model_dump() | told)
    return Agent(
        name=name,
        role=Role.WORKER,
        description=settings.description,
        driver=driver,
        system_prompt=settings.system_prompt,
        runtime=manager.runtime,
        network=manager.network,
        tools=settings.tools,
        may_message=settings.may_message,
        limits=manager.limits,
        environment=manager.environment,
        credentials=_credentials(hive, driver.kind),
    )


def _credentials(hive: Hive, kind: DriverKind) -> dict[str, Path]:
    """Give what a model is paid with; whatever else the manager has is its own.

    A login that a program renews by itself is never shared: it lies in a home, and each agent has
    its own home.
    """
    if kind not in _KEYS:
        return {}
    if hive.spawned.credentials:
        return hive.spawned.credentials
    keys, own = _KEYS[kind], hive.agents[hive.manager_name].credentials
    return {name: path for name, path in own.items() if name in keys}


def require_fitting(hive: Hive, name: str, settings: SpawnedAgent) -> None:
    """Raise `DeclarationError` where an agent of these settings does not fit into the hive."""
    document = hive.model_dump(mode="json", by_alias=True, exclude_none=True)
    own = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    whole = agent_of(hive, name, settings).model_dump(mode="json", by_alias=True, exclude_none=True)
    document["agents"][name] = whole | own | {"driver": whole["driver"]}
    place = f"agents.{name}"
    faults = [
        Fault(each.path.removeprefix(f"{place}.").removeprefix(place), *_rest(each))
        for each in relations(document, Path("/"))
        if each.path == place or each.path.startswith(f"{place}.")
    ]
    if faults:
        raise DeclarationError(faults, Path(AGENT_JSON))


def with_spawned(hive: Hive, spawned: Mapping[str, SpawnedAgent]) -> Hive:
    """Give the hive with its spawned agents; whoever is declared wins over one of its name."""
    more = {
        name: agent_of(hive, name, settings)
        for name, settings in spawned.items()
        if name not in hive.agents
    }
    return hive.model_copy(update={"agents": {**hive.agents, **more}}) if more else hive


def _rest(fault: Fault) -> tuple[str | None, str, str]:
    return fault.value, fault.message, fault.remedy


def _fault(fault: Fault) -> Fault:
    """Say of a key that exists for declared agents who decides it."""
    key = fault.path.rpartition(".")[2]
    if not fault.message.startswith("Unknown key"):
        return fault
    known = {field.alias or name for name, field in Agent.model_fields.items()}
    known |= {field.alias or name for name, field in Driver.model_fields.items()}
    if key in known:
        message = f"The key `{key}` is not a commit's to decide."
        return Fault(fault.path, None, message, "Remove it; the admin's declaration decides it.")
    keys = ", ".join(field.alias or name for name, field in SpawnedAgent.model_fields.items())
    return Fault(fault.path, None, f"Unknown key `{key}`.", f"Remove it. The keys are: {keys}.")

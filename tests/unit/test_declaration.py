"""A valid declaration means what it says, and what is published about it is true."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships none
from pydantic import ValidationError

from hyperhive.config import (
    OF_THE_FORGE,
    Agent,
    DeclarationError,
    Driver,
    DriverKind,
    ForgeKind,
    Hive,
    Retention,
    load,
    parse,
    starting_point,
    unused,
)
from hyperhive.config.schema import MARKER, publish, reference, schema
from hyperhive.config.shape import attribute, keys, tables
from hyperhive.config.values import Table
from hyperhive.domain.actors import Role
from tests.promises import promise

DOCS = Path(__file__).parents[2] / "docs"
BASE = Path("/etc/hive")
QUEEN: Mapping[str, object] = {"role": "manager", "driver": {"kind": "command", "command": ["cat"]}}


def a_hive(**others: object) -> Hive:
    """Parse the smallest declaration, with ``others`` added at its top level."""
    return parse({"agents": {"queen": QUEEN}, **others}, BASE)


def a_hive_with(**settings: object) -> Agent:
    """Parse a hive whose second agent, alice, has these settings, and return her."""
    alice = {"driver": {"kind": "command", "command": ["cat"]}, **settings}
    return parse({"agents": {"queen": QUEEN, "alice": alice}}, BASE).agents["alice"]


def test_the_smallest_declaration_has_the_documented_defaults() -> None:
    hive = a_hive()

    assert (hive.name, hive.state_dir, hive.run_dir) == (
        "hive",
        Path("/var/lib/hyperhive"),
        Path("/run/hyperhive"),
    )
    assert (hive.operator.address, hive.operator.port) == ("127.0.0.1", 7700)
    assert hive.retention == Retention(messages_days=30, events_days=30, transcripts_days=14)
    assert hive.quotas.messages_per_minute == 120
    assert hive.restart.rollout.at_once == 4
    assert hive.manager.state_access == "read-only"


def test_an_agent_that_says_nothing_is_an_enabled_worker_who_may_write_to_everyone() -> None:
    alice = a_hive_with()

    assert (alice.role, alice.enable, alice.may_message, alice.tools) == (
        Role.WORKER,
        True,
        None,
        None,
    )
    assert (alice.runtime, alice.driver.turn_limit_seconds) == ("process", 1800)


def test_an_agent_gets_its_name_from_its_key() -> None:
    assert a_hive_with().name == "alice"


def test_an_agent_may_repeat_its_key_as_its_name() -> None:
    assert a_hive_with(name="alice").name == "alice"


def test_the_manager_is_found_by_its_role() -> None:
    assert a_hive().manager_name == "queen"


def test_a_disabled_agent_is_declared_but_not_among_those_that_run() -> None:
    hive = parse(
        {"agents": {"queen": QUEEN, "alice": {**QUEEN, "role": "worker", "enable": False}}}, BASE
    )

    assert set(hive.agents) == {"queen", "alice"}
    assert [agent.name for agent in hive.enabled_agents] == ["queen"]


def test_an_empty_allow_list_is_nobody_and_not_everyone() -> None:
    assert a_hive_with(mayMessage=[]).may_message == ()


def test_relative_paths_start_from_the_declaration(tmp_path: Path) -> None:
    file = tmp_path / "hive.toml"
    file.write_text(
        'stateDir = "./state"\nrunDir = "/run/hive"\n[operator]\nsecretFile = "./secret"\n'
        '[agents.queen]\nrole = "manager"\n'
        'driver = { kind = "scripted", script = "queen.json" }\n'
    )

    hive = load(file)

    assert hive.state_dir == tmp_path / "state"
    assert hive.run_dir == Path("/run/hive")
    assert hive.operator.secret_file == tmp_path / "secret"
    assert hive.agents["queen"].driver.script == tmp_path / "queen.json"


def test_a_program_with_a_slash_starts_from_the_declaration() -> None:
    driver = {"kind": "command", "command": ["./alice.sh", "./notes"]}

    assert a_hive_with(driver=driver).driver.command == ("/etc/hive/alice.sh", "./notes")


def test_a_program_without_a_slash_is_left_to_the_search_path() -> None:
    driver = {"kind": "command", "command": ["python3", "alice.py"]}

    assert a_hive_with(driver=driver).driver.command == ("python3", "alice.py")


def test_the_same_declaration_in_json_and_toml_is_the_same_hive(tmp_path: Path) -> None:
    (tmp_path / "hive.toml").write_text(starting_point())
    (tmp_path / "hive.json").write_text(json.dumps(tomllib.loads(starting_point())))

    assert load(tmp_path / "hive.toml") == load(tmp_path / "hive.json")


def test_a_file_with_another_suffix_is_read_by_its_first_character(tmp_path: Path) -> None:
    (tmp_path / "as-toml").write_text(starting_point())
    (tmp_path / "as-json").write_text(json.dumps(tomllib.loads(starting_point())))

    assert load(tmp_path / "as-toml") == load(tmp_path / "as-json")


def test_a_byte_order_mark_and_dos_line_ends_are_read_over(tmp_path: Path) -> None:
    file = tmp_path / "hive.toml"
    file.write_bytes(b"\xef\xbb\xbf" + starting_point().replace("\n", "\r\n").encode())

    assert load(file).manager_name == "queen"


def test_a_mapping_that_is_not_a_dict_is_parsed_alike() -> None:
    data = MappingProxyType({"agents": MappingProxyType({"queen": MappingProxyType(QUEEN)})})

    assert parse(data, BASE) == a_hive()


def test_a_hive_cannot_be_changed() -> None:
    hive = a_hive()

    with pytest.raises(ValidationError, match="frozen"):
        hive.name = "other"


def test_models_are_built_in_python_by_their_python_names() -> None:
    agent = Agent(
        name="alice",
        may_message=("queen",),
        driver=Driver(kind=DriverKind.COMMAND, command=("cat",), turn_limit_seconds=60),
    )

    assert agent.model_dump(mode="json", exclude_unset=True) == {
        "name": "alice",
        "mayMessage": ["queen"],
        "driver": {"kind": "command", "command": ["cat"], "turnLimitSeconds": 60.0},
    }


@pytest.mark.parametrize(
    ("memory", "in_bytes"), [("512", 512), ("2K", 2048), ("3G", 3 * 2**30), (None, None)]
)
def test_an_amount_of_memory_is_known_in_bytes(memory: str | None, in_bytes: int | None) -> None:
    assert a_hive_with(limits={"memory": memory}).limits.memory_bytes == in_bytes


def test_the_socket_of_an_agent_lies_below_the_run_directory() -> None:
    assert a_hive().socket_of("queen") == Path("/run/hyperhive/agents/queen/agent.sock")


def test_the_starting_point_is_a_manager_and_a_worker_that_this_version_runs(
    tmp_path: Path,
) -> None:
    file = tmp_path / "hive.toml"
    file.write_text(starting_point())

    hive = load(file)

    assert sorted(agent.role for agent in hive.agents.values()) == [Role.MANAGER, Role.WORKER]
    assert unused(hive) == []


def test_nothing_is_said_of_a_hive_that_uses_only_what_works() -> None:
    assert unused(a_hive(retention={"messagesDays": 7}, quotas={}, forge={})) == []


@pytest.mark.parametrize("pattern", OF_THE_FORGE)
def test_every_key_of_the_forge_is_warned_of_where_there_is_none(pattern: str) -> None:
    hive = parse(EVERYTHING, BASE)
    assert unused(hive) == []
    hive = hive.model_copy(update={"forge": hive.forge.model_copy(update={"kind": ForgeKind.NONE})})

    path = pattern.replace("*", "alice")

    assert [line for line in unused(hive) if line.startswith(f"{path} is set")]


BIND = {"hostPath": "/srv/data", "mountPoint": "/data"}


def test_what_was_left_out_or_null_is_not_warned_of() -> None:
    hive = parse(
        {"agents": {"queen": {**QUEEN, "driverTools": None, "binds": [], "credentials": {}}}}, BASE
    )

    assert unused(hive) == []


@pytest.mark.parametrize(
    "more", [{"binds": [BIND]}, {"limits": {"memory": "1G"}}, {"network": "none"}]
)
def test_what_the_process_runtime_cannot_keep_is_warned_of(more: dict[str, object]) -> None:
    hive = parse({"agents": {"queen": {**QUEEN, **more}}}, BASE)

    [line] = unused(hive)
    assert line.startswith(f"agents.queen.{next(iter(more))}: ")
    assert line.endswith("use bubblewrap.")


def test_every_key_of_the_forge_is_a_key() -> None:
    known = {path.replace("<name>", "*"): table for path, table in tables()}

    for pattern in OF_THE_FORGE:
        outer, _, key = pattern.rpartition(".")
        assert key in keys(known[outer])


@promise("D3")
def test_the_published_schema_is_that_of_the_models() -> None:
    assert (DOCS / "hive.schema.json").read_text(encoding="utf-8") == schema(), (
        "run: python -m hyperhive.config.schema docs"
    )


def test_the_published_reference_is_that_of_the_models() -> None:
    _, _, tail = (DOCS / "declaration.md").read_text(encoding="utf-8").partition(MARKER)

    assert tail == f"\n{reference()}", "run: python -m hyperhive.config.schema docs"


def test_publishing_keeps_what_a_person_wrote_above_the_marker(tmp_path: Path) -> None:
    page = tmp_path / "declaration.md"
    page.write_text(f"# By hand\n{MARKER}\nold tables\n")

    publish(tmp_path)

    assert page.read_text().startswith(f"# By hand\n{MARKER}\n## Top level\n")
    assert "old tables" not in page.read_text()


def test_the_example_of_the_reference_is_valid() -> None:
    _, _, rest = (DOCS / "declaration.md").read_text(encoding="utf-8").partition("```toml\n")

    hive = parse(tomllib.loads(rest.partition("```")[0]), BASE)

    assert unused(hive) == []


def test_the_faults_that_the_reference_shows_are_those_one_gets(tmp_path: Path) -> None:
    text = (DOCS / "declaration.md").read_text(encoding="utf-8")
    example = text.partition("```toml\n")[2].partition("```")[0]
    shown = text.partition("```text\n")[2].partition("```")[0]
    file = tmp_path / "hive.toml"
    file.write_text(
        example.replace("description", "descripton").replace('["manager", "op', '["qeen", "op')
    )

    with pytest.raises(DeclarationError) as caught:
        load(file)

    assert str(caught.value).replace(str(file), "hive.toml") == shown.strip()


def test_every_key_is_described() -> None:
    undescribed = [
        f"{path}.{key}"
        for path, table in tables()
        for key, field in keys(table).items()
        if not field.description
    ]

    assert undescribed == []


def test_the_schema_accepts_what_the_models_accept() -> None:
    validator = Draft202012Validator(json.loads(schema()))

    assert not list(validator.iter_errors(EVERYTHING))
    assert not list(validator.iter_errors(tomllib.loads(starting_point())))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"agents": {"queen": QUEEN}, "nme": "hive"},
        {"agents": {"Queen": QUEEN}},
        {"agents": {"queen": {**QUEEN, "may_message": []}}},
        {"agents": {"queen": QUEEN}, "operator": {"port": 65_536}},
    ],
)
def test_the_schema_refuses_what_can_be_seen_in_one_place(wrong: dict[str, object]) -> None:
    assert list(Draft202012Validator(json.loads(schema())).iter_errors(wrong))


def test_a_key_of_every_table_is_set_in_the_fullest_example() -> None:
    hive = parse(EVERYTHING, BASE)

    assert _unset(hive, ()) == []


def _unset(value: object, place: tuple[str, ...]) -> list[str]:
    match value:
        case Table():
            return [
                missing
                for key in keys(type(value))
                for missing in (
                    [".".join((*place, key))]
                    if attribute(type(value), key) not in value.model_fields_set
                    else _unset(getattr(value, attribute(type(value), key)), (*place, key))
                )
            ]
        case dict():
            filled = "alice" if "alice" in value else next(iter(value), "")
            return _unset(value.get(filled), (*place, filled))
        case (first, *_):
            return _unset(first, place)
        case _:
            return []


EVERYTHING: dict[str, object] = {
    "name": "Build hive",
    "stateDir": "/srv/hive",
    "runDir": "/run/hive",
    "operator": {
        "address": "::1",
        "port": 0,
        "secretFile": "/etc/hive/secret",
        "hosts": ["Hive.example.org"],
        "forgeAccount": "boss",
        "webhook": {"urlFile": "/run/secrets/webhook", "perMinute": 3, "withText": True},
    },
    "agents": {
        "queen": QUEEN,
        "alice": {
            "name": "alice",
            "role": "worker",
            "description": "Builds.",
            "enable": True,
            "driver": {
                "kind": "claude",
                "script": None,
                "command": ["claude"],
                "model": "large",
                "fallbackModel": "small",
                "extraArgs": ["--verbose"],
                "permissionPrompts": "operator",
                "turnLimitSeconds": 60,
            },
            "systemPrompt": "Be brief.",
            "runtime": "bubblewrap",
            "network": "host",
            "tools": ["send", "recv"],
            "driverTools": ["Bash"],
            "mayMessage": ["queen", "manager", "operator"],
            "quotas": {
                "messagesPerMinute": 10,
                "broadcastsPerMinute": 0,
                "openQuestions": 1,
                "pendingApprovals": 1,
                "pendingReminders": 1,
                "reminderBurst": 1,
                "remindersPerMinute": 1,
                "reminderHorizonDays": 1,
                "messageBytes": 1024,
                "reminderBytes": 512,
            },
            "limits": {
                "memory": "2G",
                "cpu": 1.5,
                "tasks": 100,
                "spendPerTurnUsd": 1,
                "spendPerDayUsd": 20,
            },
            "restart": {
                "policy": "never",
                "backoffSeconds": 1,
                "backoffMaxSeconds": 2,
                "crashLimit": 1,
                "crashWindowSeconds": 60,
            },
            "binds": [{"hostPath": "/data", "mountPoint": "/data", "isReadOnly": False}],
            "extraMcpServers": {
                "browser": {
                    "command": ["browser-mcp"],
                    "environment": {"HEADLESS": "1"},
                    "url": None,
                }
            },
            "environment": {"MODE": "test"},
            "credentials": {"ANTHROPIC_API_KEY": "/etc/hive/alice.key"},
            "forge": {"orgs": ["tools", "org-shared"], "mayCreateRepositories": False},
        },
    },
    "forge": {
        "kind": "forgejo",
        "url": "http://127.0.0.1:3000",
        "tokenFile": "/etc/hive/forge.token",
        "orgs": {
            "tools": {
                "description": "Tools.",
                "teams": {"core": {"permission": "admin", "members": ["alice", "manager"]}},
            }
        },
        "docs": {"org": "org-shared", "repository": "docs", "seedDirectory": "/etc/hive/docs"},
    },
    "quotas": {
        "messagesPerMinute": 60,
        "broadcastsPerMinute": 3,
        "openQuestions": 5,
        "pendingApprovals": 5,
        "pendingReminders": 5,
        "reminderBurst": 5,
        "remindersPerMinute": 5,
        "reminderHorizonDays": 30,
        "messageBytes": 8192,
        "reminderBytes": 2048,
    },
    "restart": {
        "backoffSeconds": 2,
        "backoffMaxSeconds": 300,
        "crashLimit": 3,
        "crashWindowSeconds": 600,
        "note": "wake",
        "rollout": {"drainSeconds": 0, "managerReadySeconds": 30, "atOnce": 2},
    },
    "retention": {"messagesDays": 7, "eventsDays": 7, "transcriptsDays": 3},
    "backups": {"everyHours": 12, "keep": 3},
    "limits": {"agents": 20, "spendPerDayUsd": 100},
    "manager": {"stateAccess": "read-write"},
    "spawned": {
        "credentials": {"ANTHROPIC_API_KEY": "./keys/spawned"},
        "flake": "/etc/hyperhive/spawned",
    },
}
"""A valid declaration that sets every key there is."""

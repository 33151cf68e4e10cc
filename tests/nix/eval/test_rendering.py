"""What the module renders is what the server reads: both sides of one golden file."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import BaseModel

from hyperhive import config
from hyperhive.config.agents import AgentQuotas, AgentRestart
from hyperhive.config.hive import Backups, Manager, Quotas, Restart, Retention, Rollout
from pytest_nixos import Documented, Evaluated, EvaluationFailed, Evaluator
from tests.nix.hives import HERE, HIVE, hive, small

GOLDEN: Final = HERE / "golden" / "hive.json"
SPAWNED: Final = "/etc/hyperhive/spawned"

DRIVER: Final[Mapping[str, Any]] = {
    "kind": "claude",
    "command": ["claude", "--quiet"],
    "model": "opus",
    "fallbackModel": "sonnet",
    "extraArgs": ["--verbose"],
    "permissionPrompts": "operator",
    "turnLimitSeconds": 60,
}
RESTART: Final[Mapping[str, Any]] = {
    "backoffSeconds": 1,
    "backoffMaxSeconds": 2.5,
    "crashLimit": 3,
    "crashWindowSeconds": 4,
}
QUOTAS: Final[Mapping[str, Any]] = {
    "messagesPerMinute": 1,
    "broadcastsPerMinute": 0,
    "openQuestions": 2,
    "pendingApprovals": 3,
    "pendingReminders": 4,
    "reminderBurst": 5,
    "remindersPerMinute": 6,
    "reminderHorizonDays": 7,
    "messageBytes": 8,
    "reminderBytes": 9,
}
ALICE: Final[Mapping[str, Any]] = {
    "enable": False,
    "role": "worker",
    "description": "Tests.",
    "systemPrompt": "Be brief.",
    "driver": DRIVER,
    "tools": [],
    "driverTools": ["Bash"],
    "mayMessage": [],
    "quotas": QUOTAS,
    "limits": {
        "memory": "1G",
        "cpu": 0.5,
        "tasks": 9,
        "spendPerTurnUsd": 1,
        "spendPerDayUsd": 2.5,
    },
    "restart": {**RESTART, "policy": "always"},
    "binds": [{"hostPath": "/srv/data", "mountPoint": "/data", "isReadOnly": False}],
    "extraMcpServers": {
        "one": {"command": ["one"], "environment": {"A": "b"}},
        "two": {"url": "http://127.0.0.1:9/mcp"},
    },
    "environment": {"MODE": "x"},
    "credentials": {"ANTHROPIC_API_KEY": "/var/lib/hive/keys/alice"},
    "forge": {"orgs": ["org-shared"], "mayCreateRepositories": False},
}
EVERYTHING: Final[Mapping[str, Any]] = {
    "name": "everything",
    "stateDir": "/var/lib/hive",
    "runDir": "/run/hive",
    "operator": {
        "address": "::1",
        "port": 7701,
        "hosts": ["hive.test"],
        "forgeAccount": "ann",
        "webhook": {"urlFile": "/var/lib/hive/keys/webhook", "perMinute": 3, "withText": True},
    },
    "agents": {
        "alice": ALICE,
        "bob": {
            "enable": True,
            "role": "manager",
            "driver": {"kind": "scripted", "script": "/etc/bob.json"},
        },
    },
    "quotas": QUOTAS,
    "restart": {
        **RESTART,
        "note": "next-turn",
        "rollout": {"drainSeconds": 0, "managerReadySeconds": 1.5, "atOnce": 2},
    },
    "retention": {"messagesDays": 1, "eventsDays": 2, "transcriptsDays": 3},
    "backups": {"everyHours": 12, "keep": 3},
    "limits": {"agents": 20, "spendPerDayUsd": 100},
    "manager": {"stateAccess": "read-only"},
    "spawned": {"credentials": {"ANTHROPIC_API_KEY": "/var/lib/hive/keys/spawned"}},
    "forge": {
        "kind": "forgejo",
        "url": "https://git.example.org",
        "tokenFile": "/var/lib/hive/keys/forge",
        "orgs": {
            "acme": {
                "description": "What is sold.",
                "teams": {"readers": {"permission": "read", "members": ["alice", "operator"]}},
            },
        },
        "docs": {"org": "org-shared", "repository": "handbook", "seedDirectory": "/srv/docs"},
    },
}
"""Every key that has an option of the same name, with a value; `null` never stands for anything."""

ONLY_ON_NIXOS: Final = {
    "enable": "whether there is a hive at all",
    "package": "what is installed",
    "uid": "the host's users",
    "allowUnfree": "what nixpkgs lets the containers have",
    "operator.passwordFile": "rendered as operator.secretFile",
    "operator.openFirewall": "the host's firewall",
    "forge.port": "rendered in forge.url, where the forge is on this host",
    "network": "the host's network",
    "guest": "the containers' NixOS",
    "settings": "rendered as it is",
    "spawned.enable": "whether systems can be built",
    "spawned.nixpkgs": "what they are built from",
    "spawned.guest": "the containers' NixOS",
    "agents.<name>.driver.package": "what is installed",
    "agents.<name>.network": "the container's network",
    "agents.<name>.address": "the container's network",
    "agents.<name>.nixDaemon": "a mount of the container",
    "agents.<name>.packages": "what is installed",
    "agents.<name>.guest": "the container's NixOS",
}
"""Options that no key of the declaration has, and what they are about instead."""


@pytest.fixture(scope="module")
def everything(nixos_eval: Evaluator) -> Evaluated:
    """A hive that sets every option that is rendered under its own name."""
    options = {**EVERYTHING, "enable": True, "allowUnfree": True}
    return hive(nixos_eval, {"services": {"hyperhive": options}})


@pytest.fixture(scope="module")
def options(little: Evaluated) -> dict[str, Documented]:
    """The reference of the module, by path below ``services.hyperhive``."""
    return {option.name.removeprefix(f"{HIVE}."): option for option in little.documented(HIVE)}


def test_the_example_renders_exactly_the_golden_file(example: Evaluated) -> None:
    assert example.value(f"{HIVE}.declaration") == json.loads(GOLDEN.read_text())


def test_the_server_reads_every_key_of_the_golden_file() -> None:
    read = config.load(GOLDEN)

    assert written_back(read) == json.loads(GOLDEN.read_text())


def test_every_option_is_rendered_under_its_own_name(everything: Evaluated) -> None:
    expected = json.loads(json.dumps(EVERYTHING))
    expected["spawned"]["flake"] = SPAWNED
    for agent in expected["agents"].values():
        agent["runtime"] = "nixos-container"

    assert everything.value(f"{HIVE}.declaration") == expected


def test_the_server_reads_whatever_options_render(everything: Evaluated, tmp_path: Path) -> None:
    rendered = everything.value(f"{HIVE}.declaration")

    read = config.parse(rendered, tmp_path)

    assert written_back(read) == rendered


def test_every_option_is_rendered_or_about_nixos(options: Mapping[str, Documented]) -> None:
    rendered = {*leaves(EVERYTHING)}
    about_nixos = tuple(ONLY_ON_NIXOS)

    unknown = {
        path
        for path in options
        if not any(path == one or path.startswith(f"{one}.") for one in about_nixos)
        and not any(path == one or one.startswith(f"{path}.") for one in rendered)
    }

    assert unknown == set()


def test_every_key_of_the_declaration_has_an_option_or_is_in_settings() -> None:
    without = {*model_keys(config.Hive)} - {"operator.secretFile"} - {*leaves(EVERYTHING)}

    # What a container sees of the network is NixOS' to make.
    of_boxes = {"agents.<name>.runtime", "agents.<name>.network"}
    assert without == {"agents.<name>.name", *of_boxes, "spawned.flake"}


@pytest.mark.parametrize(
    ("prefix", "model"),
    [
        ("quotas", Quotas),
        ("restart", Restart),
        ("restart.rollout", Rollout),
        ("retention", Retention),
        ("backups", Backups),
        ("manager", Manager),
    ],
)
def test_the_reference_shows_the_defaults_of_the_server(
    prefix: str, model: type[BaseModel], options: Mapping[str, Documented]
) -> None:
    served = {
        f"{prefix}.{field.alias}": field.default
        for field in model.model_fields.values()
        if field.default_factory is None
    }

    shown = {path: json.loads(options[path].default or "") for path in served}

    assert shown == {path: json.loads(json.dumps(value)) for path, value in served.items()}


@pytest.mark.parametrize(("prefix", "model"), [("quotas", AgentQuotas), ("restart", AgentRestart)])
def test_an_agent_without_numbers_of_its_own_has_the_hives(
    prefix: str, model: type[BaseModel], options: Mapping[str, Documented]
) -> None:
    shown = {
        options[f"agents.<name>.{prefix}.{field.alias}"].default
        for name, field in model.model_fields.items()
        if name != "policy"
    }

    assert shown == {"the hive's"}


def test_settings_say_what_has_no_option(nixos_eval: Evaluator) -> None:
    found = hive(nixos_eval, small(settings={"later": {"key": 1}}))

    declared = found.value(f"{HIVE}.declaration")

    assert (declared["later"], declared["name"]) == ({"key": 1}, "hive")


def test_the_build_checks_what_it_renders(example: Evaluated) -> None:
    source = 'environment.etc."hyperhive/hive.json".source'

    script = example.value(f"{source}.contents")

    assert re.search(
        r"/bin/hyperhive check-config (/nix/store/\S+-hive\.json)\ncp \1 \$out", script
    )


def test_the_check_of_the_build_passes_the_golden_file() -> None:
    assert checked(GOLDEN).returncode == 0


def test_an_unknown_key_in_settings_fails_the_check_of_the_build(
    nixos_eval: Evaluator, tmp_path: Path
) -> None:
    found = hive(nixos_eval, small(settings={"later": {"key": 1}}))
    rendered = tmp_path / "hive.json"
    rendered.write_text(json.dumps(found.value(f"{HIVE}.declaration")))

    said = checked(rendered)

    assert said.returncode == 1
    assert re.search(r"later\s+Unknown key `later`", said.stdout)


def test_settings_never_say_otherwise_than_an_option(nixos_eval: Evaluator) -> None:
    settings = {"operator": {"port": 8080}}

    found = hive(nixos_eval, small(operator={"port": 7700}, settings=settings))

    assert found.value(f"{HIVE}.declaration.operator.port") == 7700
    (said,) = (" ".join(message.split()) for message in found.failed)
    assert said.startswith(
        f"{HIVE}.settings.operator.port says otherwise than {HIVE}.operator.port"
    )
    assert said.endswith("Remove the one in settings.")


def test_what_was_said_in_settings_before_it_had_an_option_still_counts(
    nixos_eval: Evaluator,
) -> None:
    old = {
        "stateDir": "/srv/hive",
        "runDir": "/run/h",
        "operator": {
            "port": 7702,
            "secretFile": "/run/secrets/op",
            "webhook": {"urlFile": "/run/secrets/hook", "perMinute": 3},
        },
        "backups": {"keep": 3},
        "agents": small()["services"]["hyperhive"]["agents"],
    }

    found = hive(nixos_eval, {"services": {"hyperhive": {"enable": True, "settings": old}}})

    declared = found.value(f"{HIVE}.declaration")
    assert found.failed == []
    assert (declared["stateDir"], declared["runDir"]) == ("/srv/hive", "/run/h")
    assert declared["operator"] == {
        "address": "127.0.0.1",
        "port": 7702,
        "secretFile": "/run/credentials/hyperhive.service/operator",
        "webhook": {"urlFile": "/run/credentials/hyperhive.service/webhook", "perMinute": 3},
    }
    assert declared["backups"] == {"keep": 3}
    assert set(declared["agents"]) == {"alice", "bob", "queen"}
    assert {one.split("`")[1].split("'")[0] for one in found.warnings} >= {
        f"{HIVE}.settings.stateDir",
        f"{HIVE}.settings.operator.secretFile",
    }


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("operator.port", "7700"),
        ("operator.port", 70000),
        ("operator.passwordFile", "not/absolute"),
        ("agents.alice.role", "queen"),
        ("agents.alice.driver.kind", "gpt"),
        ("agents.alice.limits.memory", "2 GB"),
        ("agents.alice.limits.cpu", 0),
        ("agents.alice.network", "open"),
        ("agents.alice.credentials.KEY", "/nix/store/00000000000000000000000000000000-key"),
        ("agents.alice.colour", "blue"),
        ("restart.note", "shout"),
        ("restart.crashLimit", 0),
        ("quotas.messagesPerMinute", -1),
        ("retention.eventsDays", 0),
        ("uid", 0),
    ],
)
def test_a_wrong_value_fails_the_build_and_names_the_option(
    option: str, value: Any, nixos_eval: Evaluator
) -> None:
    wrong = value
    for name in reversed(option.split(".")):
        wrong = {name: wrong}

    with pytest.raises(EvaluationFailed) as failed:
        hive(nixos_eval, small(**wrong)).value(f"{HIVE}.declaration")

    assert option in str(failed.value)


def checked(file: Path) -> "subprocess.CompletedProcess[str]":
    """Run the check that the build runs."""
    return subprocess.run(
        [sys.executable, "-m", "hyperhive.cli.main", "check-config", file],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def written_back(read: config.Hive) -> dict[str, Any]:
    """Give what the server understood, without what it filled in."""
    data = read.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for agent in data["agents"].values():
        del agent["name"]
    return data


NAMED: Final = {
    "agents",
    "agents.<name>.extraMcpServers",
    "forge.orgs",
    "forge.orgs.<name>.teams",
}
"""Tables whose keys are names."""


def leaves(table: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Give the path of each value, with one name for all agents, MCP servers and so on."""
    for key, value in table.items():
        path = f"{at}{key}"
        if path in NAMED:
            for inner in value.values():
                yield from leaves(inner, f"{path}.<name>.")
        elif isinstance(value, Mapping) and path.split(".")[-1] not in {
            "environment",
            "credentials",
        }:
            yield from leaves(value, f"{path}.")
        elif path.endswith(".binds"):
            yield from leaves(value[0], f"{path}.*.")
        else:
            yield path


def model_keys(model: type[BaseModel], at: str = "") -> Iterator[str]:
    """Give the path of each key that a declaration may have, as ``leaves`` writes them."""
    for field in model.model_fields.values():
        path, annotation = f"{at}{field.alias}", str(field.annotation)
        inner = model_in(field.annotation)
        if inner is None:
            yield path
        else:
            many = ".<name>" if "dict[" in annotation else ".*" if "tuple[" in annotation else ""
            yield from model_keys(inner, f"{path}{many}.")


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Find the table that an annotation holds, if it does."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [model_in(part) for part in getattr(annotation, "__args__", ())]
    return next((one for one in found if one is not None), None)

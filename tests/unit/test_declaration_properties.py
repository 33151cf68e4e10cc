"""Whatever the declaration, a hive survives being written and read, and bad input is faults."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hyperhive.config import DeclarationError, Fault, load, parse
from hyperhive.config.agents import MANAGER_TOOLS, Tool
from hyperhive.config.shape import keys, tables
from hyperhive.domain.actors import name_fault

BASE = Path("/etc/hive")

names = st.from_regex(r"[a-z][a-z0-9-]{1,10}", fullmatch=True).filter(
    lambda name: name_fault(name) is None and name != "queen"
)
texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30)
words = texts.filter(bool)
paths = st.lists(st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), min_size=1, max_size=3).map(
    lambda parts: "/srv/" + "/".join(parts)
)
seconds = st.floats(0.001, 86_400)
counts = st.integers(1, 1_000_000)


def tables_of(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Tables with any subset of these keys."""
    return st.fixed_dictionaries({}, optional=optional)


drivers = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.just("command"), "command": st.lists(words, min_size=1, max_size=3)},
        optional={"turnLimitSeconds": seconds, "model": words},
    ),
    st.fixed_dictionaries({"kind": st.just("scripted"), "script": paths}),
    st.fixed_dictionaries({"kind": st.sampled_from(["claude", "codex"])}),
)
agents = st.fixed_dictionaries(
    {"driver": drivers},
    optional={
        "description": texts,
        "enable": st.booleans(),
        "systemPrompt": texts,
        "runtime": st.sampled_from(["process", "bubblewrap", "nixos-container"]),
        "network": st.just("host"),
        "tools": st.none() | st.lists(st.sampled_from(sorted(set(Tool) - MANAGER_TOOLS))),
        "driverTools": st.none() | st.lists(words, max_size=2),
        "mayMessage": st.none() | st.lists(st.sampled_from(["queen", "manager", "operator"])),
        "quotas": tables_of(messagesPerMinute=counts, messageBytes=st.integers(1, 1_048_576)),
        "limits": tables_of(memory=st.sampled_from(["1", "64M", "2G"]), cpu=st.floats(0.1, 64)),
        "environment": st.dictionaries(
            st.from_regex(r"[A-G][A-Z0-9_]{0,5}", fullmatch=True), texts
        ),
        "credentials": st.dictionaries(st.from_regex(r"[A-Z_]{1,6}", fullmatch=True), paths),
        "extraMcpServers": st.dictionaries(
            st.from_regex(r"[a-g]{1,6}", fullmatch=True),
            st.fixed_dictionaries({"command": st.lists(words, min_size=1, max_size=2)}),
        ),
    },
)
hives = st.builds(
    lambda workers, queen, rest: {
        **rest,
        "agents": {"queen": {**queen, "role": "manager"}, **workers},
    },
    st.dictionaries(names, agents, max_size=3),
    agents,
    tables_of(
        stateDir=paths.map(lambda path: f"/var{path}"),
        runDir=paths,
        operator=tables_of(port=st.integers(0, 65_535), secretFile=paths),
        retention=tables_of(messagesDays=st.integers(1, 36_500)),
        restart=tables_of(crashLimit=counts, note=st.sampled_from(["next-turn", "wake"])),
        quotas=tables_of(broadcastsPerMinute=st.integers(0, 100)),
        limits=tables_of(spendPerDayUsd=st.floats(0.01, 1_000)),
        manager=tables_of(stateAccess=st.sampled_from(["read-only", "read-write"])),
    ),
)

some_keys = st.sampled_from(sorted({key for _, table in tables() for key in keys(table)}))
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["manager", "command", "forgejo", "claude", "/", "*", "-1", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(some_keys | st.text(max_size=8) | names, inner, max_size=5)
    ),
    max_leaves=25,
)


@given(hives)
@settings(deadline=None)
def test_a_hive_written_as_json_is_read_as_the_same_hive(data: dict[str, Any]) -> None:
    hive = parse(data, BASE)

    assert parse(json.loads(hive.model_dump_json()), BASE) == hive


@given(hives)
@settings(deadline=None)
def test_a_hive_written_as_json_says_its_paths_whole(data: dict[str, Any]) -> None:
    hive = parse(data, BASE)

    assert parse(json.loads(hive.model_dump_json()), Path("/elsewhere")) == hive


def faults(data: dict[str, Any]) -> tuple[Fault, ...]:
    """Parse a declaration, and return what is wrong with it."""
    try:
        parse(data, BASE)
    except DeclarationError as error:
        str(error).encode()
        return error.faults
    return ()


@given(st.dictionaries(some_keys | st.text(max_size=8), anything, max_size=6))
@settings(deadline=None, max_examples=300)
def test_bad_input_is_faults_with_remedies_and_never_another_error(data: dict[str, Any]) -> None:
    assert all(fault.message and fault.remedy for fault in faults(data))


toml_lines = st.sampled_from(
    [
        "[agents.queen]",
        "[agents.queen.driver]",
        "[[agents.queen]]",
        "[agents]",
        '["agents"."queen"] # again',
        'role = "manager"',
        'driver = { kind = "claude" }',
        'driver.kind = "claude"',
        '"a=b" = [',
        "]",
        '"""',
        'text = """',
        "[",
        "x = 1979-05-27",
        "\x00",
        "# note",
    ]
)


@given(st.lists(toml_lines, max_size=12))
@settings(deadline=None, max_examples=200)
def test_toml_with_its_lines_mixed_up_is_faults_and_never_another_error(lines: list[str]) -> None:
    with TemporaryDirectory() as directory:
        file = Path(directory) / "hive.toml"
        file.write_text("\n".join(lines))
        try:
            names_found = list(load(file).agents)
        except DeclarationError as error:
            names_found = ["queen"] if error.faults else []

    assert names_found == ["queen"]


@given(hives, st.booleans())
@settings(deadline=None)
def test_an_unknown_key_is_one_fault_whatever_else_is_declared(
    data: dict[str, Any],
    in_agent: bool,
) -> None:
    place = data["agents"]["queen"] if in_agent else data
    place["zzzzzz"] = 1

    assert [fault.path.endswith("zzzzzz") for fault in faults(data)] == [True]

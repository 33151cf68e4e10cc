"""A file that cannot be read, or says a thing twice, is explained with its line."""

import json
from pathlib import Path
from typing import Any

import pytest

from hyperhive.config import DeclarationError, Fault, load

QUEEN: dict[str, Any] = {"role": "manager", "driver": {"kind": "command", "command": ["cat"]}}
TOML_QUEEN = '[agents.queen]\nrole = "manager"\ndriver = { kind = "command", command = ["cat"] }\n'


def fault_of_file(path: Path, content: bytes | str) -> Fault:
    """Write and load a file that must fail for one reason, and return it."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DeclarationError) as caught:
        load(path)
    [fault] = caught.value.faults
    return fault


def test_a_json_key_given_twice_is_a_fault_at_every_level(tmp_path: Path) -> None:
    file = tmp_path / "hive.json"
    file.write_text(
        '{"name": "a", "name": "b", "agents": {"queen": {"role": "worker", "role": "manager",'
        ' "driver": {"kind": "command", "command": ["cat"]},'
        ' "binds": [{"hostPath": "/a", "hostPath": "/data", "mountPoint": "/data"}]}}}'
    )

    with pytest.raises(DeclarationError) as caught:
        load(file)

    assert [fault.path for fault in caught.value.faults] == [
        "agents.queen.binds[0].hostPath",
        "agents.queen.role",
        "name",
    ]


def test_a_json_agent_given_twice_is_a_fault(tmp_path: Path) -> None:
    queen = json.dumps(QUEEN)

    fault = fault_of_file(
        tmp_path / "hive.json", f'{{"agents": {{"queen": {queen}, "queen": {queen}}}}}'
    )

    assert fault.path == "agents.queen"
    assert fault.message == 'The key "queen" is there more than once.'


def test_a_toml_table_given_twice_is_a_fault_with_its_line(tmp_path: Path) -> None:
    fault = fault_of_file(tmp_path / "hive.toml", TOML_QUEEN + '[agents.queen]\nrole = "worker"\n')

    assert fault.path == "agents.queen"
    assert fault.message == "Line 4 declares this a second time."


def test_a_toml_key_given_twice_is_a_fault_with_its_line(tmp_path: Path) -> None:
    fault = fault_of_file(tmp_path / "hive.toml", TOML_QUEEN + 'role = "worker" # = again\n')

    assert fault.path == "agents.queen.role"
    assert fault.message == "Line 4 declares this a second time."


def test_a_toml_duplicate_does_not_hide_the_other_faults(tmp_path: Path) -> None:
    file = tmp_path / "hive.toml"
    file.write_text(
        'name = "a"\nname = "b"\n'
        + TOML_QUEEN
        + TOML_QUEEN
        + "[agents.queen.limits]\ncpu = 1\n"
        + TOML_QUEEN.replace("queen", "rex")
        + "retntion = 5\n"
    )

    with pytest.raises(DeclarationError) as caught:
        load(file)

    assert [fault.path for fault in caught.value.faults] == [
        "agents.queen",
        "agents.rex.retntion",
        "agents.rex.role",
        "name",
    ]


def test_a_toml_duplicate_that_cannot_be_placed_is_still_a_fault_and_no_traceback(
    tmp_path: Path,
) -> None:
    fault = fault_of_file(tmp_path / "hive.toml", 'name = "a"\nname = """\nb\n"""\n' + TOML_QUEEN)

    assert fault.message.startswith("Line 4 is not TOML: Cannot overwrite a value")


@pytest.mark.parametrize(
    "second", ["[[agents.queen]]", "[agents.queen.driver]", "[agents.queen.role]"]
)
def test_a_toml_table_in_the_place_of_another_value_is_a_fault(tmp_path: Path, second: str) -> None:
    fault = fault_of_file(tmp_path / "hive.toml", f"{TOML_QUEEN}{second}\nx = 1\n")

    assert "4" in fault.message


def test_a_missing_file_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"There is no such file\..*hyperhive init"):
        load(tmp_path / "hive.toml")


def test_a_directory_is_no_declaration(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="This is a directory"):
        load(tmp_path)


def test_a_name_that_cannot_be_a_file_is_a_fault_and_no_traceback() -> None:
    with pytest.raises(DeclarationError, match="cannot be read"):
        load(Path("hive\0.toml"))


@pytest.mark.parametrize("name", ["hive.toml", "hive.json"])
@pytest.mark.parametrize("content", ["", " \n\t\n", "\ufeff"])
def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, name: str, content: str) -> None:
    assert fault_of_file(tmp_path / name, content).message == "The document is empty."


def test_a_toml_file_of_comments_lacks_its_agents(tmp_path: Path) -> None:
    assert fault_of_file(tmp_path / "hive.toml", "# nothing yet\n").path == "agents"


def test_a_file_that_is_not_utf_8_names_the_line(tmp_path: Path) -> None:
    fault = fault_of_file(tmp_path / "hive.toml", b'name = "a"\nstateDir = "\xff"\n')

    assert fault.message == "Line 2 is not UTF-8 (byte 0xff)."


def test_broken_json_names_line_and_column(tmp_path: Path) -> None:
    fault = fault_of_file(tmp_path / "hive.json", '{"name": "a",\n "agents" {}}')

    assert fault.message.startswith("Line 2, column 11 is not JSON: ")


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    fault = fault_of_file(tmp_path / "hive.toml", 'name = "a"\n[agents.queen\nrole = 1\n')

    assert fault.message.startswith("Line 2 is not TOML: ")


def test_toml_that_breaks_off_names_the_last_line(tmp_path: Path) -> None:
    fault = fault_of_file(tmp_path / "hive.toml", 'name = "a"\nstateDir = """')

    assert fault.message.startswith("Line 2 is not TOML: ")


@pytest.mark.parametrize("content", ["[]", "null", '"text"', "5"])
def test_json_that_is_no_table_is_a_fault(tmp_path: Path, content: str) -> None:
    assert "not a table" in fault_of_file(tmp_path / "hive.json", content).message


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1" * 5000])
def test_json_numbers_that_are_none_are_refused(tmp_path: Path, number: str) -> None:
    content = f'{{"operator": {{"port": {number}}}}}'

    assert fault_of_file(tmp_path / "hive.json", content).message.startswith("This is not JSON: ")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("hive.json", '{"a":' * 100 + "1" + "}" * 100),
        ("hive.json", "[" * 100_000),
        ("hive.toml", "a = " + "[" * 100_000),
        ("hive.toml", "a" + ".a" * 100 + " = 1"),
    ],
)
def test_a_document_nested_without_end_is_refused(tmp_path: Path, name: str, content: str) -> None:
    assert "nested" in fault_of_file(tmp_path / name, content).message


def test_a_toml_date_is_not_text(tmp_path: Path) -> None:
    fault = fault_of_file(tmp_path / "hive.toml", f"name = 2026-01-01\n{TOML_QUEEN}")

    assert fault.message == "This is a date or time; text belongs here."


def test_what_a_terminal_would_obey_is_escaped(tmp_path: Path) -> None:
    fault = fault_of_file(
        tmp_path / "hive.json", json.dumps({"agents": {"queen": QUEEN}, "\x1b[2J\ud800": 1})
    )

    assert "\x1b" not in str(fault)
    assert str(fault).encode()

"""``init``, ``check-config`` and ``doctor``."""

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from hyperhive.cli import checks, machine
from hyperhive.cli.checks import Level, Program
from hyperhive.cli.main import main
from tests.promises import promise

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _an_empty_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HYPERHIVE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


def a_program(*, path: str | None = None, is_needed: bool | None = None) -> Program:
    return Program("bwrap", path, "the runtime bubblewrap", is_needed, "install it.")


def test_the_starting_point_is_a_good_declaration(capsys: Capture) -> None:
    assert main(["init"]) == 0
    assert main(["check-config", "hive.toml"]) == 0
    assert "is good" in capsys.readouterr().out


def test_a_file_that_exists_is_never_overwritten(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "hive.toml").write_text("mine")

    assert main(["init", str(tmp_path)]) == 1
    assert (tmp_path / "hive.toml").read_text() == "mine"
    assert "exists already" in capsys.readouterr().err


def test_every_fault_is_named_with_path_value_and_remedy(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "hive.toml").write_text(
        'operator.port = 99999\nagents.Bob.role = "worker"\nagents.Bob.driver.kind = "claud"\n'
    )

    status = main(["check-config", "hive.toml", "--json"])

    told = json.loads(capsys.readouterr().out)
    assert status == 1
    assert {"operator.port", "agents.Bob.driver.kind"} <= {f["path"] for f in told["faults"]}
    assert all(fault["message"] and fault["remedy"] for fault in told["faults"])


def test_faults_are_shown_for_a_person_too(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "hive.toml").write_text('nmae = "x"\n')

    assert main(["check-config", "hive.toml"]) == 1
    assert re.search(r"^  nmae\n    .*`name`.*\n    → ", capsys.readouterr().out, re.MULTILINE)


def test_what_is_not_used_yet_is_a_warning_and_no_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    main(["init"])
    capsys.readouterr()
    monkeypatch.setattr("hyperhive.config.unused", lambda _: ["forge is set."])

    assert main(["check-config", "hive.toml", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["warnings"]) == (True, ["forge is set."])


def test_the_schema_is_printed_without_a_declaration(capsys: Capture) -> None:
    assert main(["check-config", "--schema"]) == 0
    assert "agents" in json.loads(capsys.readouterr().out)["properties"]


def test_doctor_judges_the_declarations_places(capsys: Capture) -> None:
    main(["init"])
    capsys.readouterr()

    main(["doctor", "--json"])

    told = {
        check["name"]: check["level"] for check in json.loads(capsys.readouterr().out)["checks"]
    }
    assert told["declaration"] == told["stateDir"] == told["socket paths"] == "ok"


@promise("C2")
def test_doctor_fails_on_what_the_hive_cannot_do_without(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(machine, "python_version", lambda: (3, 10, 0))

    assert main(["doctor"]) == 1
    assert "Install Python 3.11" in capsys.readouterr().out


def test_doctor_only_warns_where_there_is_no_declaration(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("hyperhive.cli.settings.CONFIG_PLACES", ("hive.toml",))

    assert main(["doctor"]) == 0
    assert "hyperhive init" in capsys.readouterr().out


def the_findings(capsys: Capture) -> dict[str, tuple[str, str]]:
    main(["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)["checks"]
    return {check["name"]: (check["level"], check["said"]) for check in told}


def a_declaration(tmp_path: Path, agent: str) -> None:
    (tmp_path / "hive.toml").write_text(
        'stateDir = "state"\nrunDir = "run"\n[agents.queen]\nrole = "manager"\n' + agent
    )


@promise("C2")
def test_doctor_says_why_no_box_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    a_declaration(
        tmp_path, 'runtime = "bubblewrap"\ndriver = { kind = "command", command = ["x"] }'
    )
    monkeypatch.setattr(machine, "program_path", lambda *_: "/bin/it")
    monkeypatch.setattr(machine, "boxes_fault", lambda: "Namespaces are off.")

    assert the_findings(capsys)["boxes"] == ("fail", "Namespaces are off.")


def test_doctor_tries_no_box_where_there_is_no_bubblewrap(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(machine, "program_path", lambda *_: None)
    monkeypatch.setattr(machine, "boxes_fault", pytest.fail)

    assert "boxes" not in the_findings(capsys)


def test_doctor_looks_for_an_agents_program_where_the_agent_will(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    a_declaration(
        tmp_path,
        'driver = { kind = "claude", command = ["my-claude"] }\nenvironment = { PATH = "/opt" }\n',
    )
    asked: list[tuple[object, ...]] = []

    def look(*place: object) -> None:
        asked.append(place)

    monkeypatch.setattr(machine, "program_path", look)

    level, said = the_findings(capsys)["my-claude"]

    assert level == "fail"
    assert "queen" in said
    assert ("my-claude", "/opt") in asked


@pytest.mark.parametrize(
    ("check", "level"),
    [
        (lambda: checks.python_check((3, 11, 0)), Level.OK),
        (lambda: checks.python_check((3, 10, 9)), Level.FAIL),
        (lambda: checks.sqlite_check((3, 35, 0), 3), Level.OK),
        (lambda: checks.sqlite_check((3, 34, 9), 3), Level.FAIL),
        (lambda: checks.sqlite_check((3, 40, 1), 0), Level.FAIL),
        (lambda: checks.directory_check("stateDir", "/x", None), Level.OK),
        (lambda: checks.directory_check("stateDir", "/x", "it cannot be made"), Level.FAIL),
        (lambda: checks.socket_path_check(["/a", "/" + "x" * 106]), Level.OK),
        (lambda: checks.socket_path_check(["/a", "/" + "x" * 107]), Level.FAIL),
        (lambda: checks.socket_path_check(["/" + "ü" * 60]), Level.FAIL),
        (lambda: checks.program_check(a_program(path="/bin/x")), Level.OK),
        (lambda: checks.program_check(a_program(is_needed=True)), Level.FAIL),
        (lambda: checks.program_check(a_program(is_needed=False)), Level.OK),
        (lambda: checks.program_check(a_program(is_needed=None)), Level.WARN),
        (lambda: checks.boxes_check(None, is_needed=True), Level.OK),
        (lambda: checks.boxes_check("No.", is_needed=True), Level.FAIL),
        (lambda: checks.boxes_check("No.", is_needed=None), Level.WARN),
        (lambda: checks.boxes_check("No.", is_needed=False), Level.OK),
        (lambda: checks.disk_check(50 * checks.GIB, 100 * checks.GIB), Level.OK),
        (lambda: checks.disk_check(4 * checks.GIB, 100 * checks.GIB), Level.WARN),
        (lambda: checks.disk_check(900 * checks.MIB, 2 * checks.GIB), Level.WARN),
        (lambda: checks.disk_check(checks.GIB, 100 * checks.GIB), Level.FAIL),
        (lambda: checks.disk_check(200 * checks.MIB, checks.GIB), Level.FAIL),
        (lambda: checks.open_files_check(1024, 1024, 10), Level.OK),
        (lambda: checks.open_files_check(1024, 4096, 50), Level.WARN),
        (lambda: checks.open_files_check(1024, 1024, 50), Level.FAIL),
        (lambda: checks.open_files_check(-1, -1, 500), Level.OK),
        (lambda: checks.port_check("127.0.0.1", 1, None, hive_answers=False), Level.OK),
        (lambda: checks.port_check("127.0.0.1", 1, "in use", hive_answers=True), Level.OK),
        (lambda: checks.port_check("127.0.0.1", 1, "in use", hive_answers=False), Level.FAIL),
        (lambda: checks.clock_check(1.8e9, 1.79e9), Level.OK),
        (lambda: checks.clock_check(0.0, 1.79e9), Level.FAIL),
        (lambda: checks.clock_check(5e9, 1.79e9), Level.FAIL),
    ],
)
def test_a_check_judges_by_its_bounds(check: Callable[[], checks.Check], level: Level) -> None:
    judged = check()

    assert judged.level is level
    assert bool(judged.remedy) == (level is not Level.OK)


def test_a_directory_that_could_be_made_can_be_written_to(tmp_path: Path) -> None:
    assert machine.writing_fault(tmp_path / "not" / "yet") is None


def test_a_path_below_a_file_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert "no directory" in str(machine.writing_fault(tmp_path / "file"))


def test_a_port_in_use_is_found(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        assert (
            machine.binding_fault("127.0.0.1", other.getsockname()[1]) == "something else uses it"
        )

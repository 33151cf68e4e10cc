"""``hyperhive login``: a credential gets where the declaration says, and nowhere else."""

import io
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperhive import config
from hyperhive.cli import credentials
from hyperhive.cli.main import main
from hyperhive.cli.visits import login_command
from tests.surfaces.cli_answers import a_pause, a_snapshot
from tests.surfaces.fake_hive import Answer, FakeHive, fake_hive

Capture = pytest.CaptureFixture[str]
SECRET = "sk-very-secret"


@pytest.fixture(autouse=True)
def _a_hive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYPERHIVE_ADMIN_SOCKET", raising=False)
    monkeypatch.delenv("HYPERHIVE_CONFIG", raising=False)
    (tmp_path / "run").mkdir()
    (tmp_path / "hive.toml").write_text(
        """
        stateDir = "state"
        runDir = "run"
        [agents.queen]
        role = "manager"
        driver.kind = "claude"
        credentials = { ANTHROPIC_API_KEY = "./keys/queen", OTHER = "./keys/other" }
        [agents.bob]
        driver.kind = "claude"
        credentials = { ANTHROPIC_API_KEY = "./keys/bob" }
        [agents.eve]
        driver.kind = "codex"
        """
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeHive]:
    with fake_hive(tmp_path / "run" / "admin.sock") as hive:
        hive.answers("POST", "/api/agents/bob/resume", Answer({"agent": "bob", "seq": 1}))
        yield hive


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the secret on standard input."""
    typed(monkeypatch, f"{SECRET}\n".encode())


def typed(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("given")
def test_a_credential_is_stored_where_it_is_declared_for_its_owner_alone(
    tmp_path: Path, capsys: Capture
) -> None:
    before = os.umask(0)
    try:
        status = main(["login", "bob"])
    finally:
        os.umask(before)

    stored = tmp_path / "keys" / "bob"
    assert (status, stored.read_text()) == (0, f"{SECRET}\n")
    assert (mode(stored), mode(stored.parent)) == (0o600, 0o700)
    assert list(stored.parent.iterdir()) == [stored]
    said = capsys.readouterr()
    assert "does not run now" in said.out
    assert SECRET not in said.out + said.err


@pytest.mark.usefixtures("given")
def test_a_credential_that_was_there_is_replaced_and_closed_to_others(tmp_path: Path) -> None:
    old = tmp_path / "keys" / "bob"
    old.parent.mkdir()
    old.write_text("old")
    old.chmod(0o644)
    reader = old.open()

    main(["login", "bob"])

    assert (old.read_text(), mode(old)) == (f"{SECRET}\n", 0o600)
    with reader:
        assert reader.read() == "old"


def test_a_credential_comes_from_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "given").write_text(SECRET)

    assert main(["login", "bob", "--file", "given"]) == 0
    assert (tmp_path / "keys" / "bob").read_text() == f"{SECRET}\n"


def test_on_a_terminal_it_is_typed_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt, stream: SECRET)

    assert main(["login", "bob"]) == 0
    assert (tmp_path / "keys" / "bob").read_text() == f"{SECRET}\n"


@pytest.mark.parametrize("text", [b"", b" \n", b"two\nlines", b"\xff", b"x\0y", b"x" * 70_000])
def test_what_is_no_credential_is_refused_unseen_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, text: bytes
) -> None:
    typed(monkeypatch, text)

    assert main(["login", "bob"]) == 1
    assert not (tmp_path / "keys").exists()
    assert capsys.readouterr().err.startswith("hyperhive: That is no credential")


@pytest.mark.usefixtures("given")
def test_a_copy_that_systemd_made_is_left_alone_and_the_way_is_said(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "SYSTEMD_CREDENTIALS", tmp_path / "keys")

    assert main(["login", "bob"]) == 1
    assert "systemctl restart hyperhive" in capsys.readouterr().err
    assert not (tmp_path / "keys" / "bob").exists()


@pytest.mark.usefixtures("given")
def test_a_file_that_something_else_manages_is_left_alone(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "managed").write_text("mine")
    (tmp_path / "keys" / "bob").symlink_to(tmp_path / "managed")

    assert main(["login", "bob"]) == 1
    assert (tmp_path / "managed").read_text() == "mine"
    assert "manages it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "bob"),
        (["queen"], "--credential"),
        (["queen", "--credential", "NONE"], "ANTHROPIC_API_KEY"),
        (["eve"], "agents.eve.credentials = { OPENAI_API_KEY"),
    ],
)
@pytest.mark.usefixtures("given")
def test_a_credential_that_is_not_declared_is_an_error_that_says_what_is(
    tmp_path: Path, capsys: Capture, arguments: list[str], said: str
) -> None:
    assert main(["login", *arguments]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "keys").exists()


@pytest.mark.usefixtures("given")
def test_one_of_several_is_chosen_by_name(tmp_path: Path) -> None:
    assert main(["login", "queen", "--credential", "OTHER"]) == 0
    assert (tmp_path / "keys" / "other").exists()


@pytest.mark.parametrize(
    ("facts", "asked", "said"),
    [
        ({}, 1, "from its next turn on"),
        ({"pauses": [a_pause(cause="login")]}, 1, "from its next turn on"),
        ({"pauses": [a_pause(cause="login"), a_pause()]}, 0, "hyperhive resume bob"),
        ({"pauses": [a_pause(cause="spend")]}, 0, "hyperhive resume bob"),
        ({"held": {"by": "operator", "at": 1.0}}, 0, "hyperhive start bob"),
    ],
)
@pytest.mark.usefixtures("given")
def test_an_agent_is_resumed_unless_something_else_is_to_keep_it(
    server: FakeHive, capsys: Capture, facts: dict[str, object], asked: int, said: str
) -> None:
    server.answers("GET", "/api/state", Answer(a_snapshot(agent_facts=facts)))

    assert main(["login", "bob"]) == 0
    assert len(server.asked_of("/api/agents/bob/resume")) == asked
    assert said in capsys.readouterr().out


@pytest.mark.usefixtures("given")
def test_where_it_went_is_an_object_without_the_secret(capsys: Capture, tmp_path: Path) -> None:
    main(["login", "bob", "--json"])

    assert json.loads(capsys.readouterr().out) == {
        "agent": "bob",
        "credential": "ANTHROPIC_API_KEY",
        "path": str(tmp_path / "keys" / "bob"),
        "resumed": False,
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bob", "--", "claude", "setup-token"], "needs --interactive"),
        (["bob", "--interactive", "--credential", "ANTHROPIC_API_KEY"], "takes neither"),
    ],
)
def test_what_does_not_go_together_is_refused(
    capsys: Capture, arguments: list[str], said: str
) -> None:
    assert main(["login", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("bob", ("claude", "/login")),
        ("eve", ("codex", "login")),
        ("tom", ("/opt/c", "-v", "login")),
    ],
)
def test_each_program_has_a_login_of_its_own(
    tmp_path: Path, name: str, command: tuple[str, ...]
) -> None:
    with (tmp_path / "hive.toml").open("a") as file:
        file.write('[agents.tom]\ndriver = { kind = "codex", command = ["/opt/c", "-v"] }\n')

    assert login_command(config.load(tmp_path / "hive.toml").agents[name]) == command


def test_a_program_without_a_login_must_be_named(tmp_path: Path, capsys: Capture) -> None:
    with (tmp_path / "hive.toml").open("a") as file:
        file.write('[agents.tom]\ndriver = { kind = "command", command = ["true"] }\n')

    assert main(["login", "tom", "--interactive"]) == 1
    assert "after `--`" in capsys.readouterr().err


def test_without_a_terminal_nobody_is_kept_from_working(server: FakeHive, capsys: Capture) -> None:
    assert main(["login", "bob", "--interactive"]) == 1
    assert "needs a terminal" in capsys.readouterr().err
    assert not server.asked_of("/api/agents/bob/visit")


def spawns(server: FakeHive, name: str) -> None:
    agents = [
        {"name": "queen", "declared": True},
        {"name": name, "declared": False, "held": None, "pauses": []},
    ]
    server.answers("GET", "/api/state", Answer({"agents": agents}))
    server.answers("POST", f"/api/agents/{name}/resume", Answer({"agent": name, "seq": 1}))


@pytest.mark.usefixtures("given")
def test_the_managers_key_is_not_replaced_through_an_agent_that_only_uses_it(
    tmp_path: Path, capsys: Capture, server: FakeHive
) -> None:
    spawns(server, "carol")
    assert main(["login", "carol"]) == 1
    said = capsys.readouterr().err
    assert "carol uses the credentials of queen" in said
    assert "hyperhive login queen" in said
    assert not (tmp_path / "keys" / "queen").exists()


@pytest.mark.usefixtures("given")
def test_the_credential_of_agents_that_came_at_run_time_is_stored_where_it_is_declared(
    tmp_path: Path, server: FakeHive
) -> None:
    spawns(server, "carol")
    with (tmp_path / "hive.toml").open("a") as declaration:
        declaration.write('[spawned]\ncredentials = { ANTHROPIC_API_KEY = "./keys/spawned" }\n')
    assert main(["login", "carol"]) == 0
    assert (tmp_path / "keys" / "spawned").read_text().strip() == SECRET

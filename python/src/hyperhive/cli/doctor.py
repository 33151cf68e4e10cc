"""``hyperhive doctor``: what is missing on this machine, and what to do."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from hyperhive.cli import checks, machine
from hyperhive.cli.checks import Check, Level, Program
from hyperhive.cli.options import HiveCommand
from hyperhive.cli.output import painted, print_json, printable
from hyperhive.cli.settings import ADMIN_SOCKET, Settings
from hyperhive.domain.errors import HiveError

if TYPE_CHECKING:
    from hyperhive.config import Hive


@click.command(cls=HiveCommand)
@click.pass_obj
def doctor(settings: Settings) -> int:
    """Check this machine, and the declaration if there is one; change nothing.

    Exits 1 if something is missing without which the hive cannot run. Run it as the user that
    runs the hive.
    """
    hive, declaration = _declaration(settings)
    found = [declaration, *_machine(), *(_places(hive) if hive else ()), *_programs(hive)]
    failed = any(check.level is Level.FAIL for check in found)
    if settings.as_json:
        print_json({"ok": not failed, "checks": [check._asdict() for check in found]})
        return int(failed)
    width = max(len(check.name) for check in found)
    for check in found:
        level = painted(check.level) + " " * (4 - len(check.level))
        print(f"{level}  {check.name:<{width}}  {printable(check.said)}")
        if check.remedy:
            print(f"      {'':<{width}}  → {check.remedy}")
    return int(failed)


def _declaration(settings: Settings) -> tuple["Hive | None", Check]:
    from hyperhive import config

    try:
        path = settings.config_path()
    except HiveError as error:
        if settings.config is not None:
            raise
        return None, Check("declaration", Level.WARN, error.detail, error.remedy)
    try:
        hive = config.load(path)
    except config.DeclarationError as error:
        said = f"{path} has {len(error.faults)} fault{'s' if len(error.faults) > 1 else ''}"
        remedy = f"See `hyperhive check-config {path}`."
        return None, Check("declaration", Level.FAIL, said, remedy)
    return hive, Check("declaration", Level.OK, f"{path}, {len(hive.agents)} agents")


def _machine() -> Iterator[Check]:
    yield checks.python_check(machine.python_version())
    yield checks.sqlite_check(*machine.sqlite_facts())
    yield checks.clock_check(*machine.clock_facts())


def _places(hive: "Hive") -> Iterator[Check]:
    for option, path in (("stateDir", hive.state_dir), ("runDir", hive.run_dir)):
        yield checks.directory_check(option, str(path), machine.writing_fault(path))
    admin = hive.run_dir / ADMIN_SOCKET
    sockets = [admin, *(hive.socket_of(name) for name in hive.agents)]
    yield checks.socket_path_check(str(path) for path in sockets)
    yield checks.disk_check(*machine.disk_room(hive.state_dir))
    yield checks.open_files_check(*machine.open_files_limits(), len(hive.enabled_agents))
    address, port = hive.operator.address, hive.operator.port
    fault = machine.binding_fault(address, port)
    yield checks.port_check(address, port, fault, hive_answers=machine.hive_answers(admin))


def _programs(hive: "Hive | None") -> Iterator[Check]:
    runtimes = {str(agent.runtime) for agent in hive.enabled_agents} if hive else set[str]()
    drivers = {str(agent.driver.kind) for agent in hive.enabled_agents} if hive else set[str]()

    def needed(is_used: bool) -> bool | None:  # noqa: FBT001 - a value, not a switch
        return is_used if hive else None

    for name, purpose, is_used, remedy in (
        ("bwrap", "the runtime bubblewrap", "bubblewrap" in runtimes, "install bubblewrap"),
        ("git", "the forge", False, "install git"),
        (
            "node",
            "the drivers claude and codex",
            bool(drivers & {"claude", "codex"}),
            "install Node.js",
        ),
        (
            "claude",
            "the driver claude",
            "claude" in drivers,
            "install Claude Code (npm: @anthropic-ai/claude-code)",
        ),
        ("codex", "the driver codex", "codex" in drivers, "install Codex (npm: @openai/codex)"),
    ):
        program = Program(name, machine.program_path(name), purpose, needed(is_used), f"{remedy}.")
        yield checks.program_check(program)

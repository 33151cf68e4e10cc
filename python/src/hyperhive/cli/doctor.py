"""``hyperhive doctor``: what is missing on this machine, and what to do."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import click

from hyperhive.cli import checks, machine
from hyperhive.cli.checks import Check, Level, Program
from hyperhive.cli.options import HiveCommand
from hyperhive.cli.output import painted, print_json, printable
from hyperhive.cli.settings import ADMIN_SOCKET, Settings
from hyperhive.domain.errors import HiveError

if TYPE_CHECKING:
    from hyperhive.config import Agent, Hive

_CLIENTS: Final = {
    "claude": "install Claude Code (npm: @anthropic-ai/claude-code)",
    "codex": "install Codex (npm: @openai/codex)",
}
"""The drivers that run a program of somebody else, each with how to get it."""


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
    agents = hive.enabled_agents if hive else ()
    runtimes = {str(agent.runtime) for agent in agents}
    drivers = {str(agent.driver.kind) for agent in agents}

    def needed(is_used: bool) -> bool | None:  # noqa: FBT001 - a value, not a switch
        return is_used if hive else None

    in_boxes = needed("bubblewrap" in runtimes)
    bwrap = machine.program_path("bwrap")
    yield checks.program_check(
        Program("bwrap", bwrap, "the runtime bubblewrap", in_boxes, "install bubblewrap.")
    )
    if bwrap is not None:
        yield checks.boxes_check(machine.boxes_fault(), is_needed=in_boxes)
    for name, purpose, is_used in (
        ("git", "the embedded forge", hive is not None and str(hive.forge.kind) == "embedded"),
        ("node", "the drivers claude and codex", bool(drivers & set(_CLIENTS))),
    ):
        path = machine.program_path(name)
        remedy = f"install {'Node.js' if name == 'node' else 'git 2.38 or later'}."
        yield checks.program_check(Program(name, path, purpose, needed(is_used), remedy))
    for kind, remedy in _CLIENTS.items():
        users = [agent for agent in agents if str(agent.driver.kind) == kind]
        if users:
            yield from _clients(users, kind, remedy)
        else:
            path = machine.program_path(kind)
            purpose = f"the driver {kind}"
            yield checks.program_check(Program(kind, path, purpose, needed(False), f"{remedy}."))


def _clients(users: Iterable["Agent"], kind: str, remedy: str) -> Iterator[Check]:
    """Look for the programs that these agents run, each where its agent will look for it."""
    wanted: dict[tuple[str, str | None], list[str]] = {}
    for agent in users:
        program = agent.driver.command[0] if agent.driver.command else kind
        wanted.setdefault((program, agent.environment.get("PATH")), []).append(agent.name)
    for (program, path), names in wanted.items():
        found = machine.program_path(program, path)
        purpose = f"the driver {kind} of {', '.join(names)}"
        how = f"{remedy}, or name it in `driver.command`."
        yield checks.program_check(Program(program, found, purpose, True, how))

"""``hyperhive login``: puts an agent's credential where the declaration says it is.

With ``--interactive`` the agent's program logs in by itself instead, in the agent's box.

The secret comes from standard input or a file, never from an argument, which every user of the
machine could read. It is written beside its place and moved there, so that a turn that begins
meanwhile reads the old one or the new one and nothing in between.
"""

import contextlib
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hyperhive.cli.options import HiveCommand
from hyperhive.cli.output import print_json, printable
from hyperhive.cli.settings import Settings
from hyperhive.domain.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)

if TYPE_CHECKING:
    from hyperhive.config import Agent, Hive

BYTES_MAX: Final = 64 * 1024
MODE: Final = 0o600
SYSTEMD_CREDENTIALS: Final = Path("/run/credentials")

_EXAMPLES: Final = {"claude": "ANTHROPIC_API_KEY", "codex": "OPENAI_API_KEY"}


@click.command(cls=HiveCommand)
@click.argument("name", metavar="NAME")
@click.option("--credential", metavar="NAME", help="Which one, where the agent has several.")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Read it from this file.  [default: standard input, unseen on a terminal]",
)
@click.option(
    "--interactive",
    "-i",
    is_flag=True,
    help="Run the program's own login in the agent's box, on this terminal.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@click.pass_obj
def login(
    settings: Settings,
    name: str,
    credential: str | None,
    file: Path | None,
    interactive: bool,  # noqa: FBT001 - a flag of the command line
    command: tuple[str, ...],
) -> None:
    """Store a credential of the agent NAME, and let it work again if it waits for one.

    It goes into the file that the declaration names under `credentials`, readable for its owner
    alone, and holds from the agent's next turn on. Run this where the hive runs.

    With --interactive nothing is stored from here: `claude /login`, `codex login` or COMMAND runs
    in the agent's box, and what it leaves in the agent's home holds from the next turn on.
    """
    if interactive and (credential or file):
        raise click.UsageError("--interactive takes neither --credential nor --file.")
    if command and not interactive:
        raise click.UsageError("A COMMAND needs --interactive.")
    hive, is_spawned = _hive_of(settings, name)
    if interactive:
        _log_in_there(settings, hive, name, command)
        return
    key, path = _place(hive, name, credential, is_spawned=is_spawned)
    secret = _secret(f"{key} of {name}: ", file)
    _store(path, secret, hive.state_dir)
    did = _let_work(settings, name)
    if settings.as_json:
        print_json(
            {"agent": name, "credential": key, "path": str(path), "resumed": did == "resumed"}
        )
        return
    print(printable(f"Stored {key} of {name} in {path}. {_after(name, did)}"))


def _hive_of(settings: Settings, name: str) -> "tuple[Hive, bool]":
    """Give the declaration with the agent in it, and whether that is one of those that came later.

    What a commit says of such an agent is not asked for: it changes nothing of its box.
    """
    from hyperhive import config
    from hyperhive.config.spawned import SpawnedAgent, with_spawned

    hive = config.load(settings.config_path())
    if name in hive.agents:
        return hive, False
    with contextlib.suppress(UnavailableError), settings.client() as client:
        if any(each["name"] == name for each in client.state()["agents"] if not each["declared"]):
            return with_spawned(hive, {name: SpawnedAgent()}), True
    return hive, False


def _log_in_there(settings: Settings, hive: "Hive", name: str, command: tuple[str, ...]) -> None:
    """Let the agent's program log in within its box; a login that failed lets nobody work."""
    from hyperhive.cli.visits import login_command, visit

    agent = hive.agents.get(name)
    if agent is None:
        raise NotFoundError("agent", name, sorted(hive.agents))
    argv = command or login_command(agent)
    status = visit(settings, hive, name, argv)
    if status != 0:
        raise ConflictError(
            f"{argv[0]} ended with status {status}, so {name} is as it was before.",
            f"Try again, or `hyperhive resume {name}` if it is logged in all the same.",
        )
    did = _let_work(settings, name)
    if settings.as_json:
        print_json({"agent": name, "command": list(argv), "resumed": did == "resumed"})
        return
    print(printable(f"{argv[0]} has logged in for {name}. {_after(name, did)}"))


def _after(name: str, did: str) -> str:
    return {
        "resumed": f"{name} uses it from its next turn on.",
        "held": f"{name} is stopped: `hyperhive start {name}`.",
        "paused": f"{name} stays paused: `hyperhive resume {name}` lets it work.",
        "away": f"{name} does not run now; it uses it once it does.",
    }[did]


def _place(
    hive: "Hive", name: str, credential: str | None, *, is_spawned: bool
) -> tuple[str, Path]:
    agent = hive.agents.get(name)
    if agent is None:
        raise NotFoundError("agent", name, sorted(hive.agents))
    declared = agent.credentials
    if is_spawned and not hive.spawned.credentials:
        raise InvalidError(
            f"{name} uses the credentials of {hive.manager_name}.",
            f"Store them by `hyperhive login {hive.manager_name}`, or declare "
            "`spawned.credentials` for all agents that come at run time.",
        )
    if not declared:
        raise InvalidError(f"{name} has no credential declared.", _how_to_declare(agent))
    if credential is None:
        if len(declared) > 1:
            raise InvalidError(
                f"{name} has several credentials: {', '.join(declared)}.",
                "Say which with --credential.",
            )
        (credential,) = declared
    if credential not in declared:
        raise NotFoundError("credential", credential, sorted(declared))
    return credential, declared[credential]


def _how_to_declare(agent: "Agent") -> str:
    key = _EXAMPLES.get(str(agent.driver.kind), "NAME")
    return f'Write agents.{agent.name}.credentials = {{ {key} = "/path/of/its/file" }} first.'


def _secret(prompt: str, file: Path | None) -> str:
    """Read one line of text; everything else is refused without being shown."""
    if file is not None and str(file) != "-":
        with file.open("rb") as source:
            given = source.read(BYTES_MAX + 1)
    elif sys.stdin.isatty():
        from getpass import getpass

        given = getpass(prompt, stream=sys.stderr).encode()
    else:
        given = sys.stdin.buffer.read(BYTES_MAX + 1)
    with contextlib.suppress(UnicodeDecodeError):
        text = given.decode("utf-8").strip()
        if text and len(given) <= BYTES_MAX and not set(text) & {"\n", "\r", "\0"}:
            return text
    raise InvalidError(
        "That is no credential: it must be one line of text.", "Nothing was changed; try again."
    )


def _store(path: Path, secret: str, state_dir: Path) -> None:
    """Put a secret at a path, whole or not at all, for its owner alone.

    Root gives it to whom the file belonged before, or else to whom the hive's state belongs.
    """
    if path.is_relative_to(SYSTEMD_CREDENTIALS):
        raise ConflictError(
            f"{path} is systemd's copy of a file that another option names.",
            f"Change that file (services.hyperhive.agents.<name>.credentials.{path.name}) and run: "
            "systemctl restart hyperhive",
        )
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ConflictError(
            f"{path} is a link or no file, so something else manages it.",
            "Change the credential there, or name another path in the declaration.",
        )
    owner = _owner(path, state_dir) if os.geteuid() == 0 else None
    missing = [place for place in path.parents if not place.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=0o700)
        if owner is not None:
            os.chown(directory, *owner)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    try:
        with os.fdopen(descriptor, "wb") as target:
            os.fchmod(target.fileno(), MODE)  # whatever the umask is
            if owner is not None:
                os.fchown(target.fileno(), *owner)
            target.write(f"{secret}\n".encode())
            target.flush()
            os.fsync(target.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _owner(path: Path, state_dir: Path) -> tuple[int, int] | None:
    for place in (path, state_dir):
        with contextlib.suppress(OSError):
            found = place.stat()
            return found.st_uid, found.st_gid
    return None


def _let_work(settings: Settings, name: str) -> str:
    """Resume an agent, by which its box gets the credential, too.

    What the operator or the limit on spending has stopped stays so.
    """
    from hyperhive.client.connections import NobodyAnswersError

    try:
        with settings.client() as hive:
            agents = {agent["name"]: agent for agent in hive.state()["agents"]}
            if name not in agents:
                return "away"
            if agents[name]["held"] is not None:
                return "held"
            if {pause["cause"] for pause in agents[name]["pauses"]} & {"operator", "spend"}:
                return "paused"
            hive.resume(name)
    except NobodyAnswersError:
        return "away"
    return "resumed"

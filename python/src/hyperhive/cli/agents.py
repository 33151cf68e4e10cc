"""Commands about agents: what the operator decides about them while the hive runs.

Each is recorded when it returns and survives restarts. Whoever is named twice is asked for once,
and one agent's refusal keeps none of the others from being done.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from hyperhive.cli.asking import agreed
from hyperhive.cli.options import HiveCommand
from hyperhive.cli.output import print_json, print_refusal, printable
from hyperhive.cli.settings import Settings
from hyperhive.cli.telling import model_of
from hyperhive.client.answers import AgentSummary, Done
from hyperhive.domain.errors import HiveError, NotFoundError

if TYPE_CHECKING:
    from hyperhive.client import OperatorClient

Act = Callable[["OperatorClient", str], Done]

_names = click.argument("names", nargs=-1, required=True, metavar="NAME...")
_name = click.argument("name", metavar="NAME")
_yes = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


@click.command(cls=HiveCommand)
@_names
@click.pass_obj
def stop(settings: Settings, names: tuple[str, ...]) -> int:
    """Stop agents and hold them: they stay stopped, whatever restarts, until you start them.

    A turn that runs is ended; its messages come again and no attempt is counted. Messages keep
    arriving meanwhile.
    """
    return _each(settings, names, lambda hive, name: hive.stop(name), "{} is held and stops.")


@click.command(cls=HiveCommand)
@_names
@click.pass_obj
def start(settings: Settings, names: tuple[str, ...]) -> int:
    """Start agents, whatever stopped them: a hold, a crash loop, a missing login."""
    return _each(settings, names, lambda hive, name: hive.start(name), "{} is let go and starts.")


@click.command(cls=HiveCommand)
@click.argument("name", required=False)
@click.option("--reason", metavar="TEXT", help="Why; it is shown with the pause.")
@click.pass_obj
def pause(settings: Settings, name: str | None, reason: str | None) -> None:
    """Start no further turn, of the agent NAME or (without one) of the whole hive.

    Turns that run go on to their end. Messages keep arriving.
    """
    with settings.client() as hive:
        done = hive.pause(name, reason=reason)
    _tell(settings, done, f"{_who(name)} is paused: no further turn starts.")


@click.command(cls=HiveCommand)
@click.argument("name", required=False)
@click.pass_obj
def resume(settings: Settings, name: str | None) -> None:
    """Start turns again, of the agent NAME or (without one) of the whole hive.

    It ends your own pause and one for spending, a rate limit or a missing login. A hive that is
    paused for want of room on the disk resumes by itself when there is room.
    """
    with settings.client() as hive:
        done = hive.resume(name)
    _tell(settings, done, f"{_who(name)} is resumed.")


@click.command(cls=HiveCommand)
@_name
@click.pass_obj
def cancel(settings: Settings, name: str) -> None:
    """Cancel the turn that an agent runs; its messages come again, no attempt is counted."""
    with settings.client() as hive:
        done = hive.cancel_turn(name)
    _tell(settings, done, f"The turn of {name} is being cancelled.")


@click.command(cls=HiveCommand)
@_name
@click.pass_obj
def compact(settings: Settings, name: str) -> None:
    """Have an agent compact its context before its next work."""
    with settings.client() as hive:
        done = hive.compact(name)
    _tell(settings, done, f"{name} compacts its context before its next work.")


@click.command(cls=HiveCommand)
@_name
@click.pass_obj
def new_session(settings: Settings, name: str) -> None:
    """Have an agent begin a new conversation with its next turn, without the old context."""
    with settings.client() as hive:
        done = hive.new_session(name)
    _tell(settings, done, f"The next turn of {name} begins a new conversation.")


@click.command(cls=HiveCommand)
@_name
@click.argument("model", required=False, metavar="[MODEL]")
@click.option("--declared", is_flag=True, help="Go back to the model that is declared.")
@click.pass_obj
def model(
    settings: Settings,
    name: str,
    model: str | None,
    declared: bool,  # noqa: FBT001 - a flag of the command line
) -> None:
    """Show the model that an agent's next turn uses, or have it use MODEL.

    The choice is recorded beside the declaration and holds until you go back with --declared.
    """
    if declared and model is not None:
        raise click.UsageError("A MODEL and --declared exclude each other.")
    with settings.client() as hive:
        if model is None and not declared:
            shown = _agent(hive.state()["agents"], name)
            used, written = shown["model"], shown["declared_model"]
            if settings.as_json:
                print_json({"agent": name, "model": used, "declared_model": written})
            elif used is None:
                print("the program's own choice")
            else:
                print(printable(model_of(used, written)))
            return
        done = hive.set_model(name, model)
    _tell(settings, done, f"{name} uses {model or 'its declared model'} from its next turn on.")


@click.command(cls=HiveCommand)
@_name
@_yes
@click.pass_obj
def destroy(settings: Settings, name: str, yes: bool) -> int:  # noqa: FBT001 - a flag
    """Remove a spawned agent; its state is kept as a tombstone.

    A declared agent is removed by removing it from the declaration.
    """
    if not agreed(f"Destroy {name}? A turn that runs is ended; its state is kept.", yes=yes):
        return 1
    with settings.client() as hive:
        done = hive.destroy(name)
    _tell(
        settings, done, f"{name} is gone. Its state is kept: `hyperhive purge {name}` deletes it."
    )
    return 0


@click.command(cls=HiveCommand)
@_name
@_yes
@click.pass_obj
def purge(settings: Settings, name: str, yes: bool) -> int:  # noqa: FBT001 - a flag
    """Delete what the tombstone NAME keeps, for good."""
    if not agreed(f"Delete everything that {name} left, for good?", yes=yes):
        return 1
    with settings.client() as hive:
        done = hive.purge(name)
    _tell(settings, done, f"What {name} left is deleted.")
    return 0


def _each(settings: Settings, names: Iterable[str], act: Act, told: str) -> int:
    """Do one thing to each agent, and tell of each; 1 if any was refused."""
    from hyperhive.client.connections import NobodyAnswersError

    done: list[Done] = []
    refused: list[dict[str, str]] = []
    with settings.client() as hive:
        for name in dict.fromkeys(names):
            try:
                done.append(act(hive, name))
            except NobodyAnswersError:
                raise
            except HiveError as error:
                facts = {"code": error.code, "detail": error.detail, "remedy": error.remedy}
                refused.append({"agent": name, **facts})
                if not settings.as_json:
                    print_refusal(error, settings)
            else:
                if not settings.as_json:
                    print(printable(told.format(name)))
    if settings.as_json:
        print_json({"done": done, "refused": refused})
    return int(bool(refused))


def _tell(settings: Settings, done: Done, words: str) -> None:
    if settings.as_json:
        print_json(done)
    else:
        print(printable(words))


def _who(name: str | None) -> str:
    return "The hive" if name is None else name


def _agent(agents: Iterable[AgentSummary], name: str) -> AgentSummary:
    known = {agent["name"]: agent for agent in agents}
    if name not in known:
        raise NotFoundError("agent", name, sorted(known))
    return known[name]

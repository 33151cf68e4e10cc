"""``hyperhive approvals``, ``approve`` and ``deny``: the operator's decisions."""

import json
from typing import TYPE_CHECKING, Any, Final

import click

from hyperhive.cli.options import HiveCommand
from hyperhive.cli.output import clock, print_json, printable, printable_lines, table
from hyperhive.cli.settings import Settings
from hyperhive.domain.approvals import CLOSED, ApprovalState

if TYPE_CHECKING:
    from hyperhive.client import OperatorClient

PAGE: Final = 500


@click.command(cls=HiveCommand)
@click.argument("number", type=int, metavar="[ID]", required=False)
@click.option(
    "--state", type=click.Choice([state.value for state in ApprovalState]), help="Only in it."
)
@click.option("--before", type=int, metavar="ID", help="Only requests older than this one.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@click.pass_obj
def approvals(
    settings: Settings, number: int | None, state: str | None, before: int | None, limit: int
) -> None:
    """List what agents ask a yes for, the newest last, or show one request whole.

    Without --state and --before, what is not over yet is listed besides, however old it is.
    """
    with settings.client() as hive:
        if number is not None:
            answer = hive.approval(number)
        else:
            standing = _standing(hive) if state is None and before is None else []
            answer = hive.approvals(before=before, limit=limit, state=state)
            oldest = answer["approvals"][-1]["id"] if answer["more"] else 0
            answer["approvals"] += [each for each in standing if each["id"] < oldest]
    if settings.as_json:
        print_json(answer)
    elif number is not None:
        print(_whole(answer))
    elif not answer["approvals"]:
        print("No approvals.")
    else:
        if oldest:
            print(f"Older ones: --before {oldest}")
        rows = [
            (a["id"], clock(a["at"]), a["requester"], a["kind"], _state(a), a["title"])
            for a in answer["approvals"][::-1]
        ]
        print(table(("ID", "AT", "FROM", "KIND", "STATE", "TITLE"), rows))


@click.command(cls=HiveCommand)
@click.argument("number", type=int, metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask again after showing it.")
@click.option("--digest", metavar="SHA256", help="Approve only what this is the digest of.")
@click.pass_obj
def approve(
    settings: Settings,
    number: int,
    yes: bool,  # noqa: FBT001 - a flag of the command line
    digest: str | None,
) -> None:
    """Show what request ID asks for, ask you, and say yes to exactly that, or no with a note.

    If it is another thing by then, nothing is done.
    """
    with settings.client() as hive:
        said = "y"
        if digest is None:
            shown = hive.approval(number)
            digest = str(shown["digest"])
            if not settings.as_json:
                print(_whole(shown))
            if not yes:
                said = _asked(settings)
        if said == "y":
            done = hive.approve(number, digest)
        else:
            note = click.prompt(
                "A note for whoever asked", default="", show_default=False, err=settings.as_json
            )
            done = hive.deny(number, note)
    _print(settings, done)


@click.command(cls=HiveCommand)
@click.argument("number", type=int, metavar="ID")
@click.argument("note", default="")
@click.pass_obj
def deny(settings: Settings, number: int, note: str) -> None:
    """Say no to request ID; whoever asked is told the NOTE."""
    with settings.client() as hive:
        done = hive.deny(number, note)
    _print(settings, done)


def _asked(settings: Settings) -> str:
    """Ask for a decision: ``y`` or ``n``. Anything else leaves it open, and ends the command."""
    said: str = click.prompt(
        "Approve this? y: yes, n: no, with a note, Enter: decide later",
        default="",
        show_default=False,
        err=settings.as_json,
    )
    answer = said.strip().lower()[:1]
    if answer not in ("y", "n"):
        raise click.Abort
    return answer


def _standing(hive: "OperatorClient") -> list[dict[str, Any]]:
    """Give all that is not over yet, newest first."""
    found: list[dict[str, Any]] = []
    for state in set(ApprovalState) - CLOSED:
        page: dict[str, Any] = {"more": True}
        before = None
        while page["more"]:
            page = hive.approvals(before=before, limit=PAGE, state=state.value)
            found += page["approvals"]
            before = found[-1]["id"] if found else None
    return sorted(found, key=lambda each: -int(each["id"]))


def _state(approval: dict[str, Any]) -> str:
    return f"{approval['state']}, used" if approval["used_at"] is not None else approval["state"]


def _print(settings: Settings, done: dict[str, Any]) -> None:
    if settings.as_json:
        print_json(done)
    else:
        print(f"Approval {done['id']} is {done['state']}.")


def _whole(approval: dict[str, Any]) -> str:
    """Show all that the digest is of; no text of an agent's reaches the terminal as it is."""
    shown = approval["shown"]
    facts = [
        ("from", approval["requester"]),
        ("kind", approval["kind"]),
        ("at", clock(approval["at"])),
    ]
    facts += [("state", _state(approval))]
    if approval["state"] == ApprovalState.PENDING and approval["expires_at"] is not None:
        facts += [("expires", clock(approval["expires_at"]))]
    if approval["decided_at"] is not None:
        facts += [("decided", f"{clock(approval['decided_at'])} by {approval['decided_by']}")]
    facts += [(key, str(approval[key])) for key in ("note", "error") if approval[key]]
    facts += [("result", json.dumps(approval["result"]))] if approval["result"] else []
    facts += [("about", shown["agent"])] if shown["agent"] else []
    payload = dict(shown["payload"])
    texts = [key for key, value in payload.items() if isinstance(value, str) and "\n" in value]
    blocks = [_block(key, payload.pop(key)) for key in sorted(texts)]
    parts = [
        f"Approval {approval['id']}: {printable(shown['title'])}",
        *(f"  {name:<8}{printable(str(value))}" for name, value in facts),
        *(["", printable_lines(shown["details"])] if shown["details"] else []),
        *(["", json.dumps(payload, indent=2)] if payload else []),
        *blocks,
        "",
        f"digest {approval['digest']}",
    ]
    return "\n".join(parts)


def _block(key: str, text: str) -> str:
    """Show a text of several lines under its name, so that no line of it can pass for ours."""
    lines = "\n".join(
        f"  | {line}" for line in printable_lines(text).removesuffix("\n").split("\n")
    )
    return f"\n{printable(key)}:\n{lines}"

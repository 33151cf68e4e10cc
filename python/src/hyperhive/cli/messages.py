"""Commands about messages: ``send``, ``messages``, ``requeue``, ``drop``."""

import sys

import click

from hyperhive.cli.options import HiveCommand, ListGroup
from hyperhive.cli.output import clock, print_json, printable, printable_lines, table
from hyperhive.cli.settings import Settings
from hyperhive.cli.telling import told
from hyperhive.client.answers import MessageDetail, SentByOperator
from hyperhive.domain.errors import InvalidError
from hyperhive.domain.messages import MessageState


@click.command(cls=HiveCommand)
@click.argument("to")
@click.argument("body")
@click.option("--key", help="Sending again under the same key within 24 hours sends nothing.")
@click.option("--in-reply-to", type=int, metavar="ID", help="The message this answers.")
@click.pass_obj
def send(settings: Settings, to: str, body: str, key: str | None, in_reply_to: int | None) -> None:
    """Send BODY to TO as the operator.

    TO is an agent, `manager`, or `*` for everyone. BODY `-` reads standard input. When this
    returns, the message is on disk.
    """
    text = _standard_input() if body == "-" else body
    with settings.client() as hive:
        sent = hive.send(to, text, in_reply_to=in_reply_to, key=key)
    if settings.as_json:
        print_json(sent)
    else:
        print(_sent(sent))


@click.group(cls=ListGroup)
def messages() -> None:
    """List messages, or show one with its body and history.

    `hyperhive messages` alone is `hyperhive messages list`.
    """


@messages.command("list")
@click.option("--agent", metavar="NAME", help="Only messages from or to this agent.")
@click.option(
    "--state",
    type=click.Choice([state.value for state in MessageState]),
    help="Only in this state.",
)
@click.option("--before", type=int, metavar="ID", help="Only messages older than this one.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@click.pass_obj
def list_messages(
    settings: Settings, agent: str | None, state: str | None, before: int | None, limit: int
) -> None:
    """List messages, the newest last."""
    with settings.client() as hive:
        page = hive.messages(before=before, limit=limit, agent=agent, state=state)
    if settings.as_json:
        print_json(page)
        return
    shown = page["messages"][::-1]
    if not shown:
        print("No messages.")
        return
    if page["more"]:
        print(f"Older ones: --before {shown[0]['id']}")
    rows = [
        (m["id"], clock(m["at"]), m["from"], m["to"], m["state"], m["attempts"], m["preview"])
        for m in shown
    ]
    print(table(("ID", "AT", "FROM", "TO", "STATE", "ATTEMPTS", "BODY"), rows))


@messages.command()
@click.argument("message_id", type=int, metavar="ID")
@click.pass_obj
def show(settings: Settings, message_id: int) -> None:
    """Show one message: where it is, what happened to it, its whole body."""
    with settings.client() as hive:
        message = hive.message(message_id)
    if settings.as_json:
        print_json(message)
    else:
        print(_detail(message))


@click.command(cls=HiveCommand)
@click.argument("message_id", type=int, metavar="ID")
@click.pass_obj
def requeue(settings: Settings, message_id: int) -> None:
    """Give a dead message back to its recipient's inbox, its attempts forgotten."""
    with settings.client() as hive:
        change = hive.requeue(message_id)
    if settings.as_json:
        print_json(change)
    else:
        print(f"Message {change['id']} is {change['state']} again.")


@click.command(cls=HiveCommand)
@click.argument("message_id", type=int, metavar="ID")
@click.pass_obj
def drop(settings: Settings, message_id: int) -> None:
    """Give a dead message up for good; it stays listed as dropped."""
    with settings.client() as hive:
        change = hive.drop(message_id)
    if settings.as_json:
        print_json(change)
    else:
        print(f"Message {change['id']} is {change['state']}.")


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidError(
            f"Standard input is not UTF-8: {error.reason} at byte {error.start}.",
            "Send text; put other data in a file and send its path.",
        ) from error


def _sent(sent: SentByOperator) -> str:
    if sent["id"] is not None:
        receiver = f", who is {sent['receiver']}" if sent["receiver"] else ""
        return f"Message {sent['id']} is in the inbox of {printable(sent['to'])}{receiver}."
    reached = ", ".join(f"{name} ({number})" for name, number in sent["ids"].items()) or "nobody"
    out = sent["left_out"]
    return f"Sent to {reached}." + (f" Left out: {', '.join(out)}." if out else "")


def _detail(message: MessageDetail) -> str:
    facts = [
        ("from", message["from"]),
        ("to", message["to"] + (" (a broadcast)" if message["broadcast"] else "")),
        ("at", clock(message["at"])),
        ("state", message["state"] + (f": {message['reason']}" if message["reason"] else "")),
        ("attempts", message["attempts"]),
        ("size", f"{message['size']} bytes"),
        ("in reply to", message["in_reply_to"] or "-"),
    ]
    told_lines = [f"  {clock(event['at'])}  {told(event)}" for event in message["history"]]
    return "\n".join(
        [
            f"Message {message['id']}",
            *(f"  {name:<12}{printable(str(value))}" for name, value in facts),
            "",
            printable_lines(message["body"]),
            "",
            "History",
            *told_lines,
        ]
    )

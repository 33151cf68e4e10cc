"""What agents ask: ``questions``, ``answer``."""

import click

from hyperhive.cli.options import HiveCommand, ListGroup
from hyperhive.cli.output import clock, print_json, printable, printable_lines, table
from hyperhive.cli.settings import Settings
from hyperhive.client.answers import Question
from hyperhive.domain.actors import OPERATOR


@click.group(cls=ListGroup)
def questions() -> None:
    """List what agents ask you, show a question, or cancel one.

    `hyperhive questions` alone is `hyperhive questions list`.
    """


@questions.command("list")
@click.option("--agent", metavar="NAME", help="Those that this agent asked or was asked.")
@click.option("--all", "everything", is_flag=True, help="Those between agents, too.")
@click.pass_obj
def list_questions(settings: Settings, agent: str | None, everything: bool) -> None:  # noqa: FBT001
    """List the questions that are open and those that were closed last, the newest last."""
    whose = agent if agent is not None else None if everything else OPERATOR
    with settings.client() as hive:
        found = hive.questions(whose)
    if settings.as_json:
        print_json(found)
        return
    if not found["questions"]:
        print("No questions.")
        return
    rows = [
        (q["id"], clock(q["at"]), q["asker"], q["target"], q["state"], _answer(q), q["question"])
        for q in found["questions"]
    ]
    print(table(("ID", "AT", "FROM", "TO", "STATE", "ANSWER", "QUESTION"), rows))


@questions.command()
@click.argument("number", type=int, metavar="ID")
@click.pass_obj
def show(settings: Settings, number: int) -> None:
    """Show one question whole."""
    with settings.client() as hive:
        question = hive.question(number)
    if settings.as_json:
        print_json(question)
    else:
        print(_detail(question))


@questions.command()
@click.argument("number", type=int, metavar="ID")
@click.pass_obj
def cancel(settings: Settings, number: int) -> None:
    """Cancel an open question; whoever it concerns is told."""
    with settings.client() as hive:
        done = hive.cancel_question(number)
    if settings.as_json:
        print_json(done)
    else:
        print(f"Question {number} is {done['state']}.")


@click.command(cls=HiveCommand)
@click.argument("number", type=int, metavar="ID")
@click.argument("answers", nargs=-1, required=True, metavar="ANSWER...")
@click.pass_obj
def answer(settings: Settings, number: int, answers: tuple[str, ...]) -> None:
    """Answer a question, your own or another's in its stead.

    ANSWER is an option or a text; several where the question takes several.
    """
    given = answers[0] if len(answers) == 1 else answers
    with settings.client() as hive:
        done = hive.answer(number, given)
    if settings.as_json:
        print_json(done)
    else:
        print(f"Question {number} is {done['state']}{', late' if done['late'] else ''}.")


def _answer(question: Question) -> str:
    given = question["answer"]
    if given is None:
        return "-"
    said = given if isinstance(given, str) else ", ".join(given)
    return f"{question['answerer']}: {said}" + (" (late)" if question["late"] else "")


def _detail(question: Question) -> str:
    facts = [
        ("from", question["asker"]),
        ("to", question["target"]),
        ("at", clock(question["at"])),
        ("expires", clock(question["expires_at"])),
        ("state", question["state"]),
        ("answer", _answer(question)),
    ]
    choose = "Several of" if question["multi"] else "One of"
    options = [f"  - {printable(option)}" for option in question["options"]]
    return "\n".join(
        [
            f"Question {question['id']}",
            *(f"  {name:<12}{printable(value)}" for name, value in facts),
            "",
            printable_lines(question["question"]),
            *(["", f"{choose}, or a text of your own:", *options] if options else []),
        ]
    )

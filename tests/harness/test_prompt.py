from typing import Any

import pytest

from hyperhive.harness.prompt import compose_prompt
from hyperhive.harness.wire import WireError, WorkTurn, read_command, read_message, read_work
from tests.harness.fake_server import a_message


def prompt(*messages: dict[str, Any], waiting: int = 0) -> str:
    turn = WorkTurn(1, tuple(read_message(message) for message in messages), waiting)
    return compose_prompt(turn, mark="mark")


def test_a_prompt_says_who_wrote_when_and_what() -> None:
    assert prompt(a_message(body="Do\nit.")) == (
        "Message 7 from queen, 2027-01-15T08:00:00Z:\n--- mark\nDo\nit.\n--- mark\n"
    )


def test_a_prompt_says_what_the_message_answers() -> None:
    assert "2027-01-15T08:00:00Z, in reply to 3:\n" in prompt(a_message(in_reply_to=3))


def test_a_prompt_says_how_many_more_wait() -> None:
    assert prompt(a_message(), waiting=4).endswith("--- mark\n4 more waiting.\n")


def test_a_redelivered_message_is_said_to_be_one() -> None:
    text = prompt(a_message(redelivered=True, attempt=3))
    assert "This is delivery attempt 3: you may have handled this already.\n---" in text


def test_a_broadcast_carries_its_hint() -> None:
    hint = "this was a broadcast and may not need any action from you"
    assert f"{hint}\n---" in prompt(a_message(broadcast=True, hint=hint))


def test_a_body_cannot_pass_for_another_message() -> None:
    turn = WorkTurn(1, (read_message(a_message()),), 0)
    marks = {compose_prompt(turn).splitlines()[1] for _ in range(10)}
    assert len(marks) == 10


def test_no_work_is_none() -> None:
    assert read_work({"turn": None}) is None


@pytest.mark.parametrize(
    "change", [{"id": "7"}, {"id": True}, {"broadcast": 1}, {"body": None}, {"at": "now"}]
)
def test_a_message_of_a_wrong_type_is_an_error_that_names_the_key(change: dict[str, Any]) -> None:
    (key,) = change
    with pytest.raises(WireError, match=f"'{key}' is"):
        read_message(a_message() | change)


def test_what_a_newer_server_adds_is_passed_over() -> None:
    assert read_message(a_message(colour="blue")).id == 7


def test_an_unknown_command_is_an_error_that_names_it() -> None:
    with pytest.raises(WireError, match="'dance'"):
        read_command({"verb": "dance", "turn": None, "reason": ""})

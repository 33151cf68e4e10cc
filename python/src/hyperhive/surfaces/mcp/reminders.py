"""The tools with which an agent reminds itself."""

from typing import Any, Final

from pydantic import Field

from hyperhive.domain.reminders import REPEAT_SECONDS_MIN
from hyperhive.services.reminders import Reminders
from hyperhive.surfaces.bounds import GIVEN_KEY_CHARS_MAX, Number
from hyperhive.surfaces.mcp.calls import Call
from hyperhive.surfaces.mcp.tool import Arguments, Tool


class Remind(Arguments):
    """Arguments of ``remind``."""

    message: str = Field(description="What you will have to know then; write it for a stranger.")
    delay_seconds: float | None = Field(
        default=None, description="In how many seconds. Give this or `at_unix_timestamp`."
    )
    at_unix_timestamp: float | None = Field(
        default=None, description="When, in seconds since the epoch (UTC)."
    )
    file_path: str | None = Field(
        default=None,
        description="A file in your own state that the text is written to when it is due, or "
        "`auto`; needed for a text of over 4096 bytes. You then get one line with the path.",
    )
    repeat_every_seconds: float | None = Field(
        default=None,
        description=f"Repeat it so often, at least {REPEAT_SECONDS_MIN:.0f}; it counts once the "
        "operator has approved it.",
    )
    key: str | None = Field(
        default=None,
        min_length=1,
        max_length=GIVEN_KEY_CHARS_MAX,
        description="A unique text of your choice. The same key within 24 hours sets it once.",
    )


class ListReminders(Arguments):
    """Arguments of ``list_reminders``."""

    id: Number | None = Field(
        default=None, description="Only this one, with its whole text; all that are open if absent."
    )


class CancelReminder(Arguments):
    """Arguments of ``cancel_reminder``."""

    id: Number = Field(description="The id that `remind` returned.")


REMIND: Final = """\
Have a message sent to yourself later, as one from `reminder`. It wakes you at its time, also if \
you ended your turn; never sleep instead. Give exactly one of `delay_seconds` and \
`at_unix_timestamp`."""

LIST_REMINDERS: Final = """\
List your open reminders, the next first: what is pending, what waits for approval, what failed."""

CANCEL_REMINDER: Final = """\
Take one of your reminders back, so that it never comes; a recurring one stops for good."""


def tools(reminders: Reminders) -> tuple[Tool, ...]:
    """Give the tools, tied to their service."""

    async def remind(call: Call, given: Remind) -> dict[str, Any]:
        return await reminders.remind(
            call.actor,
            given.message,
            delay_seconds=given.delay_seconds,
            at_unix_timestamp=given.at_unix_timestamp,
            file_path=given.file_path,
            repeat_every_seconds=given.repeat_every_seconds,
            key=call.key(given.key),
        )

    async def listing(call: Call, given: ListReminders) -> dict[str, Any]:
        return await reminders.listing(call.actor, given.id)

    async def cancel(call: Call, given: CancelReminder) -> dict[str, Any]:
        return await reminders.cancel(call.actor, given.id, via="mcp")

    return (
        Tool("remind", REMIND, Remind, remind),
        Tool("list_reminders", LIST_REMINDERS, ListReminders, listing, reads_only=True),
        Tool("cancel_reminder", CANCEL_REMINDER, CancelReminder, cancel),
    )

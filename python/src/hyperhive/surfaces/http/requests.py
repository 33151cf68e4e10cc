"""What the operator's API takes, as models that refuse anything else."""

from pydantic import BaseModel, ConfigDict, Field

from hyperhive.surfaces.bounds import GIVEN_KEY_CHARS_MAX, Number


class Request(BaseModel):
    """A request body."""

    model_config = ConfigDict(extra="forbid")


class SendMessage(Request):
    """A message from the operator."""

    to: str = Field(description="An agent, `manager`, or `*` for every agent.")
    body: str = Field(description="The text, at most 16 KiB of UTF-8.")
    in_reply_to: Number | None = Field(default=None, description="The message this answers.")
    key: str | None = Field(
        default=None,
        min_length=1,
        max_length=GIVEN_KEY_CHARS_MAX,
        description="Sent again with the same key, it is not sent twice (24 hours).",
    )


class AnswerQuestion(Request):
    """The operator's answer, or the target's in its stead."""

    answer: str | list[str] = Field(
        description="A text or one of the options; of a `multi` question, a list of them."
    )


class LogIn(Request):
    """The operator's secret."""

    secret: str


class RestoreBackup(Request):
    """Which backup to put in place of the present database."""

    path: str = Field(description="A file on the server's host.")


class Reason(Request):
    """Why, in the operator's words; it is shown and kept."""

    reason: str = Field(default="", max_length=500)


class ChooseModel(Request):
    """The model of an agent's next turns; ``null`` is the declared one."""

    model: str | None = Field(max_length=200)


class RestartHive(Request):
    """Which agents to restart (``null``: all that run), and why."""

    agents: list[str] | None = Field(default=None, max_length=1000)
    reason: str = Field(default="", max_length=500)


class PlanFor(Request):
    """A declaration to plan for (``null``: the present one)."""

    path: str | None = Field(default=None, max_length=4096)

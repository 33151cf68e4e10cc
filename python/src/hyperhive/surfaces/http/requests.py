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


class RequestSpawn(Request):
    """An agent that the operator asks for; it is approved like any other."""

    name: str = Field(max_length=64)
    description: str = Field(default="", max_length=500)
    system_prompt: str = Field(default="", max_length=65_536)
    model: str | None = Field(default=None, min_length=1, max_length=200)


class Redeploy(Request):
    """A state that was deployed once: a commit's hash, its beginning, or ``deployed/N``."""

    revision: str = Field(max_length=64)


class PlanFor(Request):
    """A declaration to plan for (``null``: the present one)."""

    path: str | None = Field(default=None, max_length=4096)


class Approve(Request):
    """The digest of what was shown: the yes is to that and nothing else."""

    digest: str = Field(min_length=64, max_length=64, description="As the approval shows it.")


class Deny(Request):
    """Why not, for whoever asked."""

    note: str = Field(default="", max_length=2000)

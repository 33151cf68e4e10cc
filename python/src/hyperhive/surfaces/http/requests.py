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


class LogIn(Request):
    """The operator's secret."""

    secret: str


class RestoreBackup(Request):
    """Which backup to put in place of the present database."""

    path: str = Field(description="A file on the server's host.")

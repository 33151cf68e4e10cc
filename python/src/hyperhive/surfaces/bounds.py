"""What every surface accepts at most, so that nothing below it meets a value it cannot keep."""

from typing import Annotated, Final

from pydantic import Field

from hyperhive.domain.messages import KEY_CHARS_MAX

NUMBER_MAX: Final = 2**63 - 1
"""The largest number that the database keeps."""

Number = Annotated[int, Field(ge=0, le=NUMBER_MAX)]
"""The number of a message, a line, a count."""

_KEY_PREFIX: Final = "key:"
GIVEN_KEY_CHARS_MAX: Final = KEY_CHARS_MAX - len(_KEY_PREFIX)
"""Characters of an idempotency key that a caller chose."""


def given_key(key: str | None) -> str | None:
    """Keep the keys that callers choose apart from the numbers that transports give requests."""
    return f"{_KEY_PREFIX}{key}" if key is not None else None

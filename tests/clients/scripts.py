"""What the scripted model answers in the tests of every client."""

from typing import Final

WORK: Final = """
[[rule]]
name = "look"
on = { prompt_contains = "first" }
answer = [ { think = "There may be more." }, { say = "I look." }, { use = "recv" } ]
[[rule]]
name = "answer"
on = { after = "recv" }
[[rule.answer]]
use = "send"
args = { to = "{result.messages.0.from}", body = "got {result.messages.0.body}" }
"""
"""Look for more, and answer whoever wrote."""

HANG: Final = """
[[rule]]
times = 1
answer = [ { say = "I hang." } ]
hang = true
"""
"""The first answer never ends."""

ANSWER: Final = """
[[rule]]
name = "well"
answer = [ { say = "Done." } ]
[[rule]]
name = "well after a tool"
on = { result_contains = "" }
answer = [ { say = "Done." } ]
"""
"""Whatever is asked is answered well."""


def refusal(
    status: int, kind: str, *, times: int, on: str = "", message: str = "no", more: str = ""
) -> str:
    """A rule that refuses so often."""
    return f"""
[[rule]]
name = "refused"
on = {{ {on} }}
times = {times}
refuse = {{ status = {status}, kind = "{kind}", message = "{message}"{more} }}
"""

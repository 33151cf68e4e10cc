"""Choosing what to answer: the first rule of the script that a request matches."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hyperhive.demo.model.conversations import Conversation, value_of
from hyperhive.demo.model.script import Block, Failure, Match, Rule, Say, Think, Usage, Use
from hyperhive.harness.script_values import MissingValueError, fill


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send, and how the sending ends."""

    rule: str
    blocks: tuple[Block, ...] = ()
    stop: str | None = None
    usage: Usage = field(default_factory=Usage)
    pause_seconds: float = 0.0
    failure: Failure | None = None
    cut: bool = False
    hang: bool = False


class Player:
    """A script being played; it counts requests and how often each rule has answered."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._requests = 0
        self._answered: Counter[int] = Counter()

    def answer(self, conversation: Conversation) -> Answer:
        """Answer a request. One that no rule is for is refused, with what was asked."""
        self._requests += 1
        for place, rule in enumerate(self._rules):
            if rule.times is not None and self._answered[place] >= rule.times:
                continue
            found = _match(rule.match, conversation, self._requests)
            if found is None:
                continue
            self._answered[place] += 1
            try:
                return self._filled(rule, conversation, found)
            except MissingValueError as error:
                return _refused(rule.name, f"rule {rule.name}: {error}")
        last = conversation.results[-1].text if conversation.results else conversation.prompt
        return _refused("none", f"no rule is for request {self._requests}: {last[-400:]!r}")

    def _filled(self, rule: Rule, conversation: Conversation, found: Mapping[str, Any]) -> Answer:
        results = [value_of(result.text) for result in conversation.results]
        scope = {
            "match": found,
            "model": conversation.model,
            "prompt": conversation.prompt,
            "request": self._requests,
            "result": results[-1] if results else None,
            "results": results,
        }

        def block(given: Block) -> Block:
            match given:
                case Say(text):
                    return Say(str(fill(text, scope)))
                case Think(text):
                    return Think(str(fill(text, scope)))
                case Use(tool, arguments):
                    return Use(conversation.tool_named(tool), fill(arguments, scope))

        failure = rule.failure
        if failure is not None:
            failure = replace(failure, message=str(fill(failure.message, scope)))
        return Answer(
            rule=rule.name,
            blocks=tuple(block(given) for given in rule.blocks),
            stop=rule.stop,
            usage=rule.usage,
            pause_seconds=rule.pause_seconds,
            failure=failure,
            cut=rule.cut,
            hang=rule.hang,
        )


def _refused(rule: str, message: str) -> Answer:
    return Answer(rule, failure=Failure("invalid_request_error", message, status=400))


def _match(match: Match, asked: Conversation, request: int) -> Mapping[str, Any] | None:
    """Return the named groups of the pattern (none without one), or ``None``: no match."""
    holds = (
        match.request in (None, request),
        match.model in (None, asked.model),
        match.prompt_contains is None or match.prompt_contains in asked.prompt,
        match.system_contains is None or match.system_contains in asked.system,
        match.offers is None or asked.tool_named(match.offers) in asked.tools,
        _results_hold(match, asked),
    )
    if not all(holds):
        return None
    if match.prompt_matches is None:
        return {}
    found: re.Match[str] | None = match.prompt_matches.search(asked.prompt)
    return None if found is None else found.groupdict()


def _results_hold(match: Match, asked: Conversation) -> bool:
    """A rule that says nothing of results is for prompts, one that does for results."""
    about_results = (match.after, match.result_contains, match.result_is_error)
    if about_results == (None, None, None):
        return not asked.results or match.request is not None
    return any(
        match.after in (None, result.tool)
        or (match.after is not None and asked.tool_named(match.after) == result.tool)
        for result in asked.results
        if match.result_is_error in (None, result.is_error)
        and (match.result_contains is None or match.result_contains in result.text)
    )

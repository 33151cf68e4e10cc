"""Questions of agents, to the operator or to each other.

Whoever asks gets an id at once and goes on; what comes of it arrives in its inbox, in the same
commit as the answer, the expiry or the cancellation. Expiries and the questions of agents that are
gone are swept from the table, so a restart of the server delays them and loses none.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from hyperhive import bus
from hyperhive.domain import messages as message_rules
from hyperhive.domain import questions as rules
from hyperhive.domain.actors import EVERYONE, MANAGER, OPERATOR, THE_SYSTEM, Actor
from hyperhive.domain.errors import ForbiddenError, InvalidError, NotFoundError, UnavailableError
from hyperhive.domain.questions import Answer, QuestionState
from hyperhive.domain.quotas import Quota
from hyperhive.domain.threads import SHOWN_MAX, Thread, ThreadKind, summary
from hyperhive.services.agents import Agents
from hyperhive.services.quotas import Quotas
from hyperhive.services.threads import sees_whole_hive
from hyperhive.services.trouble import Trouble
from hyperhive.store import Reading, Row, Store, Writing, audit, messages, questions, request_keys
from hyperhive.store import agents as agent_rows
from hyperhive.store.messages import Draft
from hyperhive.store.transaction import dumps

CLOSED_AT_ONCE: Final = 100
"""How many questions one commit closes; others write between two of them."""
LOOK_SECONDS: Final = 30.0
"""The longest sleep while something will expire: so late is noticed that the clock was set."""


class Questions:
    """The questions of the hive; also the source of their threads."""

    kind = ThreadKind.QUESTION

    def __init__(self, store: Store, agents: Agents, quotas: Quotas) -> None:
        self._store = store
        self._agents = agents
        self._quotas = quotas
        self._trouble = Trouble(store, "questions")
        quotas.counters[Quota.OPEN_QUESTIONS] = questions.count_open

    async def ask(
        self,
        asker: Actor,
        question: str,
        *,
        options: Sequence[str] = (),
        multi: bool = False,
        ttl_seconds: float | None = None,
        to: str = OPERATOR,
        key: str | None = None,
    ) -> dict[str, Any]:
        """Put a question and give its id; the answer comes as a message.

        ``ttl_seconds`` is after how long it expires (``None``: never). Repeated with its ``key``,
        it is asked once. Raises `QuotaUsedError` when too many of the asker's are open.
        """
        if not asker.is_agent:
            raise ForbiddenError("Only agents ask.", "Send a message instead.")
        rules.check_question(question, options, ttl_seconds, multi=multi)
        given = ("ask", question, tuple(options), multi, ttl_seconds, to)

        def act(work: Writing) -> dict[str, Any]:
            target = self._target(asker, to)
            self._check_quota(work, asker)
            self._quotas.take(work, asker, Quota.MESSAGES)
            until = None if ttl_seconds is None else work.now + ttl_seconds
            draft = questions.Draft(asker, target, question, tuple(options), multi, until)
            asked = questions.add(work, draft)
            if target != OPERATOR:
                _tell(work, target, _asked(asked))
            receiver = None if target == OPERATOR else self._agents.state_of(target)
            return {"id": asked["id"], "to": target, "receiver": receiver, "seq": work.seq}

        return await self._once(asker, key, given, act)

    async def answer(
        self, actor: Actor, number: int, answer: Answer, *, via: str, key: str | None = None
    ) -> dict[str, Any]:
        """Answer a question as its target, or any as the operator; the asker is told.

        The first answer counts; the same one again by the same actor changes nothing.
        """
        given = ("answer", number, answer)

        def act(work: Writing) -> dict[str, Any]:
            row = self._found(work, actor, number)
            rules.check_may_answer(actor, number, row.target)
            taken = rules.check_answer(answer, multi=bool(row.multi))
            if row.state == QuestionState.ANSWERED and (row.answerer, row.answer) == (
                actor.name,
                dumps(taken),
            ):
                return {"id": number, "state": row.state, "late": bool(row.late), "seq": work.seq}
            if row.state == QuestionState.OPEN and _is_over(row, work.now):
                self._expire(work, row)
                row = self._found(work, actor, number)
            late = rules.is_late(number, QuestionState(row.state), row.answerer)
            answered = questions.answer(work, row, taken, actor, late=late)
            _tell(work, row.asker, _answered(answered))
            if actor.is_operator:
                self._audit(work, actor, via, "answer", number, {"answer": taken, "late": late})
                if row.target != OPERATOR:
                    _tell(work, row.target, _settled(answered))
            return {"id": number, "state": answered["state"], "late": late, "seq": work.seq}

        return await self._once(actor, key, given, act)

    async def cancel(self, actor: Actor, number: int, *, via: str) -> dict[str, Any]:
        """Withdraw an open question: its asker, the manager any agent's, the operator every one."""

        def job(work: Writing) -> dict[str, Any]:
            row = self._found(work, actor, number)
            if row.asker != actor.name and not sees_whole_hive(self._agents, actor):
                raise ForbiddenError(
                    f"Question {number} is {row.asker}'s.", "Only its asker can withdraw it."
                )
            if row.state != QuestionState.CANCELLED:
                rules.check_may_cancel(number, QuestionState(row.state))
                cancelled = questions.close(work, row, QuestionState.CANCELLED, actor)
                for concerned in {row.asker, row.target} - {actor.name, OPERATOR}:
                    _tell(work, concerned, _cancelled(cancelled, actor))
                if actor.is_operator:
                    self._audit(work, actor, via, "cancel", number, {})
            cancelled_state = QuestionState.CANCELLED.value
            return {
                "kind": self.kind.value,
                "id": number,
                "state": cancelled_state,
                "seq": work.seq,
            }

        return await self._store.write(job)

    async def show(self, number: int) -> dict[str, Any]:
        """Give one question whole."""

        def job(asking: Reading) -> dict[str, Any]:
            row = questions.find(asking, number)
            if row is None:
                raise NotFoundError("question", number)
            return questions.shown(row)

        return await self._store.read(job)

    async def listing(self, agent: str | None) -> dict[str, Any]:
        """List what is open and what was closed last, of one agent or of the whole hive."""
        if agent not in (None, OPERATOR, *self._agents.roster.members):
            raise NotFoundError("agent", agent, self._agents.roster.members)
        found = await self._store.read(lambda asking: questions.shown_now(asking, agent))
        return {"questions": found}

    def of(self, asking: Reading, agent: str | None) -> list[Thread]:
        """Give the open questions that an agent has asked or owes an answer to."""
        rows = questions.still_open(asking, agent, SHOWN_MAX + 1)
        return [_thread(row, agent) for row in rows]

    async def run(self) -> None:
        """Close what nobody waits for any more, for ever; what fails is tried again."""
        with self._store.bus.watch(bus.QUESTIONS) as watch:
            while True:
                left: float | None = LOOK_SECONDS
                async with self._trouble.told():
                    while await self.close_gone() or await self.expire_due():
                        pass
                    left = await self._store.read(_until_next)
                await watch.wait(left)

    async def close_gone(self) -> int:
        """Close some of the questions of agents that are gone, and return how many."""
        is_any = await self._store.read(lambda asking: bool(questions.of_gone(asking, 1)))
        return await self._store.write(close_of_gone) if is_any else 0

    async def expire_due(self) -> int:
        """Close some of the questions whose time is over, and return how many."""
        found = await self._store.read(lambda asking: questions.due(asking, CLOSED_AT_ONCE))
        numbers = [row.id for row in found]
        if not numbers:
            return 0
        try:
            return await self._store.write(lambda work: self._expire_those(work, numbers))
        except UnavailableError:
            raise
        except Exception:  # noqa: BLE001 - one of them is the reason, and holds up no other
            return await self._expire_each(numbers)

    async def _expire_each(self, numbers: Sequence[int]) -> int:
        """Close each on its own; raise why one cannot be closed when that is all that is left."""
        done, trouble = 0, None
        for number in numbers:
            try:
                job = partial(self._expire_those, numbers=[number])
                done += await self._store.write(job)
            except Exception as error:  # noqa: BLE001 - raised once the others are closed
                trouble = error
        if trouble is not None and not done:
            raise trouble
        return done

    def _expire_those(self, work: Writing, numbers: Sequence[int]) -> int:
        """Close those that are still due; one that was answered meanwhile is not."""
        done = 0
        for number in numbers:
            row = questions.find(work, number)
            if row is not None and row.state == QuestionState.OPEN and _is_over(row, work.now):
                self._expire(work, row)
                done += 1
        return done

    def _expire(self, work: Writing, row: Row) -> None:
        expired = questions.close(work, row, QuestionState.EXPIRED, rules.WATCHDOG)
        told = {**expired, "answer": rules.EXPIRED_ANSWER, "answerer": rules.WATCHDOG}
        _tell(work, row.asker, _answered(told))

    async def _once(
        self, actor: Actor, key: str | None, given: tuple[object, ...], act: Any
    ) -> dict[str, Any]:
        """Run a write that gives the first answer again when it is repeated with its key."""
        if key is not None:
            message_rules.check_key(key)
        fingerprint = message_rules.fingerprint(*given) if key is not None else ""

        def job(work: Writing) -> dict[str, Any]:
            if key is not None:
                again = request_keys.answer_to(work, actor.name, key, fingerprint)
                if again is not None:
                    return again
            done: dict[str, Any] = act(work)
            if key is not None:
                request_keys.remember(work, actor.name, key, fingerprint, done)
            return done

        return await self._store.write(job)

    def _target(self, asker: Actor, to: str) -> str:
        """Resolve whom a question is for; the same rules hold as for a message."""
        if to == EVERYONE:
            raise InvalidError("A question goes to one.", "Ask one agent, manager or operator.")
        roster = self._agents.roster
        if asker.name == (roster.manager if to == MANAGER else to):
            raise InvalidError("You cannot ask yourself.", "Ask another agent, or decide it.")
        (target,) = roster.address(asker, to).recipients
        return target

    def _check_quota(self, work: Writing, asker: Actor) -> None:
        used = questions.count_open(work, asker.name)
        due = questions.next_expiry(work, asker.name)
        frees = None if due is None else max(0.0, due - work.now)
        self._quotas.check(asker, Quota.OPEN_QUESTIONS, used, frees_in_seconds=frees)

    def _found(self, work: Writing, actor: Actor, number: int) -> Row:
        """Give a question that the actor may know of; to others it is as if it were not there."""
        row = questions.find(work, number)
        knows = row is not None and (
            actor.name in (row.asker, row.target) or sees_whole_hive(self._agents, actor)
        )
        if row is None or not knows:
            raise NotFoundError("question of yours", number)
        return row

    def _audit(
        self, work: Writing, actor: Actor, via: str, verb: str, number: int, detail: dict[str, Any]
    ) -> None:
        subject = f"question:{number}"
        audit.add(work, actor=actor.name, via=via, verb=verb, subject=subject, detail=detail)


def close_of_gone(work: Writing) -> int:
    """Close some of the questions that a gone agent asked or owes; tell the other end of each.

    An agent that bears its name later has nothing to do with them. Gives how many these were.
    """
    found = questions.of_gone(work, CLOSED_AT_ONCE)
    for row in found:
        cancelled = questions.close(work, row, QuestionState.CANCELLED, THE_SYSTEM)
        for gone, other in ((row.asker, row.target), (row.target, row.asker)):
            if gone != OPERATOR and not agent_rows.is_present(work, gone):
                _tell(work, other, _left_open(cancelled, gone))
    return len(found)


def _tell(work: Writing, agent: str, body: str) -> None:
    if agent_rows.is_present(work, agent):
        messages.add(work, Draft(THE_SYSTEM, agent, body))


def _is_over(row: Row, now: float) -> bool:
    return row.expires_at is not None and bool(row.expires_at <= now)


def _until_next(asking: Reading) -> float | None:
    due = questions.next_expiry(asking)
    return None if due is None else min(max(0.0, due - asking.now), LOOK_SECONDS)


def _asked(question: Mapping[str, Any]) -> str:
    keys = ("id", "asker", "question", "options", "multi", "expires_at")
    words = f"{question['asker']} asks you question {question['id']}; reply with the tool answer."
    return _worded(words, "question_asked", {key: question[key] for key in keys})


def _answered(question: Mapping[str, Any]) -> str:
    number, answerer = question["id"], question["answerer"]
    if answerer == rules.WATCHDOG:
        words = f"Nobody answered your question {number} in time; decide without, or ask again."
    else:
        words = f"{answerer} answered your question {number}{', late' * question['late']}."
    keys = ("id", "question", "answer", "answerer", "late")
    return _worded(words, "question_answered", {key: question[key] for key in keys})


def _settled(question: Mapping[str, Any]) -> str:
    words = f"The operator answered question {question['id']} in your stead; it needs nothing more."
    keys = ("id", "asker", "question", "answer", "answerer")
    return _worded(words, "question_settled", {key: question[key] for key in keys})


def _cancelled(question: Mapping[str, Any], actor: Actor) -> str:
    words = f"{actor.name} withdrew question {question['id']}; no answer is needed any more."
    told = {**{key: question[key] for key in ("id", "asker", "question")}, "by": actor.name}
    return _worded(words, "question_cancelled", told)


def _left_open(question: Mapping[str, Any], gone: str) -> str:
    what = "has no answer" if gone == question["target"] else "needs no answer any more"
    reason = f"{gone} is no longer in the hive"
    told = {**{key: question[key] for key in ("id", "asker", "question")}, "by": THE_SYSTEM.name}
    words = f"{reason}: question {question['id']} {what}."
    return _worded(words, "question_cancelled", {**told, "reason": reason})


def _worded(words: str, event: str, told: Mapping[str, Any]) -> str:
    """Word a message: a line for the model, then the same as one line of JSON."""
    return f"{words}\n{event} {dumps(told)}"


def _thread(row: Row, viewer: str | None) -> Thread:
    owes = viewer is not None and row.target == viewer
    agent, other = (row.target, row.asker) if owes else (row.asker, row.target)
    lead = "owes an answer" if owes else "waits for an answer"
    return Thread(ThreadKind.QUESTION, row.id, summary(lead, row.question), row.at, agent, other)

"""Sending, receiving and settling messages.

`Messages.send` returns after the message is on disk. A wait subscribes before it looks, so a
message sent in between is found; what it leased for a client that has gone meanwhile goes back
at once. Whoever ends leases does so through `end_leases`, so that every death of a message is
told to the operator and to its sender.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from hyperhive import bus
from hyperhive.bus import Watch
from hyperhive.domain import messages as rules
from hyperhive.domain.actors import OPERATOR, REMINDER, SYSTEM, THE_SYSTEM, Actor, Role
from hyperhive.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    TurnOverError,
)
from hyperhive.domain.messages import MessageState
from hyperhive.domain.quotas import Quota
from hyperhive.domain.roster import Address
from hyperhive.domain.turns import TurnOutcome
from hyperhive.services.agents import Agents
from hyperhive.services.callers import Caller
from hyperhive.services.quotas import Quotas
from hyperhive.store import Reading, Row, Store, Writing, alerts, audit, events, request_keys, turns
from hyperhive.store import messages as rows
from hyperhive.store.messages import Draft, Holder


class Messages:
    """The inboxes of the hive."""

    def __init__(self, store: Store, agents: Agents, quotas: Quotas) -> None:
        self._store = store
        self._quotas = quotas
        self.agents = agents
        self._answering: dict[tuple[str, str], Watch] = {}

    async def send(
        self,
        sender: Actor,
        to: str,
        body: str,
        *,
        in_reply_to: int | None = None,
        key: str | None = None,
        via: str = "server",
    ) -> dict[str, Any]:
        """Put a message into the inbox of ``to`` and say what came of it.

        ``to`` is an agent, ``manager``, ``operator`` or ``*``. It is on disk before this returns,
        whether or not the receiver runs. The same ``key`` within 24 hours sends nothing anew and
        gets the first answer again. Raises `QuotaUsedError` for an agent that has sent too many.
        """
        rules.check_body(body, self._body_limit(sender))
        if key is not None:
            rules.check_key(key)
        fingerprint = rules.fingerprint(to, body, in_reply_to) if key is not None else ""

        def job(work: Writing) -> dict[str, Any]:
            if key is not None:
                again = request_keys.answer_to(work, sender.name, key, fingerprint)
                if again is not None:
                    return again
            # After the key: who repeats a send is answered although the receiver has left since.
            address = self.agents.roster.address(sender, to)
            if in_reply_to is not None:
                _check_reply(work, sender, in_reply_to)
            if address.broadcast:
                self._quotas.take(work, sender, Quota.BROADCASTS)
            self._quotas.take(work, sender, Quota.MESSAGES)
            ids = {
                name: rows.add(work, Draft(sender, name, body, in_reply_to, address.broadcast))
                for name in address.recipients
            }
            answer = self._sent(address, ids, work.seq)
            if sender.is_operator:
                detail = {"ids": list(ids.values())}
                audit.add(work, actor=sender.name, via=via, verb="send", subject=to, detail=detail)
            if key is not None:
                request_keys.remember(work, sender.name, key, fingerprint, answer)
            return answer

        return await self._store.write(job)

    def _body_limit(self, sender: Actor) -> int:
        """Say how many bytes a body may have; the operator's may have what agents' may."""
        granted = int(self._quotas.limit(sender.name, Quota.MESSAGE_BYTES))
        return granted if sender.is_agent else max(granted, rules.BODY_BYTES_MAX)

    def _sent(self, address: Address, ids: dict[str, int], seq: int) -> dict[str, Any]:
        if address.broadcast:
            return {
                "id": None,
                "ids": ids,
                "to": address.to,
                "receivers": {name: self.agents.state_of(name) for name in ids},
                "left_out": list(address.left_out),
                "seq": seq,
            }
        ((name, number),) = ids.items()
        receiver = None if name == OPERATOR else self.agents.state_of(name)
        return {"id": number, "to": name, "receiver": receiver, "seq": seq}

    async def receive(
        self, agent: str, *, wait_seconds: float, count: int, holder: Holder, caller: Caller
    ) -> dict[str, Any]:
        """Lease the oldest deliverable messages, waiting for one if there is none.

        The wait ends with the first message, its time, its turn, its caller or the hive. A request
        that comes again takes the place of the first, and gets what that was given for as long as
        it is leased. Raises `TurnOverError` when ``holder`` is a turn that has ended.
        """
        if not 1 <= count <= rules.RECV_MESSAGES_MAX:
            raise InvalidError(f"max is {count}.", f"Ask for 1 to {rules.RECV_MESSAGES_MAX}.")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        names = [bus.inbox(agent)]
        if holder.turn is not None:
            names.append(bus.turn(holder.turn))
        taken: list[int] = []

        def look(work: Writing) -> tuple[list[dict[str, Any]], int, float | None]:
            if holder.turn is not None:
                open_turn(work, agent, holder.turn)
            if holder.delivery is not None:
                again = rows.of_delivery(work, agent, holder.delivery)
                if again:
                    return [rows.received(row) for row in again], rows.waiting(work, agent), None
            got = rows.lease(work, agent, count, holder)
            taken.extend(message["id"] for message in got)
            if got:
                return got, rows.waiting(work, agent), None
            return got, 0, rows.next_due(work, agent)

        with (
            self._store.bus.watch(*names) as watch,
            self._latest(agent, holder, watch) as is_latest,
        ):
            caller.when_gone(watch.ring)
            while not caller.gone and is_latest():
                try:
                    got, waiting, due = await self._store.write(look)
                except asyncio.CancelledError:
                    if is_latest():
                        await asyncio.shield(self._give_back(agent, holder, taken))
                    raise
                if got and is_latest():
                    if not caller.gone:
                        return {"messages": got, "waiting": waiting}
                    await self._give_back(agent, holder, taken)
                left = deadline - loop.time()
                if got or left <= 0 or self._store.bus.closed:
                    break
                until_due = left if due is None else max(0.0, due - self._store.clock())
                await watch.wait(min(left, until_due))
        return {"messages": [], "waiting": 0}

    @contextmanager
    def _latest(self, agent: str, holder: Holder, watch: Watch) -> Iterator[Callable[[], bool]]:
        """End the wait of the request that this one repeats; tell whether this one was repeated.

        Whoever was replaced hands nothing over and gives nothing back: it is the other's.
        """
        request = (agent, holder.delivery or "")
        if holder.delivery is None:
            yield lambda: True
            return
        first = self._answering.get(request)
        self._answering[request] = watch
        if first is not None:
            first.ring()
        try:
            yield lambda: self._answering.get(request) is watch
        finally:
            if self._answering.get(request) is watch:
                del self._answering[request]

    async def _give_back(self, agent: str, holder: Holder, taken: list[int]) -> None:
        """Release what was leased for a client that had already gone: it has seen nothing.

        ``taken`` is read by the writer: the job that fills it may be queued before this one.
        """

        def job(work: Writing) -> None:
            found = [row for number in taken if (row := rows.find(work, number)) is not None]
            held = [
                row
                for row in found
                if row.state == MessageState.LEASED.value
                and (row.recipient, row.turn, row.delivery) == (agent, holder.turn, holder.delivery)
                and row.lease_until == holder.until
                and not row.confirmed
            ]
            end_leases(work, held, TurnOutcome.VOID, seen=False)

        await self._store.write(job)

    async def give_back_delivery(self, agent: str, delivery: str) -> None:
        """Release what one request was given, when its answer could not even be begun.

        Not what the same request was given when it came again and was seen to arrive.
        """
        if (agent, delivery) in self._answering:
            return

        def job(work: Writing) -> None:
            held = [row for row in rows.of_delivery(work, agent, delivery) if not row.confirmed]
            end_leases(work, held, TurnOutcome.UNCONFIRMED, seen=True)

        await self._store.write(job)

    async def confirm(self, agent: str, delivery: str) -> int:
        """Note that a delivery reached its client; return how many messages it held."""
        return await self._store.write(lambda work: rows.confirm(work, agent, delivery))

    async def ack(self, agent: str, ids: Iterable[int], *, in_turn: bool) -> dict[str, Any]:
        """Settle messages that were leased by hand.

        What a turn has leased is settled by the turn's end, and the answer says so. Raises
        `NotFoundError` for a message of another inbox.
        """
        wanted = list(dict.fromkeys(ids))

        def job(work: Writing) -> dict[str, Any]:
            acked, by_turn, not_leased = [], [], []
            for number in wanted:
                row = rows.find(work, number)
                if row is None or row.recipient != agent:
                    raise NotFoundError("message in your inbox", number)
                if row.state == MessageState.ACKED.value:
                    acked.append(number)
                elif row.state != MessageState.LEASED.value:
                    not_leased.append(number)
                elif row.turn is not None:
                    by_turn.append(number)
                else:
                    rows.ack(work, [row], agent)
                    acked.append(number)
            answer: dict[str, Any] = {"acked": acked}
            if by_turn:
                answer["acked_by_turn_end"] = by_turn
                answer["note"] = "The end of the turn acks these; nothing needs to be done."
            if not_leased:
                answer["not_leased"] = not_leased
                answer["lost"] = "The lease of these was over; they will be delivered again."
            return answer

        if in_turn and not wanted:
            return {"acked": [], "note": "The end of the turn acks what it received."}
        return await self._store.write(job)

    async def status(self, actor: Actor, number: int) -> dict[str, Any]:
        """Say where a message is, to its sender, its receiver, the manager or the operator."""
        member = self.agents.roster.members.get(actor.name)
        sees_all = actor.is_operator or (member is not None and member.role is Role.MANAGER)

        def job(asking: Reading) -> dict[str, Any]:
            row = rows.find(asking, number)
            if row is None or not (sees_all or actor.name in (row.sender, row.recipient)):
                raise NotFoundError("message of yours", number)
            steps = [
                {"at": event.at, "step": event.kind.removeprefix("message_")}
                for event in events.of_message(asking, number)
            ]
            shown = rows.summary(row)
            return {**shown, "says": _where(row, self._store.clock()), "steps": steps}

        return await self._store.read(job)

    async def requeue(self, operator: Actor, number: int, *, via: str) -> dict[str, Any]:
        """Give a dead message a new life."""
        return await self._settle_dead(operator, number, "requeue", via)

    async def drop(self, operator: Actor, number: int, *, via: str) -> dict[str, Any]:
        """Settle a dead message as not to be handled."""
        return await self._settle_dead(operator, number, "drop", via)

    async def _settle_dead(
        self, operator: Actor, number: int, verb: str, via: str
    ) -> dict[str, Any]:
        _only_operator(operator, verb)
        act = rows.requeue if verb == "requeue" else rows.drop
        after = MessageState.QUEUED if verb == "requeue" else MessageState.DROPPED

        def job(work: Writing) -> dict[str, Any]:
            row = _found(work, number)
            if row.state != MessageState.DEAD.value:
                raise ConflictError(
                    f"Message {number} is {row.state}, not dead.",
                    "Only a dead message can be requeued or dropped.",
                )
            act(work, row, operator)
            alerts.clear_alert(work, _alert_key(number))
            audit.add(work, actor=operator.name, via=via, verb=verb, subject=f"message:{number}")
            return {"id": number, "state": after.value, "seq": work.seq}

        return await self._store.write(job)

    async def mark_read(self, operator: Actor, number: int) -> dict[str, Any]:
        """Note that the operator has opened a message sent to them."""
        _only_operator(operator, "read")

        def job(work: Writing) -> dict[str, Any]:
            row = _found(work, number)
            if row.recipient != OPERATOR:
                raise ConflictError(
                    f"Message {number} is for {row.recipient}.", "Only your own can be marked."
                )
            if row.read_at is None:
                rows.mark_read(work, row, operator)
            return {"id": number, "state": row.state, "seq": work.seq}

        return await self._store.write(job)

    async def show(self, number: int) -> dict[str, Any]:
        """Give one message whole, with every step of its life."""

        def job(asking: Reading) -> dict[str, Any]:
            row = _found(asking, number)
            history = [event.as_json() for event in events.of_message(asking, number)]
            return {**rows.summary(row), "body": row.body, "history": history}

        return await self._store.read(job)

    async def page(
        self, *, before: int | None, limit: int, agent: str | None, state: str | None
    ) -> dict[str, Any]:
        """Page backwards through messages, newest first."""
        try:
            wanted = MessageState(state) if state is not None else None
        except ValueError:
            states = ", ".join(known.value for known in MessageState)
            raise InvalidError(f"There is no state {state!r}.", f"Known: {states}.") from None

        def job(asking: Reading) -> dict[str, Any]:
            found = rows.search(asking, before=before, limit=limit + 1, agent=agent, state=wanted)
            shown = [rows.summary(row) for row in found[:limit]]
            return {"messages": shown, "more": len(found) > limit}

        return await self._store.read(job)

    async def release_overdue(self) -> int:
        """Give back what clients by hand have held for too long; return how many."""
        if not await self._store.read(lambda asking: bool(rows.overdue(asking))):
            return 0

        def job(work: Writing) -> int:
            found = rows.overdue(work)
            end_leases(work, found, TurnOutcome.EXPIRED)
            return len(found)

        return await self._store.write(job)


def open_turn(work: Writing, agent: str, number: int) -> Row:
    """Give an agent's turn that still runs, or raise `TurnOverError`."""
    row = turns.find(work, number)
    if row is None or row.agent != agent or row.ended_at is not None:
        raise TurnOverError(number)
    return row


def end_leases(
    work: Writing, held: Iterable[Row], outcome: TurnOutcome, *, seen: bool = True
) -> None:
    """Release leased messages; whoever died of it is told of: an alert, and word to its sender."""
    held = list(held)
    died = set(rows.release(work, held, outcome, seen=seen))
    for row in held:
        if row.id not in died:
            continue
        text = (
            f"Message {row.id} from {row.sender} to {row.recipient} is dead: "
            f"{rules.ATTEMPTS_MAX} attempts to handle it failed, the last one {outcome.value}."
        )
        alerts.raise_alert(work, _alert_key(row.id), text, severity="error", agent=row.recipient)
        if row.sender not in (OPERATOR, SYSTEM, REMINDER):
            word = f"{text} The operator can requeue or drop it."
            rows.add(work, Draft(THE_SYSTEM, row.sender, word, in_reply_to=row.id))


def _alert_key(number: int) -> str:
    return f"{alerts.OF_DEAD_MESSAGE}{number}"


def _found(asking: Reading | Writing, number: int) -> Row:
    row = rows.find(asking, number)
    if row is None:
        raise NotFoundError("message", number)
    return row


def _check_reply(work: Writing, sender: Actor, number: int) -> None:
    row = rows.find(work, number)
    if row is None or (sender.is_agent and sender.name not in (row.sender, row.recipient)):
        raise NotFoundError("message of yours to reply to", number)


def _only_operator(actor: Actor, verb: str) -> None:
    if not actor.is_operator:
        raise ForbiddenError(f"Only the operator may {verb} a message.")


def _where(row: Row, now: float) -> str:
    """Say in a sentence where a message is."""
    match MessageState(row.state):
        case MessageState.QUEUED if not rules.is_due(row.not_before, now):
            return (
                f"Waiting: after {row.attempts} failed attempts it is delivered again in "
                f"{round(row.not_before - now)} s."
            )
        case MessageState.QUEUED:
            return f"In {row.recipient}'s inbox, not yet taken up."
        case MessageState.LEASED:
            return f"{row.recipient} is working on it."
        case MessageState.ACKED if row.recipient == OPERATOR:
            return "Delivered; " + ("unread." if row.read_at is None else "the operator opened it.")
        case MessageState.ACKED:
            return f"{row.recipient} has handled it."
        case MessageState.DEAD:
            return f"Dead after {row.attempts} failed attempts; the operator can requeue it."
        case MessageState.DROPPED if str(row.reason or "").startswith(rules.WITHDRAWN):
            return f"It was {row.reason}, before {row.recipient} saw it."
        case MessageState.DROPPED:
            return "Dropped by the operator."

"""The page's state: a snapshot and every event after it give what a later snapshot gives."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.fake_hive import FakeHive
from tests.browser.hive_model import OPERATOR, HiveModel, Json
from tests.folding import FOLD, project
from tests.promises import promise

WINDOW = 12
STEPS = 120


def look(model: HiveModel) -> Json:
    """Take a snapshot, and beside it what hangs on alice."""
    return {**model.snapshot(), "threads": model.threads("alice")["threads"]}


def a_hive() -> HiveModel:
    """Give a hive with a clock that ticks once a reading and a small window."""
    ticks = count(1_000)
    model = HiveModel(clock=lambda: float(next(ticks)), window=WINDOW)
    for name in ("queen", "alice", "bob"):
        model.add_agent(name, role="manager" if name == "queen" else "worker")
    return model


def possible_steps(model: HiveModel, chance: random.Random) -> list[Callable[[], object]]:
    """Give everything that may happen next, each bound to what it happens to."""
    names = list(model.agents)
    name = chance.choice(names)
    to = chance.choice([*names, OPERATOR])
    steps: list[Callable[[], object]] = [
        lambda: model.send(chance.choice(names), to, "do this"),
        lambda: model.send(OPERATOR, name, "and that"),
        lambda: model.set_state(name, chance.choice(["ready", "busy", "crashed"]), "so it is"),
        lambda: model.set_status(name, chance.choice(["at it", None])),
        lambda: model.change_agent(name, description=chance.choice(["this", "that"])),
        lambda: model.raise_alert(chance.choice("xyz"), "look"),
    ]
    steps.extend(lifecycle_steps(model, chance, name))
    steps.extend(deciding_steps(model, chance, name))
    if model.agents[name]["turn"]:
        context = chance.choice([None, {"tokens": chance.randrange(999), "window": 1000}])
        cost = chance.choice([None, 0.25])
        steps.append(lambda: model.end_turn(name, cost=cost, context=context))
    else:
        steps.append(lambda: model.start_turn(name))
    if model.alerts:
        steps.append(lambda: model.clear_alert(chance.choice(list(model.alerts))))
    if "carol" in model.agents:
        steps.append(lambda: model.remove_agent("carol"))
    else:
        steps.append(lambda: model.add_agent("carol", declared=False))
    moves: dict[str, list[Callable[[int], object]]] = {
        "queued": [model.lease, model.withdraw],
        "leased": [model.ack, model.release, model.die],
        "dead": [model.requeue, model.drop],
    }
    for ident, row in model.messages.items():
        if row["to"] == OPERATOR and row["read_at"] is None:
            steps.append(partial(model.read, ident))
        elif row["to"] != OPERATOR:
            steps.extend(partial(move, ident) for move in moves.get(row["state"], []))
    return steps


def lifecycle_steps(
    model: HiveModel, chance: random.Random, name: str
) -> list[Callable[[], object]]:
    """Give what may happen to the life of an agent, and to the hive as a whole."""
    row = model.agents[name]
    cause = chance.choice(["operator", "rate_limit", "disk"])
    whom = chance.choice([name, None])
    until = chance.choice([None, 9_999.0])
    steps: list[Callable[[], object]] = [
        lambda: model.pause(whom, cause, "so it is", until),
        lambda: model.resume(whom, cause),
        lambda: model.set_plan(*chance.choice([[], [("start", name)]])),
        lambda: model.start(chance.choice(["0.1.0", "0.2.0"])),
        lambda: model.change_limits(spend_per_day_usd=chance.choice([None, 5.0])),
        lambda: model.set_model(name, chance.choice(["large", None])),
        lambda: model.probe(name, chance.choice([[], ["it sees more"]]), ["so it is"]),
        lambda: model.set_rollout(phase=chance.choice(["draining", "others"]), restarted=[name]),
        lambda: model.unhold(name) if row["held"] else model.hold(name),
        lambda: model.clear_transient(name) if row["transient"] else model.set_transient(name),
    ]
    if model.rollout:
        steps.append(model.end_rollout)
    if "carol" in model.tombstones:
        steps.append(lambda: model.purge("carol"))
    return steps


def deciding_steps(
    model: HiveModel, chance: random.Random, name: str
) -> list[Callable[[], object]]:
    """Give what may be asked, decided, reminded of, and happen at the forge."""
    steps: list[Callable[[], object]] = [
        lambda: model.ask(name, "which?", chance.choice([OPERATOR, "bob"]), options=["a", "b"]),
        lambda: model.propose(name, "may I?"),
        lambda: model.remind(name, "look again"),
        lambda: model.set_forge(state=chance.choice(["ready", "unreachable"])),
    ]
    if model.forge:
        number, state = chance.randrange(1, 5), chance.choice(["open", "open", "merged", "closed"])
        reviewers = chance.choice([[], ["alice"], ["bob", "alice"]])
        author = chance.choice(["alice", "bob"])
        steps.append(
            lambda: model.set_pull(number, state=state, author=author, reviewers=reviewers)
        )
    for ident, row in model.questions.items():
        if row["state"] == "open":
            state = chance.choice(["answered", "cancelled", "expired"])
            steps.append(partial(model.close_question, ident, state, "a"))
    for ident, row in model.approvals.items():
        if row["closed_at"] is None:
            steps.append(
                partial(model.decide, ident, chance.choice(["approved", "done", "denied"]))
            )
    for ident, row in model.reminders.items():
        if row["state"] in ("pending", "failed"):
            state = chance.choice(["delivered", "failed", "cancelled", "pending"])
            steps.append(partial(model.move_reminder, ident, state))
    return steps


def a_history(seed: int, before: int) -> tuple[list[Json], list[Json]]:
    """Give the snapshots after each of ``STEPS`` random steps, and the events between them."""
    chance = random.Random(seed)
    model = a_hive()
    for _ in range(before):
        chance.choice(possible_steps(model, chance))()
    snapshots = [look(model)]
    for _ in range(STEPS):
        chance.choice(possible_steps(model, chance))()
        snapshots.append(look(model))
    return snapshots, [e for e in model.events if e["seq"] > snapshots[0]["seq"]]


def at_the_same_position(states: list[Json], snapshots: list[Json]) -> Iterator[tuple[Json, Json]]:
    """Pair each snapshot with the state that events led to; a step may have had two or none."""
    by_seq = {state["seq"]: state for state in states}
    assert len(by_seq) > STEPS // 2
    for snapshot in snapshots:
        yield by_seq[snapshot["seq"]], project(snapshot)


@pytest.fixture(scope="module")
def fold(browser: Browser) -> Iterator[Callable[[Json, list[Json]], list[Json]]]:
    """Apply events to a snapshot with the page's own modules, in the browser."""
    with FakeHive(HiveModel()) as hive:
        page = browser.new_page()
        page.goto(f"{hive.url}/login")
        yield partial(folded, page)
        page.close()


def folded(page: Page, start: Json, events: list[Json]) -> list[Any]:
    """Give what the page's state is at first and after each event."""
    given = {"start": start, "listed": start["threads"], "events": events, "window": WINDOW}
    given |= {"place": "/static", "wanted": None}
    states: list[Any] = page.evaluate(FOLD, given)
    return states


@promise("E1")
@pytest.mark.parametrize("seed", range(8))
def test_the_state_equals_a_fresh_snapshot_after_every_event(
    fold: Callable[[Json, list[Json]], list[Json]], seed: int
) -> None:
    snapshots, events = a_history(seed, before=0)

    states = fold(snapshots[0], events)

    for state, wanted in at_the_same_position(states, snapshots):
        assert state == wanted


@pytest.mark.parametrize("seed", range(8, 12))
def test_what_happens_to_a_message_older_than_the_snapshot_is_still_counted(
    fold: Callable[[Json, list[Json]], list[Json]], seed: int
) -> None:
    snapshots, events = a_history(seed, before=200)

    states = fold(snapshots[0], events)

    for state, wanted in at_the_same_position(states, snapshots):
        assert state["agents"] == wanted["agents"]
        assert state["unread"] == wanted["unread"]
        for key in ("id", "from", "to", "state", "attempts", "reason"):
            assert [m[key] for m in state["dead"]] == [m[key] for m in wanted["dead"]]


def test_an_event_that_comes_twice_counts_once(
    fold: Callable[[Json, list[Json]], list[Json]],
) -> None:
    model = a_hive()
    start = look(model)
    model.send("alice", OPERATOR, "hello")
    [event] = [e for e in model.events if e["seq"] > start["seq"]]

    states = fold(start, [event, event])

    assert states[-1] == project(look(model))


def test_an_event_of_an_unknown_kind_only_moves_the_position(
    fold: Callable[[Json, list[Json]], list[Json]],
) -> None:
    model = a_hive()
    start = look(model)
    event = {
        "seq": start["seq"] + 1,
        "at": 1,
        "kind": "moon_rose",
        "agent": None,
        "actor": "system",
    }

    states = fold(start, [{**event, "data": {}}])

    assert states[-1] == {**project(start), "seq": start["seq"] + 1}

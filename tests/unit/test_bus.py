"""Nobody who subscribes before looking misses what is published after."""

import asyncio

import pytest

from hyperhive.bus import Bus, inbox

pytestmark = pytest.mark.anyio


async def test_a_publication_wakes_who_waits_for_its_name_and_nobody_else() -> None:
    bus = Bus()
    with bus.watch(inbox("alice")) as alice, bus.watch(inbox("bob")) as bob:
        waiting = asyncio.ensure_future(alice.wait(5))
        await asyncio.sleep(0)
        bus.publish(1, [inbox("alice")])

        assert await waiting
        assert not await bob.wait(0)


async def test_a_publication_between_two_waits_ends_the_next() -> None:
    bus = Bus()
    with bus.watch("a") as watch:
        bus.publish(1, ["a"])
        bus.publish(2, ["a"])

        assert await watch.wait(5)
        assert not await watch.wait(0)


async def test_a_publication_before_the_interest_is_not_heard() -> None:
    bus = Bus()
    bus.publish(1, ["a"])
    with bus.watch("a") as watch:
        assert not await watch.wait(0)


async def test_a_ring_at_the_very_end_of_a_wait_is_kept_for_the_next() -> None:
    bus = Bus()
    with bus.watch("a") as watch:
        waiting = asyncio.ensure_future(watch.wait(0))
        await asyncio.sleep(0)
        bus.publish(1, ["a"])
        first = await waiting

        assert first or await watch.wait(0)


async def test_without_names_everything_is_heard() -> None:
    bus = Bus()
    with bus.watch() as watch:
        bus.publish(7)

        assert await watch.wait(5)
        assert bus.seq == 7


async def test_one_watch_hears_several_names() -> None:
    bus = Bus()
    with bus.watch("a", "b") as watch:
        for name in ("a", "b"):
            bus.publish(1, [name])
            assert await watch.wait(5)


async def test_a_name_can_ring_for_a_while() -> None:
    bus = Bus()
    with bus.watch("a") as watch:
        with bus.ringing(watch, "b"):
            bus.publish(1, ["b"])
            assert await watch.wait(5)
        bus.publish(2, ["b"])
        assert not await watch.wait(0)


async def test_closing_ends_every_wait() -> None:
    bus = Bus()
    with bus.watch("a") as one, bus.watch() as all_of_it:
        waits = [asyncio.ensure_future(watch.wait(5)) for watch in (one, all_of_it)]
        await asyncio.sleep(0)
        bus.close()

        assert await asyncio.gather(*waits) == [True, True]
        assert bus.closed


async def test_who_has_left_costs_nothing() -> None:
    bus = Bus()
    for number in range(100):
        with bus.watch(inbox(f"a{number}")):
            pass

    assert not bus._watches


async def test_a_wait_that_is_cancelled_leaves_the_interest_standing() -> None:
    bus = Bus()
    with bus.watch("a") as watch:
        waiting = asyncio.ensure_future(watch.wait(5))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        bus.publish(1, ["a"])

        assert await watch.wait(0)

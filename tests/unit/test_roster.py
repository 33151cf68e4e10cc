"""Where a message goes, and who may send it there."""

import pytest

from hyperhive.domain.actors import THE_OPERATOR, Role, agent
from hyperhive.domain.errors import ForbiddenError, NotFoundError
from hyperhive.domain.roster import Address, Member, Roster
from tests.promises import promise


def a_roster(**allowed: set[str]) -> Roster:
    """Give queen (the manager), alice and bob; a keyword says whom one of them may write to."""
    return Roster(
        {
            name: Member(
                name,
                Role.MANAGER if name == "queen" else Role.WORKER,
                frozenset(allowed[name]) if name in allowed else None,
            )
            for name in ("queen", "alice", "bob")
        }
    )


def test_a_name_is_an_inbox() -> None:
    assert a_roster().address(agent("alice"), "bob") == Address("bob", ("bob",))


def test_the_manager_is_found_by_role() -> None:
    assert a_roster().address(agent("alice"), "manager").recipients == ("queen",)


def test_one_may_write_to_oneself() -> None:
    assert a_roster().address(agent("alice"), "alice").recipients == ("alice",)


@promise("M11")
@pytest.mark.parametrize("to", ["alicia", "", "Alice", "system", "alice ", "\x00"])
def test_an_unknown_name_is_answered_with_the_known_ones(to: str) -> None:
    with pytest.raises(NotFoundError, match=r"Known: \*, alice, bob, manager, operator, queen\."):
        a_roster().address(agent("alice"), to)


@promise("M11")
@pytest.mark.parametrize(("to", "name"), [("bob", "bob"), ("operator", "operator")])
def test_a_forbidden_name_is_answered_with_the_option(to: str, name: str) -> None:
    with pytest.raises(
        ForbiddenError,
        match=rf"alice may not message {name}: agents\.alice\.mayMessage allows queen\. Ask",
    ):
        a_roster(alice={"queen"}).address(agent("alice"), to)


def test_who_may_write_to_nobody_is_told_so() -> None:
    with pytest.raises(ForbiddenError, match="allows nobody"):
        a_roster(alice=set()).address(agent("alice"), "bob")


@pytest.mark.parametrize(
    ("allowed", "to"),
    [
        ({"manager"}, "queen"),
        ({"manager"}, "manager"),
        ({"queen"}, "manager"),
        ({"*"}, "operator"),
        ({"operator"}, "operator"),
        ({"*"}, "bob"),
    ],
)
def test_an_option_allows_by_name_by_role_and_by_star(allowed: set[str], to: str) -> None:
    assert a_roster(alice=allowed).address(agent("alice"), to).recipients


def test_the_operator_writes_to_everyone() -> None:
    roster = a_roster(alice=set(), bob=set())

    assert roster.address(THE_OPERATOR, "*").recipients == ("queen", "alice", "bob")


@promise("M10")
def test_a_broadcast_reaches_whom_the_sender_may_message_and_names_the_others() -> None:
    address = a_roster(alice={"queen"}).address(agent("alice"), "*")

    assert address == Address("*", ("queen",), broadcast=True, left_out=("bob",))


def test_a_broadcast_does_not_come_back_to_its_sender() -> None:
    assert a_roster().address(agent("queen"), "*").recipients == ("alice", "bob")


def test_who_is_no_longer_in_the_hive_sends_nothing() -> None:
    with pytest.raises(NotFoundError, match="no agent 'carol'"):
        a_roster().address(agent("carol"), "bob")


def test_who_is_no_longer_in_the_hive_broadcasts_nothing() -> None:
    with pytest.raises(NotFoundError, match="no agent 'carol'"):
        a_roster().address(agent("carol"), "*")


def test_a_hive_without_agents_has_no_manager() -> None:
    with pytest.raises(NotFoundError):
        Roster().address(THE_OPERATOR, "manager")

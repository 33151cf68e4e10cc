"""What is done to a forge to make it what is declared, as a pure function."""

from dataclasses import replace
from typing import Any

from hyperhive.domain.forge import Access
from hyperhive.domain.forge_plan import (
    Account,
    AddMember,
    ChangeTeam,
    CreateOrganisation,
    CreateRepository,
    CreateTeam,
    CreateUser,
    Docs,
    ForgeAction,
    IssueToken,
    Organisation,
    Protect,
    ReadmitUser,
    RemoveMember,
    RevokeUser,
    Seed,
    Seen,
    SeenAccount,
    SeenDocs,
    SetHook,
    Team,
    Wanted,
    plan_forge,
)
from tests.promises import promise

PUSHERS = frozenset({"queen", "operator"})
BOTH = frozenset({"queen", "alice"})


def wanted(**changes: Any) -> Wanted:
    """Want queen and alice, one organisation of theirs, the docs, and the operator."""
    names = {name: Account(name) for name in BOTH}
    given = Wanted(
        accounts={**names, "operator": Account("operator", has_token=False)},
        orgs={
            "work": Organisation({"members": Team(Access.WRITE, BOTH)}, frozenset({"operator"})),
            "org-shared": Organisation({"readers": Team(Access.READ, BOTH)}),
        },
        docs=Docs("org-shared", "docs", PUSHERS),
        hook="http://127.0.0.1:1/x",
    )
    return replace(given, **changes)


def seen(**changes: Any) -> Seen:
    """See all of it in place."""
    whole = wanted()
    given = Seen(
        accounts={name: SeenAccount() for name in whole.accounts},
        orgs=whole.orgs,
        docs=SeenDocs(pushers=PUSHERS),
        hooks=dict.fromkeys(whole.orgs, "http://127.0.0.1:1/x"),
    )
    return replace(given, **changes)


def actions(declared: Wanted, found: Seen) -> list[ForgeAction]:
    """Plan."""
    return list(plan_forge(declared, found).actions)


def test_an_empty_forge_gets_everything_and_what_depends_on_something_comes_after_it() -> None:
    done = actions(wanted(), Seen())
    assert {action.subject for action in done if isinstance(action, CreateUser)} == {
        *BOTH,
        "operator",
    }
    assert {action.subject for action in done if isinstance(action, IssueToken)} == BOTH
    first = {kind: index for index, kind in reversed(list(enumerate(map(type, done))))}
    last = {kind: index for index, kind in enumerate(map(type, done))}
    for earlier, later in (
        (CreateUser, IssueToken),
        (CreateUser, AddMember),
        (CreateOrganisation, CreateTeam),
        (CreateOrganisation, CreateRepository),
        (CreateTeam, AddMember),
        (CreateRepository, Seed),
        (Seed, Protect),
    ):
        assert last[earlier] < first[later]


@promise("F20")
def test_a_forge_that_is_as_declared_needs_nothing() -> None:
    assert actions(wanted(), seen()) == []


def test_who_leaves_a_team_is_taken_out_before_anybody_gets_anything() -> None:
    orgs = {**wanted().orgs, "work": Organisation({"members": Team(Access.WRITE, BOTH)})}
    declared = wanted(
        orgs={**orgs, "work": Organisation({"members": Team(Access.WRITE, frozenset({"queen"}))})}
    )
    found = seen(orgs=orgs, hooks={})
    done = actions(declared, found)
    assert done[0] == RemoveMember("work", "members", "alice")
    assert done[1:] == [
        SetHook("org-shared", declared.hook or ""),
        SetHook("work", declared.hook or ""),
    ]


def test_a_member_whom_somebody_else_put_there_stays() -> None:
    crowd = {**wanted().orgs}
    crowd["work"] = Organisation(
        {
            "members": Team(Access.WRITE, BOTH | {"carol"}),
            "theirs": Team(Access.READ, frozenset({"carol"})),
        },
        frozenset({"operator", "root"}),
    )
    assert actions(wanted(), seen(orgs=crowd)) == []


def test_a_team_and_an_organisation_that_are_dropped_lose_the_hives_accounts_and_stay() -> None:
    orgs = dict(wanted().orgs)
    found = seen(
        orgs={
            **orgs,
            "old": Organisation({"any": Team(Access.READ, frozenset({"alice", "carol"}))}),
            "org-shared": Organisation(
                {**orgs["org-shared"].teams, "dropped": Team(Access.WRITE, frozenset({"alice"}))}
            ),
        }
    )
    assert actions(wanted(former=frozenset({"old"})), found) == [
        RemoveMember("org-shared", "dropped", "alice"),
        RemoveMember("old", "any", "alice"),
    ]


def test_the_account_of_an_agent_that_is_gone_is_closed_once_and_opened_when_it_returns() -> None:
    accounts = {**seen().accounts, "bob": SeenAccount()}
    gone = wanted(gone=frozenset({"bob"}))
    assert actions(gone, seen(accounts=accounts)) == [RevokeUser("bob")]
    closed = {**accounts, "bob": SeenAccount(is_active=False, has_token=False)}
    assert actions(gone, seen(accounts=closed)) == []
    back = wanted(accounts={**wanted().accounts, "bob": Account("bob")}, gone=frozenset({"bob"}))
    assert actions(back, seen(accounts=closed)) == [ReadmitUser("bob"), IssueToken("bob")]


@promise("F21")
def test_an_account_that_the_hive_did_not_make_is_never_taken_over() -> None:
    accounts = {**seen().accounts, "alice": SeenAccount(is_ours=False, has_token=False)}
    orgs = {name: replace(org, teams={}) for name, org in wanted().orgs.items()}
    plan = plan_forge(wanted(), seen(accounts=accounts, orgs=orgs))
    assert set(plan.obstacles) == {"alice"}
    assert "alice" not in {action.subject for action in plan.actions}
    assert not [action for action in plan.actions if isinstance(action, IssueToken)]


def test_an_account_of_the_operators_own_is_used_as_it_is() -> None:
    accounts = {**seen().accounts, "operator": SeenAccount(is_ours=False, has_token=False)}
    plan = plan_forge(wanted(), seen(accounts=accounts))
    assert (plan.actions, dict(plan.obstacles)) == ((), {})


def test_a_token_that_no_longer_works_is_made_anew_and_nothing_else() -> None:
    accounts = {**seen().accounts, "alice": SeenAccount(has_token=False)}
    assert actions(wanted(), seen(accounts=accounts)) == [IssueToken("alice")]


def test_a_right_that_changed_changes_the_team() -> None:
    orgs = {**wanted().orgs, "work": Organisation({"members": Team(Access.READ, BOTH)}, PUSHERS)}
    assert actions(wanted(), seen(orgs=orgs)) == [
        ChangeTeam("work", "members", wanted().orgs["work"].teams["members"])
    ]


def test_docs_that_anybody_may_push_to_are_protected() -> None:
    assert actions(wanted(), seen(docs=SeenDocs())) == [Protect("org-shared", "docs", PUSHERS)]


def test_docs_without_a_branch_are_seeded_again() -> None:
    done = actions(wanted(), seen(docs=SeenDocs(has_branch=False, pushers=PUSHERS)))
    assert done == [Seed("org-shared", "docs")]

"""From the declaration to the forge that it asks for: accounts, organisations, teams, docs."""

from collections import defaultdict
from collections.abc import Collection

from hyperhive.config import Hive
from hyperhive.domain.actors import MANAGER, OPERATOR
from hyperhive.domain.forge import Access
from hyperhive.domain.forge_plan import (
    COMMON_ORG,
    CONFIGS_ORG,
    CONFIGS_READERS,
    CONTRIBUTORS,
    MEMBERS,
    READERS,
    SYSTEM_ACCOUNT,
    WRITERS,
    Account,
    Docs,
    Organisation,
    Team,
    Wanted,
)


def wanted_forge(
    hive: Hive,
    *,
    gone: Collection[str] = (),
    former: Collection[str] = (),
    hook: str | None = None,
    has_spawned: bool = False,
) -> Wanted:
    """Say what the forge should be; for the rest see `Wanted`."""
    operator = hive.operator.forge_account
    accounts = {name: Account(name, agent.description) for name, agent in hive.agents.items()}
    accounts[SYSTEM_ACCOUNT] = Account(SYSTEM_ACCOUNT, f"The hive {hive.name}")
    accounts[operator] = Account(operator, "The operator", has_token=False)
    docs = hive.forge.docs
    return Wanted(
        accounts=accounts,
        orgs=_orgs(hive, operator, with_configs=has_spawned),
        docs=Docs(docs.org, docs.repository, frozenset({hive.manager_name, operator})),
        gone=frozenset(gone) - accounts.keys(),
        former=frozenset(former),
        hook=hook,
    )


def _orgs(hive: Hive, operator: str, *, with_configs: bool) -> dict[str, Organisation]:
    teams: defaultdict[str, dict[str, Team]] = defaultdict(dict)
    said = {name: org.description for name, org in hive.forge.orgs.items()}
    for name, org in hive.forge.orgs.items():
        for team, declared in org.teams.items():
            members = frozenset(_account(member, hive, operator) for member in declared.members)
            teams[name][team] = Team(Access(declared.permission.value), members)
    for org_name, joined in _joined(hive).items():
        access = Access.READ if org_name == hive.forge.docs.org else Access.WRITE
        for team, may_create in ((MEMBERS, True), (CONTRIBUTORS, False)):
            chosen = {
                name
                for name in joined
                if hive.agents[name].forge.may_create_repositories is may_create
            }
            if chosen:
                teams[org_name][team] = Team(access, frozenset(chosen), may_create)
    docs_org = hive.forge.docs.org
    teams[docs_org][READERS] = Team(Access.READ, frozenset({*hive.agents, SYSTEM_ACCOUNT}))
    teams[docs_org][WRITERS] = Team(Access.WRITE, frozenset({hive.manager_name}))
    if with_configs:
        teams[CONFIGS_ORG][CONFIGS_READERS] = Team(Access.READ, frozenset({hive.manager_name}))
    return {
        name: Organisation(teams[name], frozenset({operator}), said.get(name, ""))
        for name in sorted({*said, *teams})
    }


def _joined(hive: Hive) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, agent in hive.agents.items():
        for org in agent.forge.orgs or (COMMON_ORG,):
            found[org].append(name)
    return dict(found)


def _account(member: str, hive: Hive, operator: str) -> str:
    return {MANAGER: hive.manager_name, OPERATOR: operator}.get(member, member)

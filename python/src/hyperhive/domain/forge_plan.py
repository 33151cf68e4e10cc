"""What separates the forge as it is declared from the forge as it is, as actions in order.

Pure, as `domain.plan` is: doing what a plan says and planning again gives an empty plan. Access
that nobody is to have any more is taken first, and what depends on something comes after it.

The hive moves only accounts that it has made: members whom somebody else put into a team stay, and
an account that bears an agent's name and is not the hive's is an obstacle, never taken over.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from hyperhive.domain.forge import OWNERS, Access, TeamShape

KEPT: Final = "Kept by the hive"
"""What every team says of itself that is the hive's."""

COMMON_ORG: Final = "org-everyone"
"""Where agents work together that are declared for none; too long for an agent's name."""

CONFIGS_ORG: Final = "org-configs"
"""Where the configurations of spawned agents are shown; nobody's to declare."""

SYSTEM_ACCOUNT: Final = "hyperhive-system"
"""The hive's own account: too long to be an agent's name."""
ADMINISTRATOR: Final = "hyperhive-administrator"
"""Who makes accounts where the hive has the forge to itself."""
OUR_ACCOUNTS: Final = frozenset({SYSTEM_ACCOUNT, ADMINISTRATOR, CONFIGS_ORG})
"""Names of accounts and organisations that no declaration may use."""

READERS: Final = "docs-readers"
WRITERS: Final = "docs-writers"
MEMBERS: Final = "hive-members"
"""The team of those who join an organisation and may create repositories in it."""
CONTRIBUTORS: Final = "hive-contributors"
"""The team of those who join an organisation and may not."""
CONFIGS_READERS: Final = "config-readers"
OUR_TEAMS: Final = frozenset({READERS, WRITERS, MEMBERS, CONTRIBUTORS, OWNERS.lower()})
"""Teams that no declaration may name: the hive says who is in them."""

BRANCH: Final = "main"
"""The branch of the docs repository that is shown to the agents."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user that is to be on the forge; with ``has_token``, one who works with a token."""

    name: str
    full_name: str = ""
    has_token: bool = True


@dataclass(frozen=True, slots=True)
class Team:
    """Members of an organisation who have one right to all of its repositories."""

    access: Access
    members: frozenset[str] = frozenset()
    may_create: bool = False

    def shape(self, name: str) -> TeamShape:
        """Say what the forge is to know of it beside its members."""
        return TeamShape(name, self.access, self.may_create, KEPT)


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation with its teams, and who owns it; it is described when it is made."""

    teams: Mapping[str, Team] = field(default_factory=dict)
    owners: frozenset[str] = frozenset()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Docs:
    """The docs repository, and the accounts that alone may push to its branch."""

    org: str
    repository: str
    pushers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The forge as it is declared.

    ``gone`` are accounts that the hive once made for agents which are no more, ``former`` the
    organisations that it kept and that are no longer declared. ``hook`` is where every one of its
    organisations is to tell of what happens; ``None`` while nobody listens.
    """

    accounts: Mapping[str, Account]
    orgs: Mapping[str, Organisation]
    docs: Docs
    gone: frozenset[str] = frozenset()
    former: frozenset[str] = frozenset()
    hook: str | None = None


@dataclass(frozen=True, slots=True)
class SeenAccount:
    """A user of the forge: whether the hive made it, and whether the token that it keeps works."""

    is_ours: bool = True
    is_active: bool = True
    has_token: bool = True


@dataclass(frozen=True, slots=True)
class SeenDocs:
    """The docs repository as it is; ``pushers`` is ``None`` where its branch is unprotected."""

    has_branch: bool = True
    pushers: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The forge as it is, of all that concerns the hive; absent is what does not exist."""

    accounts: Mapping[str, SeenAccount] = field(default_factory=dict)
    orgs: Mapping[str, Organisation] = field(default_factory=dict)
    docs: SeenDocs | None = None
    hooks: Mapping[str, str] = field(default_factory=dict)
    """Where the hive's webhook of each organisation leads, of those that have one."""


@dataclass(frozen=True, slots=True)
class CreateUser:
    """Make an account."""

    account: Account

    @property
    def subject(self) -> str:
        """Whom this is about."""
        return self.account.name

    @property
    def reason(self) -> str:
        """Why."""
        return "it has no account on the forge"


@dataclass(frozen=True, slots=True)
class ReadmitUser:
    """Let an account in again."""

    subject: str

    @property
    def reason(self) -> str:
        """Why."""
        return "its agent is there again"


@dataclass(frozen=True, slots=True)
class IssueToken:
    """Make an account's one token anew, and write it where its agent finds it."""

    subject: str

    @property
    def reason(self) -> str:
        """Why."""
        return "it has no token that works"


@dataclass(frozen=True, slots=True)
class RevokeUser:
    """Take an account's tokens and let nobody log in as it; what it made stays."""

    subject: str

    @property
    def reason(self) -> str:
        """Why."""
        return "its agent is gone"


@dataclass(frozen=True, slots=True)
class CreateOrganisation:
    """Make an organisation."""

    subject: str
    description: str

    @property
    def reason(self) -> str:
        """Why."""
        return "it is declared and not on the forge"


@dataclass(frozen=True, slots=True)
class CreateTeam:
    """Make a team, without members yet."""

    org: str
    team: str
    wanted: Team

    @property
    def subject(self) -> str:
        """Which team, of which organisation."""
        return f"{self.org}/{self.team}"

    @property
    def reason(self) -> str:
        """Why."""
        return "it is declared and not on the forge"


@dataclass(frozen=True, slots=True)
class ChangeTeam:
    """Give a team the rights that are declared."""

    org: str
    team: str
    wanted: Team

    @property
    def subject(self) -> str:
        """Which team, of which organisation."""
        return f"{self.org}/{self.team}"

    @property
    def reason(self) -> str:
        """Why."""
        return "it has other rights than declared"


@dataclass(frozen=True, slots=True)
class AddMember:
    """Put an account into a team."""

    org: str
    team: str
    member: str

    @property
    def subject(self) -> str:
        """Whom this is about."""
        return self.member

    @property
    def reason(self) -> str:
        """Why."""
        return f"it belongs into {self.org}/{self.team}"


@dataclass(frozen=True, slots=True)
class RemoveMember:
    """Take an account out of a team."""

    org: str
    team: str
    member: str

    @property
    def subject(self) -> str:
        """Whom this is about."""
        return self.member

    @property
    def reason(self) -> str:
        """Why."""
        return f"it no longer belongs into {self.org}/{self.team}"


@dataclass(frozen=True, slots=True)
class CreateRepository:
    """Make an empty repository of an organisation, which only its teams see."""

    org: str
    repository: str

    @property
    def subject(self) -> str:
        """Which repository."""
        return f"{self.org}/{self.repository}"

    @property
    def reason(self) -> str:
        """Why."""
        return "the docs repository is missing"


@dataclass(frozen=True, slots=True)
class Seed:
    """Push the first commit of the docs repository."""

    org: str
    repository: str

    @property
    def subject(self) -> str:
        """Which repository."""
        return f"{self.org}/{self.repository}"

    @property
    def reason(self) -> str:
        """Why."""
        return f"it has no branch {BRANCH}"


@dataclass(frozen=True, slots=True)
class Protect:
    """Let only these accounts push to the branch of the docs repository."""

    org: str
    repository: str
    pushers: frozenset[str]

    @property
    def subject(self) -> str:
        """Which repository."""
        return f"{self.org}/{self.repository}"

    @property
    def reason(self) -> str:
        """Why."""
        return f"only {', '.join(sorted(self.pushers))} may push to {BRANCH}"


@dataclass(frozen=True, slots=True)
class SetHook:
    """Have the forge tell the hive of what happens in an organisation."""

    subject: str
    url: str

    @property
    def reason(self) -> str:
        """Why."""
        return "the forge does not tell this server of what happens"


ForgeAction = (
    RevokeUser
    | RemoveMember
    | CreateUser
    | ReadmitUser
    | CreateOrganisation
    | CreateRepository
    | CreateTeam
    | ChangeTeam
    | AddMember
    | IssueToken
    | Seed
    | Protect
    | SetHook
)

_ORDER: Final = (
    (RevokeUser, RemoveMember),
    (CreateUser, ReadmitUser, CreateOrganisation),
    (CreateRepository, CreateTeam, ChangeTeam),
    (AddMember, IssueToken, SetHook),
    (Seed,),
    (Protect,),
)
"""Stages: what stands in one needs nothing of the same one or of a later one."""


@dataclass(frozen=True, slots=True)
class ForgePlan:
    """What is to be done, stage by stage, and by subject what the hive cannot do by itself."""

    stages: tuple[tuple[ForgeAction, ...], ...] = ()
    obstacles: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def actions(self) -> tuple[ForgeAction, ...]:
        """Everything that is to be done, in order."""
        return tuple(action for stage in self.stages for action in stage)


def plan_forge(wanted: Wanted, seen: Seen) -> ForgePlan:
    """Order the actions that turn ``seen`` into ``wanted``."""
    foreign = frozenset(
        name
        for name, account in wanted.accounts.items()
        if account.has_token and name in seen.accounts and not seen.accounts[name].is_ours
    )
    actions = [
        *_accounts(wanted, seen, foreign),
        *_orgs(wanted, seen, foreign),
        *_former(wanted, seen),
        *_docs(wanted, seen),
    ]
    stages = (tuple(action for action in actions if isinstance(action, kinds)) for kinds in _ORDER)
    said = "the forge has an account of this name that the hive did not make"
    return ForgePlan(
        tuple(stage for stage in stages if stage), dict.fromkeys(sorted(foreign), said)
    )


def _accounts(wanted: Wanted, seen: Seen, foreign: AbstractSet[str]) -> Iterator[ForgeAction]:
    for name in sorted(wanted.gone - wanted.accounts.keys()):
        found = seen.accounts.get(name)
        if found is not None and found.is_ours and found.is_active:
            yield RevokeUser(name)
    for name, account in sorted(wanted.accounts.items()):
        if name in foreign:
            continue
        found = seen.accounts.get(name)
        if found is None:
            yield CreateUser(account)
        elif found.is_ours and not found.is_active:
            yield ReadmitUser(name)
        if account.has_token and (found is None or not found.is_active or not found.has_token):
            yield IssueToken(name)


def _orgs(wanted: Wanted, seen: Seen, foreign: AbstractSet[str]) -> Iterator[ForgeAction]:
    for name, org in sorted(wanted.orgs.items()):
        found = seen.orgs.get(name)
        if found is None:
            yield CreateOrganisation(name, org.description)
            found = Organisation()
        if wanted.hook is not None and wanted.hook != seen.hooks.get(name):
            yield SetHook(name, wanted.hook)
        for member in sorted(org.owners - foreign - found.owners):
            yield AddMember(name, OWNERS, member)
        for team, declared in sorted(org.teams.items()):
            yield from _team(name, team, declared, found.teams.get(team), wanted, foreign)
        for team, dropped in sorted(found.teams.items()):
            if team not in org.teams and team != OWNERS:
                yield from _emptied(name, team, dropped, wanted)


def _team(
    org: str,
    team: str,
    declared: Team,
    found: Team | None,
    wanted: Wanted,
    foreign: AbstractSet[str],
) -> Iterator[ForgeAction]:
    if found is None:
        yield CreateTeam(org, team, declared)
        found = Team(declared.access)
    elif (found.access, found.may_create) != (declared.access, declared.may_create):
        yield ChangeTeam(org, team, declared)
    members = declared.members - foreign
    for member in sorted((found.members - members) & _ours(wanted)):
        yield RemoveMember(org, team, member)
    for member in sorted(members - found.members):
        yield AddMember(org, team, member)


def _former(wanted: Wanted, seen: Seen) -> Iterator[ForgeAction]:
    for name in sorted(wanted.former - wanted.orgs.keys()):
        if name in seen.orgs:
            for team, dropped in sorted(seen.orgs[name].teams.items()):
                if team != OWNERS:
                    yield from _emptied(name, team, dropped, wanted)


def _emptied(org: str, team: str, found: Team, wanted: Wanted) -> Iterator[ForgeAction]:
    """Take the hive's accounts out of a team that is not declared; the team itself stays."""
    for member in sorted(found.members & _ours(wanted)):
        yield RemoveMember(org, team, member)


def _docs(wanted: Wanted, seen: Seen) -> Iterator[ForgeAction]:
    docs = wanted.docs
    if seen.docs is None:
        yield CreateRepository(docs.org, docs.repository)
    if seen.docs is None or not seen.docs.has_branch:
        yield Seed(docs.org, docs.repository)
    if seen.docs is None or seen.docs.pushers != docs.pushers:
        yield Protect(docs.org, docs.repository, docs.pushers)


def _ours(wanted: Wanted) -> frozenset[str]:
    return frozenset(wanted.accounts) | wanted.gone

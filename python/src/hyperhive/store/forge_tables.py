"""The tables of the embedded forge. It has no events: the hive tells what of it matters."""

from typing import Any, ClassVar

from sqlalchemy import Index, Text
from sqlmodel import Field, SQLModel

from hyperhive.store.tables import table_of


class AccountRow(SQLModel, table=True):
    """A user or an organisation: they share one space of names, whatever the case of letters."""

    __tablename__ = "forge_account"
    __table_args__: ClassVar[Any] = (
        Index("ix_forge_account_key", "key", unique=True),
        {"sqlite_autoincrement": True},
    )
    id: int | None = Field(default=None, primary_key=True)
    key: str
    name: str
    is_org: bool
    full_name: str = ""
    email: str = ""
    description: str = Field(default="", sa_type=Text)
    is_admin: bool = False
    is_active: bool = True
    password_hash: str | None = None
    repositories_max: int | None = None
    created_at: float


class TokenRow(SQLModel, table=True):
    """A token, known by its hash."""

    __tablename__ = "forge_token"
    __table_args__: ClassVar[Any] = (
        Index("ix_forge_token_hash", "hash", unique=True),
        Index("ix_forge_token_account", "account", "name", unique=True),
        {"sqlite_autoincrement": True},
    )
    id: int | None = Field(default=None, primary_key=True)
    account: int
    name: str
    hash: str
    last_eight: str
    scopes_json: str


class TeamRow(SQLModel, table=True):
    """A team of an organisation."""

    __tablename__ = "forge_team"
    __table_args__: ClassVar[Any] = (
        Index("ix_forge_team_key", "org", "key", unique=True),
        {"sqlite_autoincrement": True},
    )
    id: int | None = Field(default=None, primary_key=True)
    org: int
    key: str
    name: str
    access: str
    may_create: bool
    description: str = Field(default="", sa_type=Text)


class MemberRow(SQLModel, table=True):
    """Who is in a team."""

    __tablename__ = "forge_member"
    __table_args__: ClassVar[Any] = (Index("ix_forge_member_account", "account"),)
    team: int = Field(primary_key=True)
    account: int = Field(primary_key=True)


class RepositoryRow(SQLModel, table=True):
    """A repository; its directory is named by its number, which no other ever has."""

    __tablename__ = "forge_repository"
    __table_args__: ClassVar[Any] = (
        Index("ix_forge_repository_key", "owner", "key", unique=True),
        {"sqlite_autoincrement": True},
    )
    id: int | None = Field(default=None, primary_key=True)
    owner: int
    key: str
    name: str
    description: str = Field(default="", sa_type=Text)
    private: bool
    default_branch: str
    created_at: float


class ProtectionRow(SQLModel, table=True):
    """A protected branch."""

    __tablename__ = "forge_protection"
    repository: int = Field(primary_key=True)
    branch: str = Field(primary_key=True)
    users_json: str = Field(sa_type=Text)
    teams_json: str = Field(sa_type=Text)
    approvals: int


class PullRow(SQLModel, table=True):
    """A pull request."""

    __tablename__ = "forge_pull"
    __table_args__: ClassVar[Any] = (
        Index("ix_forge_pull_number", "repository", "number", unique=True),
        {"sqlite_autoincrement": True},
    )
    id: int | None = Field(default=None, primary_key=True)
    repository: int
    number: int
    title: str
    body: str = Field(sa_type=Text)
    state: str
    author: str
    head: str
    base: str
    head_commit: str
    base_commit: str
    merge_commit: str | None = None
    merged_by: str | None = None
    at: float
    updated_at: float
    closed_at: float | None = None


class RemarkRow(SQLModel, table=True):
    """What was said of a pull request: a comment, a review, or a review that is still owed."""

    __tablename__ = "forge_remark"
    __table_args__: ClassVar[Any] = (
        Index("ix_forge_remark_pull", "pull", "id"),
        {"sqlite_autoincrement": True},
    )
    id: int | None = Field(default=None, primary_key=True)
    pull: int
    author: str
    verdict: str | None = None
    body: str = Field(sa_type=Text)
    commit: str
    at: float


class HookRow(SQLModel, table=True):
    """A webhook of an organisation. Its secret is needed as it is, to sign with."""

    __tablename__ = "forge_hook"
    __table_args__: ClassVar[Any] = (
        Index("ix_forge_hook_org", "org"),
        {"sqlite_autoincrement": True},
    )
    id: int | None = Field(default=None, primary_key=True)
    org: int
    url: str
    secret: str
    events_json: str
    active: bool


account = table_of(AccountRow)
token = table_of(TokenRow)
team = table_of(TeamRow)
member = table_of(MemberRow)
repository = table_of(RepositoryRow)
protection = table_of(ProtectionRow)
pull = table_of(PullRow)
remark = table_of(RemarkRow)
hook = table_of(HookRow)

"""The embedded forge."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make its tables."""
    op.create_table(
        "forge_account",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("is_org", sa.Boolean(), nullable=False),
        sa.Column("full_name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.Column("repositories_max", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_forge_account_key", "forge_account", ["key"], unique=True)
    op.create_table(
        "forge_token",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("account", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("last_eight", sa.String(), nullable=False),
        sa.Column("scopes_json", sa.String(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_forge_token_account", "forge_token", ["account", "name"], unique=True)
    op.create_index("ix_forge_token_hash", "forge_token", ["hash"], unique=True)
    op.create_table(
        "forge_team",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("org", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("access", sa.String(), nullable=False),
        sa.Column("may_create", sa.Boolean(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_forge_team_key", "forge_team", ["org", "key"], unique=True)
    op.create_table(
        "forge_member",
        sa.Column("team", sa.Integer(), primary_key=True),
        sa.Column("account", sa.Integer(), primary_key=True),
    )
    op.create_index("ix_forge_member_account", "forge_member", ["account"])
    op.create_table(
        "forge_repository",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("owner", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("private", sa.Boolean(), nullable=False),
        sa.Column("default_branch", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_forge_repository_key", "forge_repository", ["owner", "key"], unique=True)
    op.create_table(
        "forge_protection",
        sa.Column("repository", sa.Integer(), primary_key=True),
        sa.Column("branch", sa.String(), primary_key=True),
        sa.Column("users_json", sa.Text(), nullable=False),
        sa.Column("teams_json", sa.Text(), nullable=False),
        sa.Column("approvals", sa.Integer(), nullable=False),
    )
    op.create_table(
        "forge_pull",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("repository", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("head", sa.String(), nullable=False),
        sa.Column("base", sa.String(), nullable=False),
        sa.Column("head_commit", sa.String(), nullable=False),
        sa.Column("base_commit", sa.String(), nullable=False),
        sa.Column("merge_commit", sa.String(), nullable=True),
        sa.Column("merged_by", sa.String(), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.Column("closed_at", sa.Float(), nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_forge_pull_number", "forge_pull", ["repository", "number"], unique=True)
    op.create_table(
        "forge_remark",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("pull", sa.Integer(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("commit", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_forge_remark_pull", "forge_remark", ["pull", "id"])
    op.create_table(
        "forge_hook",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("org", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("events_json", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_forge_hook_org", "forge_hook", ["org"])


def downgrade() -> None:
    """Remove them."""
    op.drop_table("forge_hook")
    op.drop_table("forge_remark")
    op.drop_table("forge_pull")
    op.drop_table("forge_protection")
    op.drop_table("forge_repository")
    op.drop_table("forge_member")
    op.drop_table("forge_team")
    op.drop_table("forge_token")
    op.drop_table("forge_account")

"""Pull requests, and what the hive keeps on the forge."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "pull_request",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("repository", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("head", sa.String(), nullable=False),
        sa.Column("base", sa.String(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("reviewers_json", sa.Text(), nullable=False),
        sa.Column("involved_json", sa.Text(), nullable=False),
        sa.Column("merged_by", sa.String(), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.Column("closed_at", sa.Float(), nullable=True),
        sa.Column("comments", sa.Integer(), nullable=False),
        sa.Column("reviews", sa.Integer(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_pull_request_place", "pull_request", ["repository", "number"], unique=True)
    op.create_index(
        "ix_pull_request_open",
        "pull_request",
        ["state", "id"],
        sqlite_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "forge_kept",
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("at", sa.Float(), nullable=False),
    )


def downgrade() -> None:
    """Remove the tables."""
    op.drop_table("forge_kept")
    op.drop_table("pull_request")

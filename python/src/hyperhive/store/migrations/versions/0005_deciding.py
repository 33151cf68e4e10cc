"""Questions, approvals, and agents that were asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables."""
    _questions()
    _approvals()
    op.create_table(
        "spawned",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("settings_json", sa.Text(), nullable=False),
        sa.Column("requester", sa.String(), nullable=False),
        sa.Column("approval", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("revision", sa.String(), nullable=True),
        sa.Column("removed_at", sa.Float(), nullable=True),
    )


def _questions() -> None:
    op.create_table(
        "question",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("asker", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("options_json", sa.Text(), nullable=False),
        sa.Column("multi", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("answerer", sa.String(), nullable=True),
        sa.Column("answered_at", sa.Float(), nullable=True),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("closed_at", sa.Float(), nullable=True),
        sqlite_autoincrement=True,
    )
    is_open = sa.text("state = 'open'")
    op.create_index("ix_question_open", "question", ["state", "id"], sqlite_where=is_open)
    op.create_index(
        "ix_question_expires", "question", ["state", "expires_at"], sqlite_where=is_open
    )
    op.create_index("ix_question_asker", "question", ["asker", "id"])
    op.create_index("ix_question_target", "question", ["target", "id"])
    op.create_index(
        "ix_question_closed",
        "question",
        ["closed_at"],
        sqlite_where=sa.text("closed_at IS NOT NULL"),
    )


def _approvals() -> None:
    op.create_table(
        "approval",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("requester", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("shown_json", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("decided_at", sa.Float(), nullable=True),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("started_at", sa.Float(), nullable=True),
        sa.Column("closed_at", sa.Float(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("result_json", sa.Text(), nullable=True),
        sa.Column("used_at", sa.Float(), nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_approval_open",
        "approval",
        ["state", "id"],
        sqlite_where=sa.text("closed_at IS NULL"),
    )
    op.create_index("ix_approval_requester", "approval", ["requester", "id"])
    op.create_index(
        "ix_approval_closed",
        "approval",
        ["closed_at"],
        sqlite_where=sa.text("closed_at IS NOT NULL"),
    )


def downgrade() -> None:
    """Remove the tables."""
    for table in ("spawned", "approval", "question"):
        op.drop_table(table)

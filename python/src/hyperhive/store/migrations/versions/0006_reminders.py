"""Reminders."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "reminder",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("next_at", sa.Float(), nullable=False),
        sa.Column("file_path", sa.String(), nullable=True),
        sa.Column("repeat_every_seconds", sa.Float(), nullable=True),
        sa.Column("approval", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("delivered_at", sa.Float(), nullable=True),
        sa.Column("message", sa.Integer(), nullable=True),
        sa.Column("written", sa.String(), nullable=True),
        sa.Column("closed_at", sa.Float(), nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_reminder_due",
        "reminder",
        ["state", "next_at", "id"],
        sqlite_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_reminder_failed",
        "reminder",
        ["state", "id"],
        sqlite_where=sa.text("state = 'failed'"),
    )
    op.create_index(
        "ix_reminder_open",
        "reminder",
        ["closed_at", "agent", "state", "id"],
        sqlite_where=sa.text("closed_at IS NULL"),
    )
    op.create_index("ix_reminder_agent", "reminder", ["agent", "id"])
    op.create_index(
        "ix_reminder_written",
        "reminder",
        ["agent", "written"],
        sqlite_where=sa.text("written IS NOT NULL"),
    )
    op.create_index(
        "ix_reminder_closed",
        "reminder",
        ["closed_at"],
        sqlite_where=sa.text("closed_at IS NOT NULL"),
    )


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("reminder")

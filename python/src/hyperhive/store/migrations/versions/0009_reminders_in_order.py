"""Reminders in order: of each agent by their time, of each file by their delivery."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

WRITTEN = sa.text("written IS NOT NULL")


def upgrade() -> None:
    """Make the indexes."""
    op.drop_index("ix_reminder_written", "reminder")
    op.create_index(
        "ix_reminder_written",
        "reminder",
        ["agent", "written", "message", "id"],
        sqlite_where=WRITTEN,
    )
    op.create_index(
        "ix_reminder_due_of",
        "reminder",
        ["state", "agent", "next_at", "id"],
        sqlite_where=sa.text("state = 'pending'"),
    )


def downgrade() -> None:
    """Put back what was there before."""
    op.drop_index("ix_reminder_due_of", "reminder")
    op.drop_index("ix_reminder_written", "reminder")
    op.create_index("ix_reminder_written", "reminder", ["agent", "written"], sqlite_where=WRITTEN)

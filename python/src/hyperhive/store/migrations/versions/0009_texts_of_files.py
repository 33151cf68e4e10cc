"""The texts that a file of an agent's may hold, in the order in which they came."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

INDEX = "ix_reminder_written"
WRITTEN = sa.text("written IS NOT NULL")


def upgrade() -> None:
    """Order the index by delivery."""
    op.drop_index(INDEX, "reminder")
    columns = ["agent", "written", "message", "id"]
    op.create_index(INDEX, "reminder", columns, sqlite_where=WRITTEN)


def downgrade() -> None:
    """Take the order out of it."""
    op.drop_index(INDEX, "reminder")
    op.create_index(INDEX, "reminder", ["agent", "written"], sqlite_where=WRITTEN)

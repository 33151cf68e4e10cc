"""Indexes that the hot questions are really answered from.

SQLite prefers a partial index to a full one on the same columns only if more of its columns are
compared for equality: hence the columns that are constant within an index.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_QUEUED = sa.text("state = 'queued'")
_LEASED = sa.text("state = 'leased'")
_DEAD = sa.text("state = 'dead'")
_UNREAD = sa.text("recipient = 'operator' AND read_at IS NULL")
_OPEN = sa.text("ended_at IS NULL")


def upgrade() -> None:
    """Make them anew."""
    _drop()
    op.create_index(
        "ix_message_queued",
        "message",
        ["recipient", "state", "id", "not_before"],
        sqlite_where=_QUEUED,
    )
    op.create_index("ix_message_leased", "message", ["recipient", "delivery"], sqlite_where=_LEASED)
    op.create_index("ix_message_dead", "message", ["state", "id"], sqlite_where=_DEAD)
    op.create_index("ix_message_unread", "message", ["recipient", "read_at"], sqlite_where=_UNREAD)
    op.create_index("ix_turn_open", "turn", ["ended_at", "agent"], sqlite_where=_OPEN)


def downgrade() -> None:
    """Make the former ones."""
    _drop()
    op.create_index("ix_message_queued", "message", ["recipient", "id"], sqlite_where=_QUEUED)
    op.create_index("ix_message_leased", "message", ["recipient", "id"], sqlite_where=_LEASED)
    op.create_index("ix_message_dead", "message", ["recipient", "id"], sqlite_where=_DEAD)
    op.create_index("ix_message_unread", "message", ["id"], sqlite_where=_UNREAD)
    op.create_index("ix_turn_open", "turn", ["agent"], sqlite_where=_OPEN)


def _drop() -> None:
    for name in ("queued", "leased", "dead", "unread"):
        op.drop_index(f"ix_message_{name}", "message")
    op.drop_index("ix_turn_open", "turn")

"""Pauses, holds, wishes and errands of agents; kinds and models of turns."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns."""
    for column in (
        sa.Column("pauses_json", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("errands_json", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("fresh", sa.Boolean(), nullable=False, server_default="0"),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("incarnation", sa.String(), nullable=True),
        sa.Column("replace_json", sa.Text(), nullable=True),
        sa.Column("context_tokens", sa.Integer(), nullable=True),
        sa.Column("context_window", sa.Integer(), nullable=True),
        sa.Column("refusals", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("removed_at", sa.Float(), nullable=True),
        sa.Column("probe_json", sa.Text(), nullable=True),
    ):
        op.add_column("agent", column)
    for column in (
        sa.Column("kind", sa.String(), nullable=False, server_default="work"),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("context_tokens", sa.Integer(), nullable=True),
    ):
        op.add_column("turn", column)
    op.create_index(
        "ix_turn_cost",
        "turn",
        ["ended_at", "agent"],
        sqlite_where=sa.text("cost_usd IS NOT NULL"),
    )


def downgrade() -> None:
    """Remove the columns."""
    op.drop_index("ix_turn_cost", table_name="turn")
    for name in (
        "pauses_json",
        "model",
        "errands_json",
        "fresh",
        "note",
        "incarnation",
        "replace_json",
        "context_tokens",
        "context_window",
        "refusals",
        "removed_at",
        "probe_json",
    ):
        op.drop_column("agent", name)
    for name in ("kind", "model", "context_tokens"):
        op.drop_column("turn", name)

"""The core: events, messages, turns, agents and alerts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "agent",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("shape_json", sa.Text(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("status", sa.String(), nullable=True),
        sa.Column("status_at", sa.Float(), nullable=True),
        sa.Column("held_by", sa.String(), nullable=True),
        sa.Column("held_at", sa.Float(), nullable=True),
        sa.Column("crashes_json", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "alert",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("agent", sa.String(), nullable=True),
        sa.Column("raised_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "event",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=True),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("subject", sa.Integer(), nullable=True),
        sa.Column("data_json", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_agent", "event", ["agent", "seq"])
    op.create_index(
        "ix_event_subject", "event", ["subject"], sqlite_where=sa.text("subject IS NOT NULL")
    )
    op.create_table(
        "message",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("in_reply_to", sa.Integer(), nullable=True),
        sa.Column("broadcast", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("redelivered", sa.Boolean(), nullable=False),
        sa.Column("not_before", sa.Float(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("turn", sa.Integer(), nullable=True),
        sa.Column("delivery", sa.String(), nullable=True),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.Column("leased_at", sa.Float(), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("settled_at", sa.Float(), nullable=True),
        sa.Column("read_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_message_dead", "message", ["recipient", "id"], sqlite_where=sa.text("state = 'dead'")
    )
    op.create_index(
        "ix_message_leased",
        "message",
        ["recipient", "id"],
        sqlite_where=sa.text("state = 'leased'"),
    )
    op.create_index(
        "ix_message_queued",
        "message",
        ["recipient", "id"],
        sqlite_where=sa.text("state = 'queued'"),
    )
    op.create_index("ix_message_recipient", "message", ["recipient", "id"])
    op.create_index("ix_message_sender", "message", ["sender", "id"])
    op.create_index(
        "ix_message_settled",
        "message",
        ["settled_at"],
        sqlite_where=sa.text("settled_at IS NOT NULL"),
    )
    op.create_index(
        "ix_message_turn", "message", ["turn"], sqlite_where=sa.text("state = 'leased'")
    )
    op.create_index(
        "ix_message_unread",
        "message",
        ["id"],
        sqlite_where=sa.text("recipient = 'operator' AND read_at IS NULL"),
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "request_key",
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("result_json", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("actor", "key"),
    )
    op.create_index("ix_request_key_at", "request_key", ["at"])
    op.create_table(
        "turn",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("session", sa.String(), nullable=False),
        sa.Column("offered_at", sa.Float(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=True),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("input_tokens", sa.Integer(), nullable=True),
        sa.Column("output_tokens", sa.Integer(), nullable=True),
        sa.Column("cost_usd", sa.Float(), nullable=True),
        sa.Column("tools_json", sa.Text(), nullable=False),
        sa.Column("messages_json", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_turn_agent", "turn", ["agent", "id"])
    op.create_index("ix_turn_open", "turn", ["agent"], sqlite_where=sa.text("ended_at IS NULL"))
    op.create_table(
        "turn_event",
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("data_json", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["turn"], ["turn.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("turn", "n"),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("turn_event")
    op.drop_table("turn")
    op.drop_table("request_key")
    op.drop_table("meta")
    op.drop_table("message")
    op.drop_table("event")
    op.drop_table("alert")
    op.drop_table("agent")

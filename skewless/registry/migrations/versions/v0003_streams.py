"""Streams: the job of each view-version, what it resumes from, and under which fingerprint."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
_TEXTS = (
    "state", "topic", "script", "start", "gateway", "job_id", "checkpoint_dir", "checkpoint", "savepoint", "restored_from",
    "leftovers", "error", "claimed_by",
)


def _keys() -> list[sa.Column]:
    return [
        sa.Column("project", sa.Text, primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("view", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    ]


def upgrade() -> None:
    op.drop_table("streams")    # nothing has ever written to it
    op.create_table(
        "streams", *_keys(),
        *(sa.Column(name, sa.Text, nullable=False) for name in _TEXTS),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("claimed_at_us", sa.BigInteger),
        sa.Column("submitted_at_us", sa.BigInteger, nullable=False),
        sa.Column("stopped_at_us", sa.BigInteger),
    )


def downgrade() -> None:
    op.drop_table("streams")
    op.create_table(
        "streams", *_keys(),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("updated_at_us", sa.BigInteger, nullable=False),
    )

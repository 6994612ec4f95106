"""Jobs: attempts, what stopped them, what they wait for, and the key that makes asking twice one job."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("attempts", sa.Integer, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("error_code", sa.Text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("note", sa.Text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("actor", sa.Text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("idempotency_key", sa.Text))
    op.execute("update jobs set status = 'complete' where status = 'succeeded'")


def downgrade() -> None:
    for name in ("idempotency_key", "actor", "note", "error_code", "attempts"):
        op.drop_column("jobs", name)

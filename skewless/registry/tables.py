"""The tables of the registry's database. Every row belongs to one project and target; ids are UUIDv5 and the same everywhere.

Instants are BIGINT microseconds, JSON is TEXT, so SQLite and PostgreSQL hold the same values. The migrations beside this module
create them; a test compares the two.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()


def _scope() -> list[sa.Column]:
    return [
        sa.Column("project", sa.Text, primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("id", sa.String(36), primary_key=True),
    ]


entities = sa.Table(
    "entities", metadata, *_scope(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("definition", sa.Text, nullable=False),
)
feature_views = sa.Table(
    "feature_views", metadata, *_scope(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("entity", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("created_at_us", sa.BigInteger, nullable=False),
)
feature_view_versions = sa.Table(
    "feature_view_versions", metadata, *_scope(),
    sa.Column("view_id", sa.String(36), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.String(16), nullable=False),
    sa.Column("definition_hash", sa.String(16), nullable=False),
    sa.Column("definition", sa.Text, nullable=False),
    sa.Column("deprecated_at_us", sa.BigInteger),
    sa.Column("sunset_at_us", sa.BigInteger),
    sa.Column("applied_at_us", sa.BigInteger, nullable=False),
)
features = sa.Table(
    "features", metadata, *_scope(),
    sa.Column("version_id", sa.String(36), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("definition_hash", sa.String(16), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
)
feature_services = sa.Table(
    "feature_services", metadata, *_scope(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("definition", sa.Text, nullable=False),
)
training_datasets = sa.Table(
    "training_datasets", metadata, *_scope(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("output_path", sa.Text, nullable=False),
    sa.Column("row_count", sa.BigInteger),
    sa.Column("content_hash", sa.Text, nullable=False),
    sa.Column("manifest", sa.Text, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("created_at_us", sa.BigInteger, nullable=False),
)
jobs = sa.Table(
    "jobs", metadata, *_scope(),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("arguments", sa.Text, nullable=False),
    sa.Column("result", sa.Text, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("submitted_at_us", sa.BigInteger, nullable=False),
    sa.Column("started_at_us", sa.BigInteger),
    sa.Column("finished_at_us", sa.BigInteger),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("error_code", sa.Text, nullable=False, server_default=""),
    sa.Column("note", sa.Text, nullable=False, server_default=""),
    sa.Column("actor", sa.Text, nullable=False, server_default=""),
    sa.Column("idempotency_key", sa.Text),
)
streams = sa.Table(
    "streams", metadata, *_scope(),
    sa.Column("view", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("script", sa.Text, nullable=False),
    sa.Column("start", sa.Text, nullable=False),
    sa.Column("gateway", sa.Text, nullable=False),
    sa.Column("job_id", sa.Text, nullable=False),
    sa.Column("checkpoint_dir", sa.Text, nullable=False),
    sa.Column("checkpoint", sa.Text, nullable=False),
    sa.Column("savepoint", sa.Text, nullable=False),
    sa.Column("restored_from", sa.Text, nullable=False),
    sa.Column("leftovers", sa.Text, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("claimed_at_us", sa.BigInteger),
    sa.Column("claimed_by", sa.Text, nullable=False),
    sa.Column("submitted_at_us", sa.BigInteger, nullable=False),
    sa.Column("stopped_at_us", sa.BigInteger),
)
tokens = sa.Table(
    "tokens", metadata, *_scope(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("token_hash", sa.Text, nullable=False, unique=True),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("created_at_us", sa.BigInteger, nullable=False),
    sa.Column("expires_at_us", sa.BigInteger),
    sa.Column("revoked_at_us", sa.BigInteger),
)
events = sa.Table(
    "events", metadata,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
)

"""Alembic's entry: runs the migrations on the connection that `skewless.registry.database` hands over."""

from alembic import context

from skewless.registry.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table="skewless_schema",
    transactional_ddl=False,   # the caller holds the transaction
)
context.run_migrations()

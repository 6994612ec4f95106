"""The registry's database: connections, transactions that exclude other writers, migrations.

SQLite runs in WAL mode: readers never wait, writers take turns (BEGIN IMMEDIATE, up to BUSY_S). On PostgreSQL writers take turns
by an advisory lock that ends with the transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from skewless.errors import SkewlessError

HEAD = "0003"
BUSY_S = 30
_LOCK = 0x5E_15_7E_55


class Database:
    """One registry database, brought to the schema of this version on first use. Raises SK255."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = _engine(url)
        self._ready = False

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection that sees one state."""
        self._migrate()
        with self._open(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that no other writer overlaps; committed at the end, rolled back on an exception."""
        self._migrate()
        with self._open(), self._exclusive() as connection:
            yield connection

    @contextmanager
    def _exclusive(self) -> Iterator[sa.Connection]:
        with self._engine.connect().execution_options(exclusive=True) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            yield connection

    @contextmanager
    def _open(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise SkewlessError(
                "SK255", "the registry's database does not answer as expected", detail=f"{self.shown}: {error.orig}.",
                hint="Check `registry` in skewless.yml.",
            ) from None

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    def _migrate(self) -> None:
        if self._ready:
            return
        with self._open():
            with self._engine.connect() as connection:
                found = _revision(connection)
            if found != HEAD:
                with self._exclusive() as connection:
                    self._upgrade(connection)
        self._ready = True

    def _upgrade(self, connection: sa.Connection) -> None:
        from alembic import command
        from alembic.script import ScriptDirectory

        settings = alembic_config(connection)
        found = _revision(connection)
        known = {s.revision for s in ScriptDirectory.from_config(settings).walk_revisions()}
        if found is not None and found not in known:
            raise SkewlessError(
                "SK255", f"the registry has schema {found}, this version of skewless knows up to {HEAD}", detail=f"{self.shown}.",
                hint="Install a newer skewless.",
            )
        if found != HEAD:
            command.upgrade(settings, HEAD)


def alembic_config(connection: sa.Connection) -> Any:
    """Alembic's settings for the migrations inside this package, bound to a connection."""
    from alembic.config import Config as AlembicConfig

    settings = AlembicConfig()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    settings.attributes["connection"] = connection
    return settings


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("skewless_schema"):
        return None
    return connection.execute(sa.text("select version_num from skewless_schema")).scalar()


@cache
def _engine(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return sa.create_engine(parsed, pool_pre_ping=True)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError):
        hint = "Write sqlite, or a URL like postgresql+psycopg://user:password@host/database."
        raise SkewlessError("SK255", "registry in skewless.yml is not a database that is known", hint=hint) from None
    except ModuleNotFoundError as error:
        fact = f'the registry\'s database needs the Python package "{error.name}"'
        raise SkewlessError("SK255", fact, hint=f"pip install {error.name}") from None
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed, poolclass=sa.NullPool, connect_args={"timeout": BUSY_S})

    @event.listens_for(engine, "connect")
    def _connect(raw: Any, _: Any) -> None:
        raw.isolation_level = None   # the driver must not open or end transactions by itself
        for pragma in (f"busy_timeout={BUSY_S * 1000}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            raw.execute(f"pragma {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        exclusive = connection.get_execution_options().get("exclusive")
        connection.exec_driver_sql("begin immediate" if exclusive else "begin")

    return engine

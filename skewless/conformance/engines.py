"""DuckDB, PostgreSQL and Flink behind one interface: typed tables in, a query in the engine's own SQL, canonical rows out."""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from skewless.conformance.table import Table
from skewless.conformance.values import Rows, canonical
from skewless.errors import SkewlessError
from skewless.postgres import PostgresServer
from skewless.stream.session import Session
from skewless.types import Type

Answer = Rows | SkewlessError
POSTGRES_MILLISECONDS_MAX = 120_000


class Engine:
    """`name` is the engine's. Close it, or use it as a context. Not for several threads at once."""

    name = ""

    def __init__(self) -> None:
        self._loaded: list[tuple[str, Table]] = []

    def run(self, tables: Mapping[str, Table], sql: str, *, parallelism: int = 1, setup: Sequence[str] = ()) -> Rows:
        """What one query gives. Raises SK801 (refused) or SK802 (failed while it ran); only Flink tells the two apart."""
        answer = self.run_many(tables, [sql], parallelism=parallelism, setup=setup)[0]
        if isinstance(answer, SkewlessError):
            raise answer
        return answer

    def run_many(
        self, tables: Mapping[str, Table], queries: Sequence[str], *, parallelism: int = 1, setup: Sequence[str] = ()
    ) -> list[Answer]:
        """The answer to each query, in order; one that fails is an error in its place. Far faster than `run` on Flink.

        `setup` are statements executed before, for this call only (CREATE VIEW …); one that is refused raises SK801.
        `parallelism` is Flink's; the others ignore it.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Ends the engine. Does nothing the second time."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _has(self, tables: Mapping[str, Table]) -> bool:
        """Whether these very tables are loaded."""
        return len(self._loaded) == len(tables) and all(tables.get(name) is table for name, table in self._loaded)


class DuckDB(Engine):
    """DuckDB in memory, in UTC."""

    name = "duckdb"
    _connection: Any = None

    def run_many(
        self, tables: Mapping[str, Table], queries: Sequence[str], *, parallelism: int = 1, setup: Sequence[str] = ()
    ) -> list[Answer]:
        import duckdb

        if self._connection is None or not self._has(tables):
            self._load(tables)
        try:
            for statement in setup:
                try:
                    self._connection.execute(statement)
                except duckdb.Error as error:
                    raise _refused("DuckDB", error, statement) from None
            return [self._answer(sql) for sql in queries]
        finally:
            if setup:
                self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._loaded = None, []

    def _load(self, tables: Mapping[str, Table]) -> None:
        import duckdb

        self.close()
        self._connection = duckdb.connect(":memory:")
        self._connection.execute("SET TimeZone='UTC'")
        for name, table in tables.items():
            self._connection.register("skewless_rows", _arrow(table))
            self._connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM skewless_rows')
            self._connection.unregister("skewless_rows")
        self._loaded = list(tables.items())

    def _answer(self, sql: str) -> Answer:
        import duckdb

        try:
            done = self._connection.execute(sql)
            names, types, raw = [d[0] for d in done.description], [str(d[1]) for d in done.description], done.fetchall()
        except duckdb.Error as error:
            return _refused("DuckDB", error, sql)
        return _rows(names, types, raw, [kind.startswith("FLOAT") for kind in types])


class Postgres(Engine):
    """A PostgreSQL server: one of our own, started on first use, or that of `dsn` (its schema `skewless_conformance`)."""

    name = "postgres"

    def __init__(self, dsn: str = "") -> None:
        super().__init__()
        self._dsn = dsn
        self._server: PostgresServer | None = None
        self._connection: Any = None

    def run_many(
        self, tables: Mapping[str, Table], queries: Sequence[str], *, parallelism: int = 1, setup: Sequence[str] = ()
    ) -> list[Answer]:
        import psycopg

        if self._connection is None:
            self._connect()
        if not self._has(tables):
            self._load(tables)
        with self._connection.transaction(force_rollback=True):
            for statement in setup:
                try:
                    self._connection.execute(statement)
                except psycopg.Error as error:
                    raise _refused("Postgres", error, statement) from None
            return [self._answer(sql) for sql in queries]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._server is not None:
            self._server.close()
        self._connection, self._server, self._loaded = None, None, []

    def _connect(self) -> None:
        import psycopg

        if not self._dsn:
            self._server = PostgresServer()
        dsn = self._dsn or (self._server.dsn if self._server else "")
        options = f"-c TimeZone=UTC -c statement_timeout={POSTGRES_MILLISECONDS_MAX} -c search_path=skewless_conformance"
        self._connection = psycopg.connect(dsn, options=options, autocommit=True)

    def _load(self, tables: Mapping[str, Table]) -> None:
        connection = self._connection
        self._loaded = []
        connection.execute("DROP SCHEMA IF EXISTS skewless_conformance CASCADE")
        connection.execute("CREATE SCHEMA skewless_conformance")
        for name, table in tables.items():
            columns = ", ".join(f'"{column}" {kind.world("postgres")}' for column, kind in table.columns.items())
            connection.execute(f'CREATE TABLE "{name}" ({columns})')
            with connection.cursor().copy(f'COPY "{name}" FROM STDIN') as copy:
                for row in table.rows:
                    copy.write_row(row)
            connection.execute(f'ANALYZE "{name}"')
        self._loaded = list(tables.items())

    def _answer(self, sql: str) -> Answer:
        import psycopg

        try:
            with self._connection.transaction():
                done = self._connection.execute(sql)
                names, codes, raw = [c.name for c in done.description], [c.type_code for c in done.description], done.fetchall()
        except psycopg.Error as error:
            return _refused("Postgres", error, sql)
        types = [psycopg.postgres.types[c].name if psycopg.postgres.types.get(c) else str(c) for c in codes]
        return _rows(names, types, raw, [kind == "float4" for kind in types])


class Flink(Engine):
    """Flink in streaming mode over bounded files, with watermarks. Opens a session on first use, unless it is given one."""

    name = "flink"

    def __init__(self, session: Session | None = None) -> None:
        super().__init__()
        self._session, self._own = session, session is None
        self._folder: Path | None = None
        self._statements: list[str] = []

    @property
    def session(self) -> Session:
        """The session that runs the queries. Raises SK920, SK925 when it has to be opened and cannot."""
        if self._session is None:
            self._session = Session()
        return self._session

    def run_many(
        self, tables: Mapping[str, Table], queries: Sequence[str], *, parallelism: int = 1, setup: Sequence[str] = ()
    ) -> list[Answer]:
        out: list[Answer] = []
        for answer in self.session.run([*self.define(tables), *setup], queries, parallelism=parallelism):
            if isinstance(answer, SkewlessError):
                out.append(answer)
            else:
                types = [column.type for column in answer.columns]
                out.append(_rows([c.name for c in answer.columns], types, answer.rows, ["FLOAT" in kind for kind in types]))
        return out

    def define(self, tables: Mapping[str, Table]) -> list[str]:
        """The CREATE TABLE statements of these tables, whose rows are then in files."""
        if self._folder is None or not self._has(tables):
            self._remove_files()
            self._folder = Path(tempfile.mkdtemp(prefix="skewless-rows-"))
            self._statements = [_flink_table(name, table, self._folder) for name, table in tables.items()]
            self._loaded = list(tables.items())
        return list(self._statements)

    def close(self) -> None:
        if self._own and self._session is not None:
            self._session.close()
            self._session = None
        self._remove_files()

    def _remove_files(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder, self._loaded = None, []


def _rows(names: list[str], types: list[str], raw: Sequence[Sequence[Any]], single: list[bool]) -> Rows:
    rows = [tuple(canonical(value, single=one) for value, one in zip(row, single, strict=True)) for row in raw]
    return Rows(tuple(names), tuple(types), rows)


def _refused(engine: str, error: Exception, sql: str) -> SkewlessError:
    return SkewlessError("SK801", f"{engine} refuses a statement: {str(error).strip().splitlines()[0]}", detail=sql)


def _arrow(table: Table) -> Any:
    import pyarrow as pa

    columns = [list(values) for values in zip(*table.rows, strict=True)] or [[] for _ in table.columns]
    arrays = [pa.array(values, type=kind.arrow()) for values, kind in zip(columns, table.columns.values(), strict=True)]
    return pa.table(arrays, names=list(table.columns))


def _flink_table(name: str, table: Table, folder: Path) -> str:
    path = folder / f"{name}.json"
    kinds = table.columns.values()
    with open(path, "w", encoding="utf-8") as out:
        for row in table.rows:
            values = {c: _json(v, kind) for c, v, kind in zip(table.columns, row, kinds, strict=True)}
            out.write(json.dumps(values, ensure_ascii=False) + "\n")
    columns = [f"`{column}` {table.flink_types.get(column) or _flink_type(table, column)}" for column in table.columns]
    if watermark := table.watermark_expression():
        columns.append(f"WATERMARK FOR `{table.event_time}` AS {watermark}")
    options = f"'connector'='filesystem', 'path'='file://{path}', 'format'='json', 'json.timestamp-format.standard'='SQL'"
    return f"CREATE TABLE `{name}` ({', '.join(columns)}) WITH ({options})"


def _flink_type(table: Table, column: str) -> str:
    return "TIMESTAMP(3)" if column == table.event_time else table.columns[column].world("flink")


def _json(value: Any, kind: Type) -> Any:
    """The value as Flink's JSON format reads it. Numbers that are not integers go as text, so that no parser rounds them."""
    if isinstance(value, list | tuple):
        return [_json(item, kind) for item in value]
    if isinstance(value, float):
        return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(repr(value), repr(value))
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    return value

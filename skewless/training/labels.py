"""Label frames: where they come from, what they must look like, and how the join sees them.

A label frame is a path (Parquet or CSV), `ref:<dbt model>`, or an Arrow, pandas or polars table. In the join's connection it is
the relation `LABEL_FRAME`; nothing about it changes (law 6).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.clock import format_instant
from skewless.errors import SkewlessError
from skewless.registry.model import JoinKey, Selected, parse_ref
from skewless.training.content import content_hash
from skewless.warehouse.columns import text as _text

if TYPE_CHECKING:
    import duckdb

    from skewless.config import Config

LABEL_FRAME = "__label_frame"
REF = "ref:"
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT")
# join key type -> DuckDB types of a label frame's column that equal it exactly; an all-NULL Arrow column has the type "NULL"
KEY_TYPES = {
    "int32": INTEGERS, "int64": INTEGERS, "string": ("VARCHAR", "ENUM"), "bool": ("BOOLEAN",), "bytes": ("BLOB",),
    "date": ("DATE",),
    "timestamp": ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"),
}
INSTANT_TYPES = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE", "DATE")
READABLE = "A label frame is a .parquet or .csv file, ref:<dbt model>, or an Arrow, pandas or polars table."


@dataclass
class LabelFrame:
    """A label frame as the join sees it. `hash` is that of the file's bytes, or of the values where there is no file.

    `columns` maps names to DuckDB types, in order. `min_us` and `max_us` are None for a frame without rows.
    """

    source: str                             # file | frame | dbt
    name: str                               # path, model, or the Python type
    hash: str
    columns: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    min_us: int | None = None
    max_us: int | None = None


def open_labels(
    con: duckdb.DuckDBPyConnection, labels: Any, keys: tuple[JoinKey, ...], config: Config, scratch: Path
) -> LabelFrame:
    """Makes the label frame the relation `LABEL_FRAME` of the connection. Raises SK701 for what cannot be read."""
    con.execute(f"drop view if exists {LABEL_FRAME}").fetchall()
    if isinstance(labels, str) and labels.startswith(REF):
        frame = _open_model(con, labels, config, scratch)
    elif isinstance(labels, str | Path):
        frame = _open_file(con, Path(labels), keys)
    else:
        table = _as_arrow(labels)
        _check_distinct(table.column_names)
        con.register(LABEL_FRAME, table)
        frame = LabelFrame("frame", type(labels).__module__.split(".")[0], content_hash(table))
    frame.columns = {name: kind for name, kind, *_ in con.sql(f"describe select * from {LABEL_FRAME}").fetchall()}
    return frame


def check_labels(
    con: duckdb.DuckDBPyConnection, frame: LabelFrame, label_timestamp: str, keys: tuple[JoinKey, ...], outputs: list[str]
) -> None:
    """Fills in rows and range. Raises SK703 (columns), SK704 (label_timestamp), SK706 (name clashes)."""
    _check_names(frame, outputs)
    _check_columns(frame, label_timestamp, keys)
    _check_instants(con, frame, label_timestamp)


def join_keys(selected: tuple[Selected, ...]) -> tuple[JoinKey, ...]:
    """The join keys of all selected views, each name once, in order of first mention."""
    found: dict[str, JoinKey] = {}
    for item in selected:
        for key in item.view.join_keys:
            found.setdefault(key.name, key)
    return tuple(found.values())


def file_hash(path: Path) -> str:
    """`sha256:` and the hex digest of a file's bytes."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _open_file(con: duckdb.DuckDBPyConnection, path: Path, keys: tuple[JoinKey, ...]) -> LabelFrame:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise SkewlessError("SK701", f'label frame "{path}" {what}', hint=READABLE)
    suffix = path.name.lower().removesuffix(".gz")
    if suffix.endswith((".parquet", ".pq")):
        scan = f"read_parquet([{_text(str(path))}], hive_partitioning = false)"
    elif suffix.endswith((".csv", ".tsv")):
        scan = f"read_csv([{_text(str(path))}], header = true, sample_size = -1{_csv_types(con, path, keys)})"
    else:
        raise SkewlessError("SK701", f'label frame "{path.name}" is of a kind that is not read', hint=READABLE)
    _try_read(con, f"create or replace temp view {LABEL_FRAME} as select * from {scan}", path)
    if scan.startswith("read_csv"):
        _check_csv_keys(con, path, keys)
    else:
        import pyarrow.parquet as pq

        _check_distinct(pq.read_schema(path).names)
    return LabelFrame("file", str(path), file_hash(path))


def _csv_types(con: duckdb.DuckDBPyConnection, path: Path, keys: tuple[JoinKey, ...]) -> str:
    """A CSV file has no types, so join keys are read as declared: "007" stays a string where the key is one."""
    from skewless.types import parse_type

    query = f"select * from read_csv([{_text(str(path))}], header = true, all_varchar = true) limit 0"
    names = _try_read(con, query, path)
    types = [f"{_text(k.name)}: {_text(parse_type(k.type).world('duckdb'))}" for k in keys if k.name in names]
    return f", types = {{{', '.join(types)}}}" if types else ""


def _check_csv_keys(con: duckdb.DuckDBPyConnection, path: Path, keys: tuple[JoinKey, ...]) -> None:
    """Raises SK703 for the first join key of the file that does not read as its type."""
    import duckdb

    there = {row[0] for row in con.sql(f"describe select * from {LABEL_FRAME}").fetchall()}
    for key in keys:
        if key.name in there:
            try:
                con.sql(f'select max("{key.name}") from {LABEL_FRAME}').fetchall()
            except duckdb.ConversionException as error:
                line = re.search(r"CSV Error on Line: (\d+)", str(error))
                value = re.search(r'Could not convert string "(.*)" to', str(error))
                where = f"Line {line[1]}: " if line else ""
                raise SkewlessError(
                    "SK703", f'join key "{key.name}" is {key.type}, in the label frame it is not',
                    detail=f'{where}"{value[1]}".' if value else _first_line(error), hint=f'Correct "{path}".',
                ) from None


def _try_read(con: duckdb.DuckDBPyConnection, sql: str, path: Path) -> list[str]:
    """Runs a statement over the file and gives the names of the result's columns. Raises SK701."""
    import duckdb

    try:
        result = con.execute(sql)
        names = [column[0] for column in result.description or ()]
        result.fetchall()
        return names
    except duckdb.Error as error:
        raise SkewlessError("SK701", f'label frame "{path}" cannot be read', detail=_first_line(error)) from None


def _open_model(con: duckdb.DuckDBPyConnection, labels: str, config: Config, scratch: Path) -> LabelFrame:
    """A dbt model: dbt itself writes it to a file, because the warehouse's file is dbt's alone."""
    import json

    import pyarrow.parquet as pq

    from skewless.warehouse import dbt

    ref = parse_ref(labels.removeprefix(REF))
    path = scratch / "labels.parquet"
    args = {"model": ref.view, "path": str(path)} | ({"v": ref.version} if ref.version else {})
    dbt.ensure_deps(config)
    dbt.require(dbt.run_dbt(config, ["run-operation", "export_labels", "--args", json.dumps(args)]), f"reading {labels}")
    _try_read(con, f"create or replace temp view {LABEL_FRAME} as select * from read_parquet([{_text(str(path))}])", path)
    return LabelFrame("dbt", labels, content_hash(pq.read_table(path)))


def _as_arrow(labels: Any) -> Any:
    import pyarrow as pa

    if isinstance(labels, pa.RecordBatch):
        return pa.Table.from_batches([labels])
    if isinstance(labels, pa.Table):
        return labels
    root = type(labels).__module__.split(".")[0]
    if root == "polars":
        frame = labels.collect() if type(labels).__name__ == "LazyFrame" else labels
        return frame.to_arrow()
    if root == "pandas":
        try:
            return pa.Table.from_pandas(labels, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise SkewlessError("SK701", "a column of the pandas frame mixes types", detail=str(error)) from None
    raise SkewlessError("SK701", f"a label frame cannot be of type {type(labels).__name__}", hint=READABLE)


def _check_distinct(names: list[str]) -> None:
    """DuckDB's names do not tell upper from lower case; it would rename the second of two."""
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            raise SkewlessError("SK703", f'columns "{seen[name.lower()]}" and "{name}" of the label frame have one name')
        seen[name.lower()] = name


def _check_names(frame: LabelFrame, outputs: list[str]) -> None:
    seen = {name.lower() for name in frame.columns}
    for name in frame.columns:
        if name.startswith("__"):
            hint = "Names that start with __ belong to skewless."
            raise SkewlessError("SK703", f'column "{name}" of the label frame is reserved', hint=hint)
    clashes = [name for name in outputs if name.lower() in seen]
    if clashes:
        raise SkewlessError(
            "SK706", "the label frame and the features share names: " + ", ".join(f'"{n}"' for n in clashes),
            hint='Rename the column, give the feature an alias ("view:feature as name"), or ask for full names.',
        )


def _check_columns(frame: LabelFrame, label_timestamp: str, keys: tuple[JoinKey, ...]) -> None:
    missing = [k.name for k in keys if k.name not in frame.columns]
    missing += [label_timestamp] if label_timestamp not in frame.columns else []
    if missing:
        raise SkewlessError(
            "SK703", "the label frame has no column " + ", ".join(f'"{m}"' for m in missing),
            detail="It has " + ", ".join(f'"{c}"' for c in frame.columns) + ".",
            hint="It needs every join key of the features, and label_timestamp (or the column named by --label-timestamp).",
        )
    for key in keys:
        found = frame.columns[key.name]
        if found != '"NULL"' and _base(found) not in KEY_TYPES[key.type]:
            raise SkewlessError(
                "SK703", f'join key "{key.name}" is {key.type}, in the label frame it is {found.lower()}',
                hint=f'Cast the column "{key.name}" to {key.type}.',
            )
    found = frame.columns[label_timestamp]
    if _base(found) not in INSTANT_TYPES:
        raise SkewlessError(
            "SK703", f'column "{label_timestamp}" of the label frame is {found.lower()}, not a timestamp',
            hint="Cast it to a timestamp; without a time zone it is UTC.",
        )


def _check_instants(con: duckdb.DuckDBPyConnection, frame: LabelFrame, label_timestamp: str) -> None:
    at = '"' + label_timestamp.replace('"', '""') + '"'
    ns = f"coalesce(bool_or(epoch_ns({at}) % 1000 <> 0), false)" if frame.columns[label_timestamp] == "TIMESTAMP_NS" else "false"
    query = (
        f"select count(*), count(*) - count(make_timestamp(epoch_us({at}))), min(epoch_us({at})), max(epoch_us({at})), {ns} "
        f"from {LABEL_FRAME}"
    )
    frame.rows, nulls, frame.min_us, frame.max_us, finer = con.sql(query).fetchall()[0]
    if nulls:
        first = con.sql(
            f"select n from (select row_number() over () as n, {at} as instant from {LABEL_FRAME}) "
            "where make_timestamp(epoch_us(instant)) is null order by n limit 3"
        ).fetchall()
        raise SkewlessError(
            "SK704", f'{nulls} of {frame.rows} rows of the label frame have no "{label_timestamp}"',
            detail="The first: row " + ", ".join(str(n) for (n,) in first) + " (counted from 1).",
            hint="Remove these rows, or fill the column in.",
        )
    if finer:
        raise SkewlessError(
            "SK704", f'"{label_timestamp}" has fractions of a microsecond', hint="Round it down to microseconds.",
        )


def describe_range(frame: LabelFrame) -> str:
    """`2013-01-01T00:00:00Z to …`, or `no rows`."""
    if frame.min_us is None or frame.max_us is None:
        return "no rows"
    return f"{format_instant(frame.min_us)} to {format_instant(frame.max_us)}"


def _base(type_: str) -> str:
    return re.sub(r"\(.*", "", type_).strip()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]

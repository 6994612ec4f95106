"""label frame + features as of each label -> training set; and the same again from a manifest."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless import __version__
from skewless.clock import format_instant, now_us
from skewless.errors import SkewlessError
from skewless.registry.model import Registry, Selected, parse_ref, select
from skewless.training import render
from skewless.training.history import History, open_histories, window
from skewless.training.labels import LabelFrame, check_labels, join_keys, open_labels
from skewless.training.manifest import BACKFILL_RULE, Labels, Manifest, Source, read_manifest
from skewless.training.render import Statement
from skewless.training.result import RESULT, TrainingSet

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from skewless.config import Config

OnStep = Callable[[str, int, int], None]    # text, steps done, steps in all


@dataclass(frozen=True)
class Request:
    """What was asked for, as the manifest keeps it."""

    service: str | None
    selected: tuple[Selected, ...]
    label_timestamp: str
    mode: str
    statuses: bool

    @property
    def outputs(self) -> list[str]:
        """The columns that the join adds, in order."""
        return [item.name for item in self.selected] + (render.status_columns(self.selected) if self.statuses else [])


def training_set(
    config: Config, registry: Registry, labels: Any, *, service: str | None = None, features: Sequence[str] | None = None,
    label_timestamp: str = "label_timestamp", mode: str = "as_of", statuses: bool = False, full_names: bool = False,
    on_step: OnStep | None = None,
) -> TrainingSet:
    """Joins the features of a service, or of references, to a label frame: rows out = rows in, same order, duplicates kept.

    Raises SK404 and SK105 for the request, SK70x for the label frame, SK705 where history is not complete.
    """
    selected = _selected(registry, service, features, full_names)
    if mode not in render.MODES:
        raise SkewlessError("SK702", f'mode "{mode}" does not exist', hint="There are as_of and known_at.")
    request = Request(service, selected, label_timestamp, mode, statuses)
    with _connection() as (con, scratch, keep):
        frame = open_labels(con, labels, join_keys(selected), config, scratch)
        check_labels(con, frame, label_timestamp, join_keys(selected), request.outputs)
        histories = open_histories(config, selected, frame, mode)
        shapes = {h.view.ref: render.shape_of(_count(selected, h), frame.rows, h.rows) for h in histories}
        statements = render.statements(
            config, selected, label_timestamp=label_timestamp, mode=mode, statuses=statuses, shapes=shapes)
        backfills = _run(con, frame, histories, statements, mode, on_step)
        manifest = _manifest(config, request, frame, histories, statements, backfills, _columns(con))
        return TrainingSet(con, manifest, config, keep())


def rebuild(config: Config, path: str | Path, *, labels: Any = None, on_step: OnStep | None = None) -> TrainingSet:
    """The training set of a manifest again, from the ledger positions and the SQL it records.

    `labels` stands in for the label frame; without it the manifest's own is read, or, where that is gone or has changed, the
    label columns of the training set beside the manifest. Raises SK710 and SK711; writing the result raises SK712 if it differs.
    """
    path = Path(path)
    manifest = read_manifest(path)
    keys = tuple({k.name: k for s in manifest.views for k in s.definition.join_keys}.values())
    with _connection() as (con, scratch, keep):
        frame = _labels_again(con, manifest, path, labels, keys, config, scratch)
        check_labels(con, frame, manifest.label_timestamp, keys, [])
        histories = [_history_again(config, source, frame, manifest.mode) for source in manifest.views]
        _run(con, frame, histories, list(manifest.statements), manifest.mode, on_step)
        out = TrainingSet(con, manifest, config, keep())
        out.expect(manifest.content_hash)
        return out


def _selected(registry: Registry, service: str | None, features: Sequence[str] | None, full_names: bool) -> tuple[Selected, ...]:
    if (service is None) == (not features):
        raise SkewlessError(
            "SK702", "a training set takes a service or features, and not both",
            hint="Name a feature service (--service), or references such as carrier_delays@1 (--features).",
        )
    if service is not None:
        found = registry.service(service)
        return select(registry, found.features, full_names=full_names or found.full_names)
    return select(registry, tuple(parse_ref(text) for text in features or ()), full_names=full_names)


@contextmanager
def _connection() -> Iterator[tuple[Any, Path, Callable[[], Callable[[], None]]]]:
    """An in-memory DuckDB and a scratch folder; both go away unless `keep()` was called, which hands over the clean-up."""
    from skewless.warehouse.session import memory

    scratch = Path(tempfile.mkdtemp(prefix="skewless-"))
    con = memory()
    kept = False

    def clean_up() -> None:
        shutil.rmtree(scratch, ignore_errors=True)

    def keep() -> Callable[[], None]:
        nonlocal kept
        kept = True
        return clean_up

    try:
        con.execute("set temp_directory = ?", [str(scratch / "spill")]).fetchall()
        con.execute("set enable_progress_bar = false").fetchall()
        yield con, scratch, keep
    finally:
        if not kept:
            con.close()
            clean_up()


def _count(selected: tuple[Selected, ...], history: History) -> int:
    return sum(item.view.ref == history.view.ref for item in selected)


def _run(
    con: duckdb.DuckDBPyConnection, frame: LabelFrame, histories: list[History], statements: list[Statement], mode: str,
    on_step: OnStep | None,
) -> dict[str, int]:
    """Runs the statements; the result is the relation RESULT. Returns the number of backfill windows of each view."""
    import duckdb

    backfills = {history.view.ref: history.attach(con, mode) for history in histories}
    steps = [s for s in statements if s.stage not in ("assert", "__labels")]
    done = 0
    try:
        for statement in statements:
            if statement.stage == "assert":
                _assert_aligned(con, statement)
            elif statement.stage == "result":
                kind = "temp view" if len(steps) > 1 else "temp table"
                con.execute(f"create or replace {kind} {RESULT} as {statement.sql}").fetchall()
            else:
                con.execute(statement.sql).fetchall()
            if on_step and statement in steps:
                done += 1
                on_step(_told(statement, histories), done, len(steps))
    except duckdb.Error as error:
        raise _refused(error) from None
    rows = con.sql(f"select count(*) from {RESULT}").fetchall()[0][0]
    if rows != frame.rows:
        raise SkewlessError("SK708", f"the join gave {rows} rows for {frame.rows} rows of the label frame")
    return backfills


def _assert_aligned(con: duckdb.DuckDBPyConnection, statement: Statement) -> None:
    if con.sql(statement.sql).fetchall() != [(True,)]:
        raise SkewlessError("SK708", "a view gave more or fewer rows than the label frame has")


def _told(statement: Statement, histories: list[History]) -> str:
    if statement.stage == "result":
        return "result" if len(histories) >= render.STAGED_FROM_VIEWS else ", ".join(h.view.ref for h in histories)
    return histories[int(statement.stage.removeprefix("__v")) - 1].view.ref


def _refused(error: Exception) -> SkewlessError:
    """What a statement raised: our own guard's words, else DuckDB's."""
    text = str(error)
    if "error[SK708]: " in text:
        return SkewlessError("SK708", text.split("error[SK708]: ", 1)[1].strip().splitlines()[0])
    return SkewlessError("SK708", "the join failed", detail=text.strip().split("\n\n")[0])


def _columns(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    return {name: kind for name, kind, *_ in con.sql(f"describe select * from {RESULT}").fetchall()}


def _manifest(
    config: Config, request: Request, frame: LabelFrame, histories: list[History], statements: list[Statement],
    backfills: dict[str, int], columns: dict[str, str],
) -> Manifest:
    sources = tuple(
        Source(
            view=h.view.ref, fingerprint=h.view.schema.fingerprint, definition_hash=h.view.definition_hash,
            table_id=h.position.table_id, table_version=h.position.version, r_us=h.position.r_us,
            backfill_windows=backfills[h.view.ref], definition=h.view,
        )
        for h in histories
    )
    labels = Labels(
        source=frame.source, path=frame.name, hash=frame.hash, rows=frame.rows, columns=frame.columns,
        min_us=frame.min_us, max_us=frame.max_us,
    )
    return Manifest(
        skewless=__version__, project=config.project, target=config.target, created_at=format_instant(now_us()),
        service=request.service, features=tuple(f"{s.view.ref}:{s.feature.name} as {s.name}" for s in request.selected),
        mode=request.mode, backfill=BACKFILL_RULE if request.mode == "known_at" else "", statuses=request.statuses,
        label_timestamp=request.label_timestamp, labels=labels, views=sources, statements=tuple(statements),
        rows=frame.rows, columns=columns, content_hash="",
    )


def _labels_again(
    con: duckdb.DuckDBPyConnection, manifest: Manifest, path: Path, labels: Any, keys: Any, config: Config, scratch: Path
) -> LabelFrame:
    was = manifest.labels
    if labels is not None:
        frame = open_labels(con, labels, keys, config, scratch)
        if frame.source == was.source and frame.hash != was.hash:
            detail = f"Its hash is {frame.hash}, not {was.hash}."
            raise SkewlessError("SK711", "this is not the label frame of the manifest", detail=detail)
        return frame
    why = "It was a frame in memory."
    original = {"file": path.parent / was.path, "dbt": was.path}.get(was.source)
    if original is not None:
        try:
            frame = open_labels(con, original, keys, config, scratch)
            if frame.hash == was.hash:
                return frame
            why = f'"{original}" has changed since.'
        except SkewlessError as error:
            why = f"{error.fact}."
    beside = path.parent / manifest.output
    if not (manifest.output and beside.is_file()):
        raise SkewlessError(
            "SK711", "the label frame of the manifest is not there any more", detail=why,
            hint="Pass it again (--labels), or put the training set itself beside the manifest: its label columns are enough.",
        )
    import pyarrow.parquet as pq

    table = pq.read_table(beside, columns=list(was.columns))
    return open_labels(con, table, keys, config, scratch)


def _history_again(config: Config, source: Source, frame: LabelFrame, mode: str) -> History:
    from skewless.warehouse.lake import LakeTable
    from skewless.warehouse.ledger import Position

    table = LakeTable(config.lake_root, source.definition)
    recorded = f"The manifest read version {source.table_version} of table {source.table_id}."
    if not table.exists():
        raise SkewlessError("SK711", f"the history of {source.view} is not there any more", detail=recorded)
    position = table.position()
    if position.table_id != source.table_id or position.version < source.table_version:
        raise SkewlessError(
            "SK711", f"the history of {source.view} was started over since", detail=recorded,
            hint="A draft's history does not outlive a full refresh; make a new training set.",
        )
    lo, hi = window(source.definition, frame, mode)
    return History(source.definition, table, Position(source.table_id, source.table_version, source.r_us), lo, hi, 0)

"""Training sets over a real lake that dbt wrote: label frames of every kind, refusals, manifests, rebuilds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from skewless import FeatureStore
from skewless.config import Config
from skewless.errors import Findings, SkewlessError
from skewless.project import read_project
from skewless.registry.model import Feature, JoinKey, Service, View, parse_ref
from skewless.registry.store import Store
from skewless.training.content import content_hash
from skewless.training.history import DAY_US, backfills
from skewless.training.labels import open_labels
from skewless.training.manifest import read_manifest
from skewless.training.render import shape_of, status_columns, view_metadata
from skewless.warehouse.ledger import LedgerEntry, Position
from tests.history_project import NOW, Project, Row

LATER = "2026-03-11T12:00:00Z"
EVENTS: list[Row] = [
    ("u", "2026-01-05", 1, 0.5), ("u", "2026-02-01T10:00:00", 2, None), ("u", "2026-03-01", None, 2.5),
    ("v", "2026-02-10", 7, 7.5), ("007", "2026-02-11", 70, 0.0),
]
PAIRS_SQL = """select k, 'o' || (a % 2)::varchar as o, seen as event_timestamp, a as r
from read_parquet('{{ env_var("SKEWLESS_PROJECT_DIR") }}/events.parquet')
where a is not null and {{ skewless.input_window('seen') }}
"""
PAIRS_YAML = """models:
  - name: pairs
    config:
      materialized: feature_view
      contract: {enforced: true}
      meta: {skewless: {entities: [{name: pair, join_keys: [k, o]}], begin: 2026-01-01, ttl: 10d}}
    columns:
      - {name: k, data_type: varchar}
      - {name: o, data_type: varchar}
      - {name: event_timestamp, data_type: timestamp}
      - {name: r, data_type: bigint, config: {meta: {skewless: {default: -1}}}}
"""
LABELS = pa.table({
    "k": pa.array(["u", "v", "u", None, "nobody", "u", "u", "007"]),
    "o": pa.array(["o1", "o1", "o0", "o0", "o0", "o0", "o0", "o0"]),
    "label_timestamp": pa.array(
        [datetime(2026, 1, 5, 1), datetime(2026, 2, 10), datetime(2026, 3, 9), datetime(2026, 3, 1), datetime(2026, 3, 1),
         datetime(2026, 2, 2), datetime(2026, 2, 2), datetime(2026, 2, 20)], pa.timestamp("us")),
    "note": pa.array(["a", None, "c", "d", "e", "f", "f", "h"]),
})
FEATURES = ["events@1:a", "events:x as xx", "pairs"]
WANT = {
    "a": [1, None, None, None, None, 2, 2, 70], "xx": [0.5, None, 2.5, None, None, None, None, 0.0],
    "r": [1, 7, -1, -1, -1, 2, 2, 70],
    "events__status": ["ok", "missing", "ok", "missing", "missing", "ok", "ok", "ok"],
    "pairs__status": ["ok", "ok", "missing", "missing", "missing", "ok", "ok", "ok"],
}


def apply(project: Project) -> None:
    """What `plan` and `apply` do to the registry, with a feature service."""
    store, found = Store(project.config), read_project(project.config)
    assert not found.findings or all(f.code == "SK130" for f in found.findings), found.findings
    service = Service(name="scores", features=tuple(parse_ref(f) for f in ("events@1", "pairs@1:r")))
    store.save(msgspec.structs.replace(found.wanted, services=(service,)), expected=store.applied())


def built(root: Path) -> Project:
    project = Project(root)
    project.write("models/pairs.sql", PAIRS_SQL)
    project.write("models/pairs.yml", PAIRS_YAML)
    project.model("more", project.root.joinpath("models/events.sql").read_text())
    pq.write_table(LABELS, root / "frame.parquet")
    table = f"{{{{ config(materialized='table') }}}} select * from read_parquet('{root}/frame.parquet')"
    project.write("models/labels.sql", table)
    project.rows(EVENTS)
    run = project.run()
    assert run.ok, "\n".join(run.lines)
    apply(project)
    return project


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Built once; tests only read it."""
    return built(tmp_path_factory.mktemp("training") / "p")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKEWLESS_CLOCK", NOW)


@pytest.fixture
def store(shared: Project) -> Iterator[FeatureStore]:
    with FeatureStore(shared.root) as store:
        yield store


@pytest.fixture
def project(shared: Project, tmp_path: Path) -> Project:
    """A copy of the shared project that a test may change."""
    shutil.copytree(shared.root, tmp_path / "p", symlinks=True)
    copy = Project.__new__(Project)
    copy.root = tmp_path / "p"
    return copy


def test_values_order_duplicates_and_statuses(store: FeatureStore) -> None:
    with store.training_set(LABELS, features=FEATURES, statuses=True) as made:
        table = made.arrow()
    assert table.column_names == [*LABELS.column_names, *WANT]
    assert table.select(LABELS.column_names).equals(LABELS)
    assert table.select(list(WANT)).to_pydict() == WANT


def as_csv(tmp_path: Path) -> Path:
    pyarrow.csv.write_csv(LABELS, tmp_path / "labels.csv")
    return tmp_path / "labels.csv"


@pytest.mark.parametrize("kind", ["parquet", "csv", "ref", "pandas", "polars", "zoned", "ns", "dictionary", "pandas categories"])
def test_every_kind_of_label_frame(shared: Project, store: FeatureStore, tmp_path: Path, kind: str) -> None:
    zoned = LABELS.set_column(2, "label_timestamp", LABELS["label_timestamp"].cast(pa.timestamp("us", "UTC")))
    frame: Any = {
        "parquet": lambda: str(shared.root / "frame.parquet"),
        "csv": lambda: as_csv(tmp_path),
        "ref": lambda: "ref:labels",
        "pandas": LABELS.to_pandas,
        "polars": lambda: pl.from_arrow(LABELS),
        "zoned": lambda: zoned.to_pandas().assign(label_timestamp=lambda f: f.label_timestamp.dt.tz_convert("America/New_York")),
        "ns": lambda: LABELS.set_column(2, "label_timestamp", LABELS["label_timestamp"].cast(pa.timestamp("ns"))),
        "dictionary": lambda: LABELS.set_column(0, "k", LABELS["k"].dictionary_encode()),
        "pandas categories": lambda: LABELS.to_pandas().astype({"k": "category"}),
    }[kind]()
    with store.training_set(frame, features=FEATURES, statuses=True) as made:
        assert made.arrow().select(list(WANT)).to_pydict() == WANT
        assert len(made) == LABELS.num_rows and made.arrow()["note"].to_pylist()[0] == "a"
        assert made.manifest.labels.source == {"parquet": "file", "csv": "file", "ref": "dbt"}.get(kind, "frame")


def test_arrow_pandas_polars_parquet_agree(store: FeatureStore, tmp_path: Path) -> None:
    with store.training_set(LABELS, service="scores", full_names=True) as made:
        arrow = made.arrow()
        assert arrow.column_names[-3:] == ["events__a", "events__x", "pairs__r"]
        assert made.polars().to_arrow().to_pylist() == arrow.to_pylist()
        assert isinstance(made.pandas(), pd.DataFrame) and len(made.pandas()) == LABELS.num_rows
        made.to_parquet(tmp_path / "t.parquet")
        assert pq.read_table(tmp_path / "t.parquet").to_pylist() == arrow.to_pylist()


def test_three_views_in_stages_equal_single_views(store: FeatureStore) -> None:
    refs = [*FEATURES, "more:a as b"]
    with store.training_set(LABELS, features=refs, statuses=True) as made:
        staged = made.arrow()
        assert [s.stage for s in made.manifest.statements] == ["__labels", "__v1", "__v2", "__v3", "assert", "result"]
    assert staged.select(list(WANT)).to_pydict() == WANT and staged["b"].to_pylist() == WANT["a"]


def test_empty_frame(store: FeatureStore, tmp_path: Path) -> None:
    for refs in (FEATURES, [*FEATURES, "more:a as b"]):
        with store.training_set(LABELS.slice(0, 0), features=refs, statuses=True) as made:
            made.to_parquet(tmp_path / "empty.parquet")
            assert made.arrow().num_rows == 0 and made.arrow().schema.field("r").type == pa.int64()


def column(name: str, values: Any) -> pa.Table:
    return LABELS.set_column(LABELS.column_names.index(name), name, values)


NULLS = pa.array([None] + [datetime(2026, 2, 2)] * 7, pa.timestamp("us"))
FINE = pa.array([1_770_000_000_000_000_001] * 8, pa.timestamp("ns"))
REFUSED: dict[str, tuple[Any, list[str], str, str]] = {
    "null time": (column("label_timestamp", NULLS), FEATURES, "SK704", "row 1 (counted from 1)"),
    "nanoseconds": (column("label_timestamp", FINE), FEATURES, "SK704", "fractions of a microsecond"),
    "text time": (column("label_timestamp", pa.array(["2026"] * 8)), FEATURES, "SK703", "is varchar, not a timestamp"),
    "no key": (LABELS.drop_columns(["o"]), FEATURES, "SK703", 'no column "o"'),
    "no time": (LABELS.drop_columns(["label_timestamp"]), FEATURES, "SK703", 'no column "label_timestamp"'),
    "key type": (column("k", pa.array(range(8))), FEATURES, "SK703", 'join key "k" is string, in the label frame it is bigint'),
    "clash": (LABELS.append_column("R", LABELS["k"]), FEATURES, "SK706", '"r"'),
    "status clash": (LABELS.append_column("pairs__status", LABELS["k"]), FEATURES, "SK706", '"pairs__status"'),
    "reserved": (LABELS.append_column("__row_id", LABELS["k"]), FEATURES, "SK703", '"__row_id"'),
    "same name": (LABELS.append_column("K", LABELS["k"]), FEATURES, "SK703", 'columns "k" and'),
    "unknown feature": (LABELS, ["events:nope"], "SK404", "nope"),
    "unknown view": (LABELS, ["event"], "SK404", 'Did you mean "events"?'),
    "two names": (LABELS, ["events:a", "more:a"], "SK105", 'called "a"'),
    "nothing asked": (LABELS, [], "SK702", "a service or features"),
    "not a frame": (7, FEATURES, "SK701", "type int"),
    "no file": ("nowhere.parquet", FEATURES, "SK701", "does not exist"),
    "pandas mixture": (pd.DataFrame({"k": ["u", 1]}), FEATURES, "SK701", "mixes types"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_refusals(store: FeatureStore, case: str) -> None:
    labels, features, code, words = REFUSED[case]
    with pytest.raises(SkewlessError) as error:
        store.training_set(labels, features=features, statuses=True)
    assert error.value.code == code and words in error.value.render(), error.value.render()


def test_unreadable_files(store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "labels.xlsx").write_bytes(b"")
    (tmp_path / "empty.csv").write_bytes(b"")
    for name, words in (("broken.parquet", "cannot be read"), ("labels.xlsx", "of a kind"), ("empty.csv", ""), (".", "a folder")):
        with pytest.raises(SkewlessError) as error:
            store.training_set(tmp_path / name, features=FEATURES)
        assert error.value.code in ("SK701", "SK703") and words in error.value.render()
    with store.training_set(LABELS, features=FEATURES, statuses=True) as made:
        for place in ("nowhere/t.parquet", "t.csv"):
            with pytest.raises(SkewlessError, match="SK707"):
                made.to_parquet(tmp_path / place)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.parquet", "empty.csv", "labels.xlsx"]


def test_a_csv_key_that_is_none_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("n,label_timestamp\n1,2026-01-01\nx1,2026-01-02\n")
    key = JoinKey("n", "int64")
    with duckdb.connect() as con, pytest.raises(SkewlessError) as error:
        open_labels(con, tmp_path / "labels.csv", (key,), Config(project="p"), tmp_path)
    assert (error.value.code, error.value.detail) == ("SK703", 'Line 3: "x1".')
    assert error.value.fact == 'join key "n" is int64, in the label frame it is not'


def test_history_that_is_not_complete_is_refused(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The history ends at 12:00; events are available an hour late, pairs at once."""
    monkeypatch.setenv("SKEWLESS_CLOCK", LATER)

    def at(hour: int, minute: int = 0) -> pa.Table:
        return column("label_timestamp", pa.array([datetime(2026, 3, 10, hour, minute)] * 8, pa.timestamp("us")))

    store.training_set(at(12, 59), features=["events"]).close()
    with pytest.raises(SkewlessError) as error:
        store.training_set(at(13), features=["events"])
    assert error.value.code == "SK705" and error.value.hint == "skewless materialize events --to 2026-03-10T12:00:01Z"
    assert "complete up to 2026-03-10T12:00:00Z (state: in_progress)" in error.value.detail
    with pytest.raises(Findings) as errors:
        store.training_set(at(20), features=["events", "pairs"])
    assert [f.code for f in errors.value.findings] == ["SK705", "SK705"]
    monkeypatch.setenv("SKEWLESS_CLOCK", NOW)
    with pytest.raises(SkewlessError, match="The present is"):
        store.training_set(at(13), features=["pairs"])


def test_history_that_was_never_written_is_refused(project: Project) -> None:
    shutil.rmtree(project.config.lake_root / "pair")
    with pytest.raises(SkewlessError, match=r"state: pending.*\n.*skewless materialize pairs --from 2026-01-01T00:00:00Z --to"):
        FeatureStore(project.root).training_set(LABELS, features=["pairs"])


def test_manifest_and_footer(store: FeatureStore, shared: Project, tmp_path: Path) -> None:
    with store.training_set(shared.root / "frame.parquet", service="scores") as made:
        manifest = made.to_parquet(tmp_path / "train.parquet")
    assert read_manifest(tmp_path / "train.manifest.json") == manifest
    table = pq.read_table(tmp_path / "train.parquet")
    footer = json.loads(pq.read_metadata(tmp_path / "train.parquet").metadata[b"skewless"])
    assert footer["content_hash"] == manifest.content_hash == content_hash(table)
    assert manifest.rows == 8 and list(manifest.columns) == table.column_names and manifest.service == "scores"
    assert manifest.features == ("events@1:a as a", "events@1:x as x", "pairs@1:r as r")
    events = manifest.views[0]
    assert Position(events.table_id, events.table_version, events.r_us) == shared.table().position()
    assert events.fingerprint == events.definition.schema.fingerprint and events.definition_hash
    assert "asof left join" in manifest.statements[-1].sql
    assert manifest.content_hash in [d["content_hash"] for d in Store(shared.config).datasets()]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train.manifest.json", "train.parquet"]


def changed(project: Project) -> None:
    """A correction, a deletion and a late row reach the history."""
    rows = [("u", "2026-01-05", 100, 0.5), *EVENTS[2:], ("u", "2026-02-01T20:00:00", 200, 1.0)]
    project.rows(rows)
    window = ["--event-time-start", "2026-01-01", "--event-time-end", "2026-03-11"]
    run = project.run(*window, now=LATER)
    assert run.ok, "\n".join(run.lines)


def test_rebuild_after_history_changed(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that were loaded late count as known at event time + delay; corrections and late rows only from when they came."""
    store, first = FeatureStore(project.root), {}
    for mode in ("as_of", "known_at"):
        with store.training_set(LABELS, features=FEATURES, mode=mode) as made:
            first[mode] = made.to_parquet(tmp_path / f"{mode}.parquet")
    assert first["known_at"].backfill and first["known_at"].views[0].backfill_windows == 3
    changed(project)
    monkeypatch.setenv("SKEWLESS_CLOCK", LATER)
    for mode, before in first.items():
        with store.rebuild(tmp_path / f"{mode}.manifest.json") as again:
            assert again.to_parquet(tmp_path / "again.parquet").content_hash == before.content_hash
        assert pq.read_table(tmp_path / "again.parquet").equals(pq.read_table(tmp_path / f"{mode}.parquet"))
    with store.training_set(LABELS, features=FEATURES) as made:
        assert made.arrow()["a"].to_pylist() == [100, None, None, None, None, 200, 200, 70]
    with store.training_set(LABELS, features=FEATURES, mode="known_at") as made:
        assert made.manifest.content_hash == first["known_at"].content_hash, "what was known then does not change"


def test_rebuild_refuses_what_is_not_there(store: FeatureStore, shared: Project, tmp_path: Path) -> None:
    frame, manifest = tmp_path / "frame.parquet", tmp_path / "t.manifest.json"
    shutil.copy(shared.root / "frame.parquet", frame)
    with store.training_set(frame, features=FEATURES, statuses=True) as made:
        made.to_parquet(tmp_path / "t.parquet")
    pq.write_table(LABELS.slice(1), frame)
    store.rebuild(manifest).close()                      # the training set's own label columns
    (tmp_path / "t.parquet").rename(tmp_path / "elsewhere.parquet")
    with pytest.raises(SkewlessError, match="SK711.*label frame"):
        store.rebuild(manifest)
    with pytest.raises(SkewlessError, match="SK711.*not the label frame"):
        store.rebuild(manifest, labels=frame)
    raw = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**raw, "content_hash": "sha256:0"}))
    with store.rebuild(manifest, labels=LABELS) as again, pytest.raises(SkewlessError, match="SK712"):
        again.to_parquet(tmp_path / "t.parquet")
    assert not (tmp_path / "t.parquet").exists()
    another = {**raw["views"][1], "table_id": "another"}
    manifest.write_text(json.dumps({**raw, "views": [raw["views"][0], another]}))
    with pytest.raises(SkewlessError, match="SK711.*pairs@1 was started over"):
        store.rebuild(manifest, labels=LABELS)
    for text in ("[]", "{", '{"format": 1}', '{"format": 99}'):
        manifest.write_text(text)
        with pytest.raises(SkewlessError, match="SK710"):
            store.rebuild(manifest)
    with pytest.raises(SkewlessError, match="SK710"):
        store.rebuild(tmp_path / "none.json")


def test_sunset(project: Project) -> None:
    store = Store(project.config)
    applied = store.applied()
    views = tuple(msgspec.structs.replace(v, sunset_at_us=1) if v.name == "pairs" else v for v in applied.views)
    store.save(msgspec.structs.replace(applied, views=views), expected=applied)
    with pytest.raises(SkewlessError, match="SK713"):
        FeatureStore(project.root).training_set(LABELS, features=["pairs"])


def cli(project: Project, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "skewless.cli", "training-set", *args, "--project-dir", str(project.root)],
        capture_output=True, text=True, cwd=cwd, env={**os.environ, "SKEWLESS_CLOCK": NOW},
    )


def test_command_line(shared: Project, tmp_path: Path) -> None:
    asked = ["--labels", str(shared.root / "frame.parquet"), "--features", "events:a, events:x as xx", "--features", "pairs"]
    asked += ["--statuses"]
    run = cli(shared, *asked, "--out", "t.parquet", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (0, "t.parquet\n"), run.stderr
    assert "training set [1/1] events@1, pairs@1" in run.stderr and "8 rows" in run.stderr
    assert pq.read_table(tmp_path / "t.parquet").select(list(WANT)).to_pydict() == WANT
    (tmp_path / "t.parquet").unlink()
    again = cli(shared, "--rebuild", "t.manifest.json", "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["content_hash"] == content_hash(pq.read_table(tmp_path / "t.parquet"))
    for args, code, exit_code in (
        (["--labels", "x.parquet"], "SK102", 2), ([*asked, "--out", "no/t.parquet"], "SK707", 3),
        (["--rebuild", "t.manifest.json", "--statuses"], "SK102", 2),
        ([*asked, "--service", "s", "--out", "t.parquet"], "SK702", 3),
    ):
        refused = cli(shared, *args, cwd=tmp_path)
        assert refused.returncode == exit_code and f"error[{code}]" in refused.stderr and "Traceback" not in refused.stderr


def test_interrupt_leaves_no_file(shared: Project, tmp_path: Path) -> None:
    duckdb.sql(
        "copy (select 'u' as k, 'o0' as o, timestamp '2026-02-01' + interval 1 second * (range % 3000000) as label_timestamp, "
        f"range as n from range(3000000)) to '{tmp_path}/labels.parquet'"
    )
    out = tmp_path / "out"
    out.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "skewless.cli", "training-set", "--labels", f"{tmp_path}/labels.parquet",
         "--out", f"{out}/t.parquet", "--features", "events:a,pairs,more:x", "--project-dir", str(shared.root)],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "SKEWLESS_CLOCK": NOW},
    )
    assert process.stderr
    while "[3/" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in said, said
    assert list(out.iterdir()) == []


def entry(start: int, end: int, r: int) -> LedgerEntry:
    return LedgerEntry(kind="window", r_us=r * DAY_US, window_start_us=start * DAY_US, window_end_us=end * DAY_US)


def test_backfill_commits() -> None:
    """The first load, including the window that reaches the present, and gaps that are filled later; nothing covered before."""
    entries = [entry(5, 10, 50), entry(10, 40, 50), entry(40, 50, 50), entry(49, 51, 51), entry(0, 20, 52), entry(10, 40, 53)]
    found = [tuple(us // DAY_US for us in row) for row in backfills(entries)]
    assert found == [(50, 5, 10), (50, 10, 40), (50, 40, 50), (52, 0, 5)]


def test_shapes() -> None:
    assert shape_of(10, 1_000_000, 10_000_000) == ("wide", False)
    assert shape_of(10, 100_000, 10_000_000) == ("narrow", False)
    assert shape_of(10, 50_000, 10_000_000) == ("narrow", True)
    assert shape_of(10, 10_000, 10_000_000) == ("wide", True)
    assert shape_of(50, 10_000, 10_000_000) == ("narrow", True)


def test_status_columns_of_two_versions() -> None:
    from skewless.registry.model import Selected

    key, feature = JoinKey("k", "int64"), Feature(name="f", type="int64")
    views = [View(name="v", version=n, entity="e", join_keys=(key,), features=(feature,)) for n in (1, 2)]
    selected = tuple(Selected(view=v, feature=v.features[0], name=f"f{v.version}") for v in views)
    assert status_columns(selected) == ["v_v1__status", "v_v2__status"]
    assert view_metadata(views[1])["features"] == [{"name": "f", "type": "BIGINT", "default": None, "ttl_us": None}]

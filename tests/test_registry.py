"""The registry's database and the snapshot in Redis."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from sqlalchemy.dialects import postgresql

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.registry import snapshot, tables
from skewless.registry.database import HEAD, Database, alembic_config
from skewless.registry.jobs import Busy, JobRecords
from skewless.registry.model import Registry, from_json, object_id, to_json
from skewless.registry.plan import diff
from skewless.registry.store import Store
from tests.registries import changed, feature, registries, registry, service, view

ONE = registry(view("carrier_delays"), services=(service("s", "carrier_delays@1:n as m"),))
TWO = changed(ONE, views=(*ONE.views, view("other")))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(root=str(tmp_path), project="shop")


def test_what_is_saved_comes_back(config: Config) -> None:
    store = Store(config)
    assert store.applied() == registry()
    store.save(ONE, expected=registry(), plan_id="p1")
    assert Store(config).applied() == ONE
    assert to_json(from_json(to_json(ONE))) == to_json(ONE)
    store.save(registry(), expected=ONE, plan_id="p2")
    assert store.applied() == registry()
    assert [(e["number"], e["subject"]) for e in store.events()] == [(2, "p2"), (1, "p1")]
    assert store.applied_at_us("p1") and store.applied_at_us("p3") is None


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(registries(), registries())
def test_apply_then_diff_is_empty(tmp_path: Path, first: Registry, second: Registry) -> None:
    store = Store(Config(root=str(tmp_path), project="shop"))
    for wanted in (first, second):
        plan = diff(wanted, store.applied())
        store.save(plan.wanted, expected=plan.applied, plan_id=plan.id)
        assert not diff(wanted, store.applied()).changes


def test_targets_and_projects_are_apart(config: Config) -> None:
    Store(config).save(ONE, expected=registry())
    prod = Store(Config(root=config.root, project="shop", target="prod"))
    other = Store(Config(root=config.root, project="other"))
    assert not prod.applied().views and not other.applied().views
    prod.save(changed(TWO, target="prod"), expected=changed(registry(), target="prod"))
    assert Store(config).applied() == ONE
    assert prod.events()[0]["number"] == 1


def test_nothing_applied_is_said(config: Config) -> None:
    with pytest.raises(SkewlessError, match="SK251") as said:
        Store(config).require_applied()
    assert "skewless plan" in said.value.hint


def test_a_registry_that_changed_meanwhile_is_not_overwritten(config: Config) -> None:
    Store(config).save(ONE, expected=registry())
    with pytest.raises(SkewlessError, match="SK253"):
        Store(config).save(TWO, expected=registry())
    assert Store(config).applied() == ONE and len(Store(config).events()) == 1


def _apply(root: str, number: int, results: multiprocessing.Queue[str]) -> None:
    store = Store(Config(root=root, project="shop"))
    wanted = registry(view("carrier_delays", feature(f"n{number}")))
    try:
        store.save(wanted, expected=registry(), plan_id=str(number))
        results.put(str(number))
    except SkewlessError as error:
        results.put(error.code)


def test_of_several_applies_at_once_one_wins(config: Config) -> None:
    """The first use of an empty folder, too: every process tries to create the schema."""
    fork = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[str] = fork.Queue()
    processes = [fork.Process(target=_apply, args=(config.root, n, results)) for n in range(4)]
    for process in processes:
        process.start()
    answers = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(120)
    assert answers[1:] == ["SK253"] * 3, answers
    assert Store(config).applied().views[0].feature_names == (f"n{answers[0]}",)
    assert len(Store(config).events()) == 1


def test_ids_are_the_same_everywhere(config: Config) -> None:
    assert object_id("shop", "view", "carrier_delays") == "114084cc-9d80-5e94-a616-bd64cada27ab"
    Store(config).save(ONE, expected=registry())
    with sqlite3.connect(config.state / "registry.db") as database:
        rows = dict(database.execute("select name, id from feature_views"))
        feature_ids = dict(database.execute("select name, id from features"))
    assert rows == {"carrier_delays": object_id("shop", "view", "carrier_delays")}
    assert feature_ids == {"n": object_id("shop", "feature", "carrier_delays@1:n")}


def test_migrations_make_the_tables(config: Config) -> None:
    database = Database(config.registry_url)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "skewless_schema"})
        differences = [d for d in compare_metadata(context, tables.metadata) if "skewless_schema" not in str(d)]
        assert differences == []
        assert context.get_current_revision() == HEAD
        assert connection.execute(sa.text("pragma journal_mode")).scalar() == "wal"


def test_the_tables_compile_for_postgresql() -> None:
    for table in tables.metadata.sorted_tables:
        assert "BIGINT" in str(sa.schema.CreateTable(table).compile(dialect=postgresql.dialect())) or table.name in (
            "entities", "features", "feature_services")


def test_a_newer_schema_is_refused(config: Config) -> None:
    Store(config).applied()
    with sqlite3.connect(config.state / "registry.db") as database:
        database.execute("update skewless_schema set version_num = '9999'")
    with pytest.raises(SkewlessError, match="SK255") as said:
        Store(config).applied()
    assert "newer skewless" in said.value.hint


def test_a_file_that_is_no_database_is_refused(config: Config) -> None:
    config.state.mkdir()
    (config.state / "registry.db").write_text("not a database, but long enough to have a header of a hundred bytes" * 4)
    with pytest.raises(SkewlessError, match="SK255"):
        Store(config).applied()


@pytest.mark.parametrize(
    ("url", "words"), [("foo://x", "not a database"), ("no url", "not a database"), ("mysql://h/d", "MySQLdb")]
)
def test_a_database_that_is_not_known_is_refused(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(SkewlessError, match=f"SK255.*{words}"):
        Store(Config(root=str(tmp_path), project="shop", registry=url)).applied()


def test_jobs(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    records = JobRecords(config)
    monkeypatch.setenv("SKEWLESS_CLOCK", "2014-01-01T00:00:00Z")
    first, new = records.submit("materialize", "carrier_delays@1", {"from": "2013-01-01"}, idempotency_key="k", actor="app")
    assert new and first.status == "submitted" and first.actor == "app"
    assert records.submit("materialize", "carrier_delays@1", {"from": "2013-01-01"}, idempotency_key="k") == (first, False)
    with pytest.raises(SkewlessError, match="SK466"):
        records.submit("materialize", "carrier_delays@1", {"from": "2013-01-02"}, idempotency_key="k")
    with pytest.raises(Busy) as busy:
        records.submit("materialize", "carrier_delays@1", {})
    assert busy.value.job_id == first.id
    monkeypatch.setenv("SKEWLESS_CLOCK", "2014-01-01T00:00:01Z")
    second, _ = records.submit("materialize", "route_delays@1", {})
    assert [j.id for j in records.all()] == [second.id, first.id]
    attempt = records.begin(first.id)
    assert attempt and attempt.status == "running" and attempt.attempts == 1
    assert records.tell(attempt, 0.5, "a window") and records.read(first.id).progress == 0.5
    assert records.give_back(attempt) and not records.tell(attempt, 0.6) and not records.finish(attempt, result={})
    again = records.begin(first.id)
    assert again and again.attempts == 2 and not records.tell(attempt, 0.7)
    assert records.finish(again, error=SkewlessError("SK512", "dbt failed"))
    assert records.begin(first.id) is None and not records.finish(again, result={})
    done = records.read(first.id)
    assert (done.status, done.error_code, done.finished_at_us) == ("failed", "SK512", 1388534401_000000)
    assert records.cancel(second.id).status == "cancelled" and records.begin(second.id) is None
    with pytest.raises(SkewlessError, match="SK464"):
        records.cancel(second.id)
    assert records.submit("materialize", "route_delays@1", {})[1]


def test_a_registry_of_the_first_schema_is_brought_up(config: Config) -> None:
    """A job that it holds is kept."""
    database = Database(config.registry_url)
    with database._exclusive() as connection:
        command.upgrade(alembic_config(connection), "0001")
        connection.execute(sa.text(
            "insert into jobs (project, target, id, kind, subject, status, progress, arguments, result, error, submitted_at_us) "
            "values ('shop', 'dev', 'x', 'sync', 'v', 'succeeded', 1, '{}', '{}', '', 1)"))
    kept = JobRecords(config).read("x")
    assert (kept.status, kept.attempts, kept.idempotency_key) == ("complete", 0, None)


def test_training_sets(config: Config) -> None:
    store = Store(config)
    id_ = store.record_dataset("train", output_path="train.parquet", manifest={"rows": 1}, status="pending")
    store.record_dataset("train", output_path="train.parquet", manifest={"rows": 2}, row_count=2, dataset_id=id_)
    assert [(d["id"], d["status"], d["manifest"]) for d in store.datasets()] == [(id_, "complete", {"rows": 2})]


class Shelf:
    """The two commands of a Redis client that a snapshot needs."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def set(self, key: str, value: bytes | str) -> None:
        self.values[key] = value.encode() if isinstance(value, str) else value

    def get(self, key: str) -> bytes | None:
        return self.values.get(key)


@given(registries())
@settings(deadline=None)
def test_a_snapshot_reads_back(one: Registry) -> None:
    shelf = Shelf()
    first = snapshot.publish(shelf, "shop.dev", one)
    assert snapshot.publish(shelf, "shop.dev", one) == first == snapshot.current_id(shelf, "shop.dev")
    assert snapshot.load(shelf, "shop.dev") == one


def test_a_torn_or_absent_snapshot_is_refused() -> None:
    shelf = Shelf()
    with pytest.raises(SkewlessError, match="SK251"):
        snapshot.load(shelf, "shop.dev")
    id_ = snapshot.publish(shelf, "shop.dev", ONE)
    shelf.values[f"shop.dev:snapshot:{id_}"] += b" "
    with pytest.raises(SkewlessError, match="SK250"):
        snapshot.load(shelf, "shop.dev")


def test_serving_needs_neither_sqlalchemy_nor_sqlglot() -> None:
    import subprocess
    import sys

    heavy = ("sqlalchemy", "sqlglot", "dbt", "yaml")
    code = f"import sys, skewless.registry.snapshot; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"

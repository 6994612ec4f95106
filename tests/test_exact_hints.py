"""What `check` proposes for sums over floating point works when it is followed: the SQL is portable then, and the values stay."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

from skewless.project import read_project
from skewless.warehouse.dbt import ensure_manifest
from tests import pit_project
from tests.registry_project import write_project

CALLS = {
    "total": "sum(price)", "mean": "avg(price)", "spread": "stddev(price)", "spread_pop": "stddev_pop(price)",
    "var": "var_samp(price)", "var_all": "var_pop(price)",
}
YAML = """
sources:
  - name: shop
    tables:
      - name: orders
        columns:
          - {name: customer_id, data_type: bigint, data_tests: [not_null]}
          - {name: ordered_at, data_type: timestamp, data_tests: [not_null]}
          - {name: price, data_type: double}
models:
  - name: spending
    config:
      materialized: table
      contract: {enforced: true}
      meta: {skewless: {entities: [{name: customer, join_keys: [customer_id]}], availability_delay: 0s}}
    columns:
      - {name: customer_id, data_type: bigint}
      - {name: event_timestamp, data_type: timestamp}
""" + "".join(f"      - {{name: {name}, data_type: double}}\n" for name in CALLS)


def model(calls: dict[str, str]) -> str:
    items = ",\n".join(f"    {call} as {name}" for name, call in calls.items())
    window = "window w as (partition by customer_id order by ordered_at range between interval 1 day preceding and current row)"
    source = "{{ source('shop', 'orders') }}"
    return f"select\n    customer_id, ordered_at as event_timestamp,\n{items}\nfrom {source}\n{window}\n"


def test_the_hints_work(tmp_path: Path) -> None:
    over = {name: f"{call} over w" for name, call in CALLS.items()}
    config = write_project(tmp_path, {"models.yml": YAML}, {"spending": model(over)})
    (tmp_path / "packages.yml").write_text(f"packages: [{{local: {pit_project.REPO}}}]\n")
    (tmp_path / "dbt_packages").mkdir(exist_ok=True)
    (tmp_path / "dbt_packages" / "skewless").symlink_to(pit_project.REPO)
    manifest = ensure_manifest(config)
    found = [f for f in read_project(config, manifest).findings if f.code == "SK131"]
    assert len(found) == len(CALLS)
    hints = {f.fact.split('"')[1]: re.search(r"{{ (.*?)\) }}", f.hint)[1] for f in found}  # type: ignore[index]
    before = values(manifest)

    (tmp_path / "models" / "spending.sql").write_text(model({n: f"{{{{ {hints[n]}, over='w') }}}}" for n in CALLS}))
    path = tmp_path / "models" / "models.yml"
    path.write_text(YAML.replace("availability_delay: 0s", "availability_delay: 0s, portable: true"))
    manifest = ensure_manifest(config)
    assert [f.render() for f in read_project(config, manifest).findings if f.code != "SK133"] == []
    for old, new in zip(before, values(manifest), strict=True):
        assert new == pytest.approx(old, rel=1e-9, abs=1e-6)


def values(manifest: dict[str, Any]) -> list[tuple[float, ...]]:
    con = duckdb.connect()
    con.execute("attach ':memory:' as dev; use dev; create schema shop").fetchall()
    con.execute(
        "create table shop.orders as select range % 3 as customer_id, timestamp '2026-01-01' + to_hours(5 * range) as ordered_at,"
        " (range * 7 % 13) / 4.0::double as price from range(60)"
    ).fetchall()
    rows = con.sql(manifest["nodes"]["model.shop.spending"]["compiled_code"]).fetchall()
    return [tuple(-1.0 if v is None else v for v in row[2:]) for row in sorted(rows, key=lambda row: row[:2])]

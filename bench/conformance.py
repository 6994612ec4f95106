"""The proof, measured: random views a minute on three engines, and the share of the catalogue that is allowed or rewritten."""

from __future__ import annotations

from collections import Counter

from bench.measure import sample
from bench.report import table
from skewless.conformance.catalogue import KNOWN, cases, run_catalogue
from skewless.conformance.engines import DuckDB, Flink, Postgres
from skewless.conformance.fuzz import fuzz

VIEWS = (192,)
SEED = 1
FACTS = 475
"""Of the 630 constructs, how many agree as they are, after a cast or after a rewrite, by measurement."""


def run(sizes: tuple[int, ...] = VIEWS) -> None:
    """Two tables: the fuzz run of each size, and the catalogue."""
    with DuckDB() as duckdb, Postgres() as postgres, Flink() as flink:
        engines = {"duckdb": duckdb, "postgres": postgres, "flink": flink}
        rows, jvm = [], flink.session.jvm_pid       # its start is not part of the run
        for views in sizes:
            with sample(f"fuzz, {views} views", pids=(jvm,)) as measured:
                report = fuzz(engines, seed=SEED, views=views)
            phases = {name: round(seconds, 1) for name, seconds in report.phases.items()}
            rows.append({
                "what": f"{views} views", "views a minute": report.views_per_minute, "values": report.values,
                "failures": len(report.failures), "accepted": report.accepted, "refused": sum(report.refused.values()),
                "foreign cores": measured.foreign_cores, **{f"{name} s": seconds for name, seconds in phases.items()},
            })
        table("conformance-fuzz", rows)
        found = run_catalogue(engines, cases())
    actions = Counter(one.action for one in found)
    fine = sum(1 for one in found if one.action != "refuse" and not one.wrong)
    table("conformance-catalogue", [{
        "what": "constructs", "all": len(found), "allowed": actions["allow"], "printed otherwise": actions["lower"],
        "rewritten": actions["fix"], "refused": actions["refuse"], "executed and equal": fine, "known to fail": len(KNOWN),
        "share %": 100 * fine / len(found), "facts": FACTS,
    }])

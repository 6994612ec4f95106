"""A failing view made small: first the query, then the rows, then the columns, as long as it fails in the same way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import sqlglot
from sqlglot import exp

from skewless.conformance.case import Case
from skewless.conformance.data import Dataset, dataset
from skewless.conformance.engines import Answer, Engine, Flink
from skewless.conformance.fuzz import Failure, differences, run_ways, texts
from skewless.conformance.table import Table
from skewless.errors import SkewlessError
from skewless.sql.analysis import analyse
from skewless.sql.relations import marker_of
from skewless.sql.value import Relation

BATCH = 24
Change = Callable[[exp.Expr], exp.Expr | None]
SECONDS_MAX = 120.0


class Shrinker:
    """Makes one failing case smaller. `way` is the one that differs from DuckDB."""

    def __init__(self, engines: Mapping[str, Engine], case: Case, way: str, *, seconds: float = SECONDS_MAX) -> None:
        self.engines, self.case, self.way = engines, case, way
        self.deadline = time.monotonic() + seconds
        self.kind = self._kinds(case.data, [case.sql])[0]
        self.what = ""

    def run(self) -> Case:
        """The smallest case found in the time there is; the one given where it does not fail again."""
        if not self.kind:
            return self.case
        self._shrink_query()
        self._shrink_rows()
        self._drop_columns()
        self._shrink_query()
        return replace(self.case, note=f"{self.way}: {self._what()}")

    # -- does it fail? -------------------------------------------------------------------------------------------------------

    def _kinds(self, data: Dataset, queries: Sequence[str]) -> list[str]:
        """How each query fails: the kind of its failure, empty for one that the checker refuses or that does not fail."""
        out = [""] * len(queries)
        printed: list[dict[str, str]] = []
        if self.way.startswith("flink") and getattr(self, "kind", "").startswith("SK801"):
            return [self._planned(data, sql) for sql in queries]
        for n, sql in enumerate(queries):
            try:
                found = analyse(sql, dialect="duckdb", inputs=data.inputs, stream=self.case.streams)
                printed.append({} if found.findings else texts(found))
            except SkewlessError as error:
                printed.append({})
                out[n] = f"printed {error.code}" if self.way == "printed" else ""
        answers = run_ways(self.engines, data, printed, ("model", "duckdb", self.way)) if self.way != "printed" else []
        for n, answer in enumerate(answers):
            out[n] = self._kind(answer) if answer else ""
        return out

    def _planned(self, data: Dataset, sql: str) -> str:
        """The kind of a refusal by Flink's planner, which needs no job."""
        flink = self.engines["flink"]
        assert isinstance(flink, Flink)
        try:
            found = analyse(sql, dialect="duckdb", inputs=data.inputs, stream=self.case.streams)
            if found.findings:
                return ""
            flink.session.explain(flink.define(data.tables), texts(found)["flink"])
        except SkewlessError as error:
            self.what = error.fact
            return f"{error.code} {error.fact[:60]}"
        return ""

    def _kind(self, answers: Mapping[str, Answer]) -> str:
        if self.way not in ("model", "duckdb") and isinstance(answers["model"], SkewlessError):
            return ""       # a query that the warehouse itself refuses is no view
        for way, what in differences(answers):
            if way == self.way or self.way == "duckdb":
                self.what = what
                error = answers[way]
                return f"{error.code} {error.fact[:60]}" if isinstance(error, SkewlessError) else "rows"
        return ""

    def _what(self) -> str:
        self._kinds(self.case.data, [self.case.sql])
        return self.what

    def _late(self) -> bool:
        return time.monotonic() > self.deadline

    # -- the query -----------------------------------------------------------------------------------------------------------

    def _shrink_query(self) -> None:
        while not self._late():
            seen = {self.case.sql}
            tries = [sql for sql in sorted(set(candidates(self.case.sql)), key=len) if sql not in seen]
            better = next((sql for sql in self._failing(tries)), None)
            if better is None:
                return
            self.case = replace(self.case, sql=better)

    def _failing(self, queries: Sequence[str]) -> Iterator[str]:
        for first in range(0, len(queries), BATCH):
            if self._late():
                return
            batch = queries[first: first + BATCH]
            yield from (sql for sql, kind in zip(batch, self._kinds(self.case.data, batch), strict=True) if kind == self.kind)

    # -- the data ------------------------------------------------------------------------------------------------------------

    def _shrink_rows(self) -> None:
        used = _tables(self.case.sql)
        data = self.case.data
        keep = {name: table for name, table in data.tables.items() if name in used}
        self._try(replace(data, tables=keep, inputs={name: data.inputs[name] for name in keep}))
        for name in self.case.data.tables:
            size = max(1, len(self.case.data.tables[name].rows) // 2)
            while size and not self._late():
                size = size if self._drop_rows(name, size) else size // 2

    def _drop_rows(self, name: str, size: int) -> bool:
        """Whether some run of that many rows could go."""
        rows = list(self.case.data.tables[name].rows)
        for first in range(0, len(rows), size):
            if self._late():
                return False
            if self._try(_with_rows(self.case.data, name, rows[:first] + rows[first + size:])):
                return True
        return False

    def _drop_columns(self) -> None:
        words = {c.name.lower() for c in sqlglot.parse_one(self.case.sql, dialect="duckdb").find_all(exp.Column)}
        for name, table in self.case.data.tables.items():
            keep = [c for c in table.columns if c in words or c in ("ts", "arrived_at") or f"={c}" in self.case.sql]
            self._try(_with_columns(self.case.data, name, keep or list(table.columns)[:1]))

    def _try(self, data: Dataset) -> bool:
        if self._kinds(data, [self.case.sql])[0] != self.kind:
            return False
        self.case = replace(self.case, data=data)
        return True


def _with_rows(data: Dataset, name: str, rows: list[tuple[object, ...]]) -> Dataset:
    return replace(data, tables={**data.tables, name: replace(data.tables[name], rows=rows)})


def _with_columns(data: Dataset, name: str, keep: Sequence[str]) -> Dataset:
    table, known = data.tables[name], data.inputs[name]
    places = [n for n, column in enumerate(table.columns) if column in keep]
    rows = [tuple(row[n] for n in places) for row in table.rows]
    columns = {c: kind for c, kind in table.columns.items() if c in keep}
    unique = tuple(key for key in known.unique if key <= {c.lower() for c in keep})
    small: Relation = replace(known, columns=tuple(c for c in known.columns if c.name in keep), unique=unique)
    made: Table = replace(table, columns=columns, rows=rows)
    return replace(data, tables={**data.tables, name: made}, inputs={**data.inputs, name: small})


def _tables(sql: str) -> set[str]:
    return {t.name.lower() for t in sqlglot.parse_one(sql, dialect="duckdb").find_all(exp.Table)}


def candidates(sql: str) -> Iterator[str]:
    """Smaller queries, each with one part less."""
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    for number, node in enumerate(tree.walk()):
        for change in _changes(node) if not _in_macro(node) else ():
            copy = tree.copy()
            twin = next(n for i, n in enumerate(copy.walk()) if i == number)
            made = change(twin)
            root = made if made is not None and twin is copy else copy
            text = root.sql(dialect="duckdb")
            if len(text) < len(sql):
                yield text


def _in_macro(node: exp.Expr) -> bool:
    """Whether a node is part of what a relation macro wrote: a part of it would not be what the macro means."""
    select = node if isinstance(node, exp.Select) else node.find_ancestor(exp.Select)
    while select is not None and marker_of(select) is None:
        select = select.find_ancestor(exp.Select)
    return select is not None


def _changes(node: exp.Expr) -> Iterator[Change]:
    if isinstance(node, exp.Select):
        yield from (_without("expressions", n) for n in range(len(node.expressions)) if len(node.expressions) > 1)
        yield from (_clear(name) for name in ("where", "having", "qualify", "joins", "distinct") if node.args.get(name))
    if isinstance(node, exp.With):
        yield from (_without("expressions", n) for n in range(len(node.expressions)) if len(node.expressions) > 1)
    if isinstance(node, exp.Query) and node.args.get("with_"):
        yield _clear("with_")
    if isinstance(node, exp.SetOperation):
        yield lambda twin: twin.replace(twin.this) or twin.this
    if isinstance(node, exp.CTE) and isinstance(node.this, exp.Select):
        yield from (_from(name) for name in sorted({t.name for t in node.find_all(exp.Table)} - {""}))
    if isinstance(node, exp.Table):
        yield from (_renamed(name) for name in ("ev", "eu") if name != node.name)
    whole = isinstance(node, (exp.Column, exp.Literal, exp.Subquery, exp.DataType))
    branch = isinstance(node, exp.If) and isinstance(node.parent, exp.Case)
    if isinstance(node, exp.Condition) and not whole and not branch:
        children = [c for c in node.iter_expressions() if isinstance(c, exp.Condition) and not isinstance(c, exp.DataType)]
        yield from (_child(n) for n in range(len(children)))
        grandchildren = [g for c in node.iter_expressions() if not isinstance(c, exp.Condition) for g in c.iter_expressions()]
        yield from (_grandchild(n) for n in range(len(grandchildren)) if isinstance(grandchildren[n], exp.Condition))
    if isinstance(node, (exp.Case, exp.Window, exp.Group)):
        for name in ("ifs", "partition_by", "expressions"):
            count = len(node.args.get(name) or ())
            yield from (_without(name, n) for n in range(count) if count > 1 or name == "partition_by")
        yield from (_clear(name) for name in ("default", "spec") if node.args.get(name))


def _without(name: str, number: int) -> Change:
    return lambda twin: twin.set(name, [e for n, e in enumerate(twin.args[name]) if n != number])


def _clear(name: str) -> Change:
    return lambda twin: twin.set(name, None)


def _from(name: str) -> Change:
    return lambda twin: twin.set("this", sqlglot.parse_one(f"select * from {name}", dialect="duckdb"))


def _renamed(name: str) -> Change:
    return lambda twin: twin.set("this", exp.to_identifier(name))


def _child(number: int) -> Change:
    def change(twin: exp.Expr) -> exp.Expr:
        children = [c for c in twin.iter_expressions() if isinstance(c, exp.Condition) and not isinstance(c, exp.DataType)]
        return twin.replace(children[number].copy())
    return change


def _grandchild(number: int) -> Change:
    def change(twin: exp.Expr) -> exp.Expr:
        found = [g for c in twin.iter_expressions() if not isinstance(c, exp.Condition) for g in c.iter_expressions()]
        return twin.replace(found[number].copy())
    return change


def save_failures(
    engines: Mapping[str, Engine], failures: Sequence[Failure], folder: Path, *, most: int = 3, seconds: float = SECONDS_MAX
) -> list[tuple[Path, Case]]:
    """Shrinks the first failures, one a view, and writes each to a file of the folder."""
    out: list[tuple[Path, Case]] = []
    seen: set[tuple[int, int]] = set()
    for failure in failures:
        key = (failure.seed, failure.view.number)
        if key in seen or len(out) == most:
            continue
        seen.add(key)
        case = Case(failure.view.sql, dataset(failure.seed), failure.view.streams, f"{failure.way}: {failure.what}")
        small = Shrinker(engines, case, failure.way, seconds=seconds).run()
        path = folder / f"{failure.view.shape}-{failure.seed}-{failure.view.number}.json"
        small.write(path)
        out.append((path, small))
    return out


def run_cases(engines: Mapping[str, Engine], cases: Sequence[Case]) -> list[list[tuple[str, str]]]:
    """What is wrong with each saved case now, (way, what): empty where every way gives the same rows again."""
    out: list[list[tuple[str, str]]] = []
    for case in cases:
        try:
            found = analyse(case.sql, dialect="duckdb", inputs=case.data.inputs, stream=case.streams)
            if found.findings:
                out.append([("checked", found.findings[0].message)])
                continue
            out.append(list(differences(run_ways(engines, case.data, [texts(found)])[0])))
        except SkewlessError as error:
            out.append([("printed", str(error))])
    return out

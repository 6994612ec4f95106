"""What the fuzz run is made of, without an engine: the grammar, saved cases, smaller queries."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from skewless.conformance.case import Case, read_case
from skewless.conformance.constructs import AGGREGATES, DISTINCT_AGGREGATES, EXPRESSIONS, LITERALS, POSITIONS
from skewless.conformance.data import dataset
from skewless.conformance.expressions import Expressions
from skewless.conformance.grammar import _EVENT, SHAPES, Grammar
from skewless.conformance.shrink import candidates
from skewless.errors import SkewlessError
from skewless.sql.analysis import analyse

DATA = dataset(1)
NEVER = {   # forms that the checker refuses whatever stands in them
    "sum({dbl}){over}": "agg.sum_float", "avg({dbl:leaf}){over}": "agg.sum_float",
    "cast({dbl:leaf} as varchar)": "cast.double_text",
}
TEMPLATES = sorted({
    *(t for kind in EXPRESSIONS for t in EXPRESSIONS[kind]), *AGGREGATES, *DISTINCT_AGGREGATES, *POSITIONS,
})


def accepted(template: str, rng: random.Random) -> bool:
    """Whether the checker takes one filling of a template, after its fixes."""
    grammar = Grammar(rng.randrange(10**6), DATA.inputs)
    window = "(partition by k order by ts)"
    text = Expressions(rng, _EVENT).fill(template, 0, over=f" over {window}", w=window)
    return grammar.accepted("select ", text, " as v from eu", stream=False) is not None


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_template_is_reached(template: str) -> None:
    """A template that the checker always refuses says nothing in a run."""
    if "distinct" in template and template in DISTINCT_AGGREGATES:
        sql = f"select k, {Expressions(random.Random(1), _EVENT).fill(template, 0)} as v from eu group by k"
        assert all(f.fix for f in analyse(sql, dialect="duckdb", inputs=DATA.inputs).findings)
        return
    rng = random.Random(template)
    reached = any(accepted(template, rng) for _ in range(25))
    assert reached is (template not in NEVER)


def test_the_same_seed_gives_the_same_views_and_rows() -> None:
    one, other = (Grammar(3, dataset(3).inputs) for _ in range(2))
    assert [one.view() for _ in range(12)] == [other.view() for _ in range(12)]
    assert {n: t.rows for n, t in dataset(3).tables.items()} == {n: t.rows for n, t in dataset(3).tables.items()}
    assert dataset(3).tables["ev"].rows != dataset(4).tables["ev"].rows


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_made_and_what_is_made_is_accepted(shape: str) -> None:
    grammar = Grammar(5, DATA.inputs, {shape: 1})
    for _ in range(3):
        view = grammar.view()
        assert view.shape == shape and not grammar.analysis(view).findings


def test_tables_hold_what_engines_stumble_over() -> None:
    rows = DATA.tables["ev"].rows
    times = [row[3] for row in rows]
    assert times == sorted(times) and len(set(times)) < len(times), "ties, in order"
    late = DATA.tables["lt"].rows
    arrived = [r[-1] for r in late]
    assert arrived == sorted(arrived) and [r[3] for r in late] != sorted(r[3] for r in late), "in the order of arrival"
    cells = [str(value) for row in rows for value in row]
    assert {"-0.0", "1e+300", "None", str(2**63 - 1), "😀x İI ﬁ"} <= set(cells)
    assert len({(r[1], r[3]) for r in DATA.tables["eu"].rows}) == len(DATA.tables["eu"].rows)


def test_a_saved_case_is_read_back_as_it_was(tmp_path: Path) -> None:
    case = Case("select o from ev", DATA, True, "flink: 1 differences")
    case.write(tmp_path / "case.json")
    again = read_case(tmp_path / "case.json")
    assert (again.sql, again.streams, again.note) == (case.sql, case.streams, case.note)
    for name, table in DATA.tables.items():
        other = again.data.tables[name]
        assert [list(map(repr, row)) for row in other.rows] == [list(map(repr, row)) for row in table.rows]
        assert (other.event_time, other.watermark, other.columns) == (table.event_time, table.watermark, table.columns)
        assert again.data.inputs[name] == DATA.inputs[name]
    again.write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "case.json").read_text()


@pytest.mark.parametrize("text", [None, "no", "{}", '{"tables": {"t": 1}}', "[1]"])
def test_a_file_that_is_no_case_is_told(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SkewlessError, match="case.json") as told:
        read_case(path)
    assert told.value.code == "SK243" and told.value.hint


def test_smaller_queries_are_smaller_and_parse() -> None:
    view = Grammar(8, DATA.inputs, {"over": 1}).view()
    tries = set(candidates(view.sql))
    assert len(tries) > 20
    for sql in tries:
        assert len(sql) < len(view.sql)
        try:
            analyse(sql, dialect="duckdb", inputs=DATA.inputs)
        except SkewlessError as error:
            assert error.code == "SK201", sql


def test_the_literals_stand_for_every_hole() -> None:
    import re

    holes = {h for t in TEMPLATES for h in re.findall(r"\{(\w+)", t)} - {"over", "w"}
    assert holes <= EXPRESSIONS.keys() | LITERALS.keys()

"""Rewrites that are broken on purpose: each is a small patch of a printer, a rewrite or a rule, which a short run must find."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sqlglot import exp

from skewless.conformance.data import Dataset, dataset
from skewless.conformance.engines import Engine
from skewless.conformance.fuzz import WAYS, differences, run_ways, texts
from skewless.conformance.grammar import Grammar, View
from skewless.errors import SkewlessError
from skewless.sql.rules import RULES
from skewless.stream.lower import chains, expressions, outputs, overs, queries, sources, times
from skewless.stream.lower.printer import _HANDLERS, _NOTES

TEXT_WAYS = tuple(way for way in WAYS if way != "flink x2")
Break = Callable[[Any], Any]


@dataclass(frozen=True)
class Mutant:
    """`patches` are (owner, key, what is made of it): `owner[key]` or `owner.key`. `why`: what the rewrite is for.

    `shapes` and `focus` steer the views of a run towards it. `remade`: it changes what the checker accepts, so views are made
    with it; `needs` is a rule or template that they then have.
    """

    name: str
    why: str
    patches: tuple[tuple[Any, Any, Break], ...]
    shapes: Mapping[str, int] = field(default_factory=lambda: {"scalar": 1})
    focus: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    remade: bool = False
    needs: str = ""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the rewrite is broken."""
        before = [_get(owner, key) for owner, key, _ in self.patches]
        for (owner, key, broken), value in zip(self.patches, before, strict=True):
            _put(owner, key, broken(value))
        try:
            yield
        finally:
            for (owner, key, _), value in zip(self.patches, before, strict=True):
                _put(owner, key, value)


def _get(owner: Any, key: Any) -> Any:
    return owner.get(key) if isinstance(owner, dict) else getattr(owner, key)


def _put(owner: Any, key: Any, value: Any) -> None:
    if not isinstance(owner, dict):
        setattr(owner, key, value)
    elif value is None:
        owner.pop(key, None)
    else:
        owner[key] = value


def flink_text(pattern: str, instead: str) -> Break:
    """Replaces a part of what a function prints for Flink: a pattern in its text."""
    return _text("flink", pattern, instead)


def postgres_text(pattern: str, instead: str) -> Break:
    """The same for Postgres."""
    return _text("postgres", pattern, instead)


def _text(engine: str, pattern: str, instead: str) -> Break:
    def change(value: Any) -> Any:
        if isinstance(value, str):
            return type(value)(re.sub(pattern, instead, value, flags=re.DOTALL))
        return (change(value[0]), *value[1:]) if isinstance(value, tuple) else value

    def broken(function: Any) -> Any:
        if isinstance(function, tuple):     # a printer and the arguments that it reads
            return broken(function[0]), function[1]

        def call(p: Any, *args: Any, **kwargs: Any) -> Any:
            made = function(p, *args, **kwargs)
            return change(made) if p.engine == engine else made

        return call

    return broken


def _allowed(rule: Any) -> Any:
    return replace(rule, action="allow")


def _called(name: str) -> Break:
    """A printer that writes a function as it is."""
    return lambda _: (lambda p, node: p.call(name, node.this), frozenset({"this"}) | _NOTES)


OVER = {"over": 1}
MUTANTS: tuple[Mutant, ...] = (
    Mutant("greatest", "Flink gives NULL for any NULL: COALESCE is rotated through the operands",
           ((_HANDLERS, exp.Greatest, flink_text(r"COALESCE\((`[^`]*`\.`[^`]*`|\w+), [^()]*\)", r"\1")),),
           focus={"int": ("greatest({int:leaf}, {int:leaf}, {nat:leaf})",)}),
    Mutant("iso week", "Flink's week starts on Sunday",
           ((times, "truncate", flink_text(r"CAST\(TIMESTAMPADD\(DAY, -MOD.*, FLOOR\((.*) TO DAY\)\) AS TIMESTAMP\(6\)\)$",
                                           r"FLOOR(\1 TO WEEK)")),),
           focus={"ts": ("date_trunc('week', {ts:leaf})",)}),
    Mutant("day of week", "Flink counts Sunday as 1", ((times, "part", flink_text(r"^(EXTRACT\(DOW .*\)) - 1$", r"\1")),),
           focus={"int": ("extract(dow from {ts:leaf})", "dayofweek({date:leaf})")}),
    Mutant("date difference", "Flink counts full units, the others boundaries",
           ((times, "_diff_flink", lambda _: lambda start, end, name: f"TIMESTAMPDIFF({name}, {start}, {end})"),),
           focus={"int": ("date_diff('day', {ts:leaf}, {ts:leaf})", "date_diff('hour', {ts:leaf}, {ts:leaf})")}),
    Mutant("float sum", "a sum of doubles depends on the order of addition", ((RULES, "agg.sum_float", _allowed),), OVER,
           {"agg": ("sum({dbl:leaf}){over}",), "frame": (" range between interval 1 day preceding and current row",)}, True,
           "sum({dbl:leaf}){over}"),
    Mutant("integer average", "Flink's average of integers is an integer",
           ((RULES, "agg.avg", _allowed), (_HANDLERS, exp.Avg, _called("AVG"))), {"group": 1},
           {"agg": ("avg({int:leaf}){over}",)}, True, "avg({int:leaf}){over}"),
    Mutant("decimal beside double", "Flink takes -0.0 for less than a decimal 0",
           ((expressions, "alike", lambda _: lambda p, *nodes: [p.operand(n) for n in nodes]),),
           focus={"bool": ("{dbl:leaf} * cast(0 as double) >= x - x", "{dec:leaf} - w <= d * cast(0 as double)")}),
    Mutant("minus zero in a set", "Flink's planner makes a set of values of comparisons, which holds 0.0 only",
           ((expressions, "_meets_zero", lambda _: lambda p, node, other: False),),
           focus={"bool": ("d = 0 or d is null", "d in (0, 1, 2)", "d <> 0 and d <> 1")}),
    Mutant("wide list", "Flink casts the items of IN to the type of its left side, and wraps them",
           ((_HANDLERS, exp.In, flink_text(r"^CAST\((.*?) AS \w+(\([^)]*\))?\) ((NOT )?IN)", r"\1 \3")),),
           focus={"bool": ("{nat:leaf} in ({int:leaf}, {int:leaf}, big)", "i in (big, {int:leaf})")}),
    Mutant("filter over", "FILTER becomes a CASE without ELSE: with one, COUNT counts every row",
           ((overs, "cased", lambda cased: lambda node: _with_else(cased(node))),), OVER,
           {"agg": ("count(*) filter (where {bool:leaf}){over}",)}),
    Mutant("one window a level", "windows with different frames are not one window",
           ((chains, "_key", lambda _: lambda node: replace(overs.over_of(node), spec=None).key()),), OVER),
    Mutant("frame", "RANGE takes the peers of the current row, ROWS does not",
           ((overs, "_frame", flink_text("^RANGE BETWEEN UNBOUNDED", "ROWS BETWEEN UNBOUNDED")),), OVER,
           {"frame": (" range between unbounded preceding and current row",), "agg": ("count(*){over}", "sum(o){over}")}),
    Mutant("peers", "a frame that ends before the current row leaves out its peers too",
           ((overs, "_peers", lambda _: lambda over, whole: overs._current_row),), OVER,
           {"frame": (" range between interval 1 hour preceding and interval '0.001' second preceding",),
            "agg": ("count(*){over}", "sum({int:leaf}){over}")}),
    Mutant("window offset", "weeks start on Monday by an offset",
           ((sources, "_window_flink", flink_text(r"(TUMBLE\(.*INTERVAL '\d+' \w+), INTERVAL '\d+' \w+\)", r"\1)")),),
           {"window": 1}, {"windows": ("tumble",)}),
    Mutant("session keys", "rows without a key belong to no session",
           ((sources, "_session_rows",
             lambda rows: lambda p, window, source: re.sub(r" WHERE [^()]* IS NOT NULL", "", rows(p, window, source), count=1)),),
           {"window": 1}, {"windows": ("session",)}),
    Mutant("session filter", "Flink's planner moves conditions before the session, which they cut",
           ((queries, "_after_session", lambda _: lambda p, alias, texts: texts),),
           {"window": 1}, {"windows": ("session",), "where": ()}),
    Mutant("as of", "the newest version wins, not the oldest",
           ((sources, "_as_of_rows", postgres_text(" DESC LIMIT 1", " LIMIT 1")),), {"asof": 1}),
    Mutant("text parts", "SPLIT_INDEX gives NULL past the end, the others an empty text",
           ((_HANDLERS, exp.SplitPart, flink_text(r"COALESCE\((SPLIT_INDEX\(.*\)), ''\)", r"\1")),),
           focus={"str": ("split_part({str:leaf}, ',', {few})",)}),
    Mutant("replace all", "Postgres replaces the first match only",
           ((_HANDLERS, exp.RegexpReplace, postgres_text(r", 'g'\)$", ")")),),
           focus={"str": ("regexp_replace({str:leaf}, '[a-c]', '-', 'g')",)}),
    Mutant("output types", "engines give the branches of a CASE their own scale until the output is cast",
           ((outputs, "_cast", lambda cast: lambda p, name, known, type_: (
               p.name(name) if p.postgres and known.is_decimal else cast(p, name, known, type_))),),
           focus={"dec": ("case when {bool:leaf} then {dec:leaf} else {int:leaf} end", "coalesce({dec:leaf}, 0)")}),
)


def _with_else(function: exp.Expr) -> exp.Expr:
    case = function.this
    if isinstance(case, exp.Case) and isinstance(function, exp.Count):
        zero = exp.Literal.number(0)
        zero.meta["value"] = case.meta["value"]
        case.set("default", zero)
    return function


@dataclass
class Hunt:
    """What a run found of one mutant: how many views it changes, how many of those that were run it fails, and the first."""

    mutant: str
    changed: int = 0
    run: int = 0
    failed: int = 0
    first: str = ""


@dataclass
class _Try:
    view: View
    mutant: str
    printed: dict[str, str]


def hunt(
    engines: Mapping[str, Engine], *, seed: int, views: int = 16, each: int = 6, mutants: Sequence[Mutant] = MUTANTS
) -> list[Hunt]:
    """A short run for each mutant: of that many random views, up to `each` whose text it changes are executed."""
    data = dataset(seed)
    found, tries = {m.name: Hunt(m.name) for m in mutants}, []
    for mutant in mutants:
        changed = list(_remade(mutant, data, views) if mutant.remade else _changed(mutant, data, views))
        found[mutant.name].changed = len(changed)
        tries += changed[:each]
    for one, answers in zip(tries, run_ways(engines, data, [t.printed for t in tries], TEXT_WAYS), strict=True):
        known, wrong = found[one.mutant], list(differences(answers))
        known.run += 1
        known.failed += bool(wrong)
        known.first = known.first or (f"{wrong[0][0]}: {wrong[0][1]}" if wrong else "")
    return list(found.values())


def _changed(mutant: Mutant, data: Dataset, views: int) -> Iterator[_Try]:
    """The views that a mutant prints otherwise, with the text of those engines; DuckDB's stands under `model`."""
    grammar = Grammar(data.seed, data.inputs, mutant.shapes, mutant.focus)
    for view in (grammar.view() for _ in range(views)):
        analysis = grammar.analysis(view)
        before = texts(analysis)
        try:
            with mutant.applied():
                after = texts(analysis)
        except SkewlessError:
            continue
        ways = {way: after[way] for way in ("postgres", "flink") if after[way] != before[way]}
        if after["duckdb"] != before["duckdb"]:
            ways["model"] = after["duckdb"]
        if ways:
            yield _Try(view, mutant.name, {"duckdb": before["duckdb"], **ways})


def _remade(mutant: Mutant, data: Dataset, views: int) -> Iterator[_Try]:
    """Views made with the mutant: those that have what it needs."""
    with mutant.applied():
        grammar = Grammar(data.seed, data.inputs, mutant.shapes, mutant.focus)
        for view in (grammar.view() for _ in range(views)):
            if mutant.needs in (*view.used, *view.fixed):
                try:
                    printed = texts(grammar.analysis(view))
                except SkewlessError:     # it lets more through than can be printed
                    continue
                yield _Try(view, mutant.name, {way: printed[way] for way in TEXT_WAYS})

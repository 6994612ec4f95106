"""Random feature views as DuckDB's SQL: whole queries that the checker accepts, with what it made of those that it did not."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from skewless.conformance.constructs import AGGREGATES, DISTINCT_AGGREGATES, EXACT, POSITIONS, SPANS
from skewless.conformance.data import COUNTS
from skewless.conformance.expressions import Expressions
from skewless.conformance.macro_text import call
from skewless.errors import SkewlessError
from skewless.sql.analysis import Analysis, analyse
from skewless.sql.value import Relation

SHAPES = {"scalar": 4, "over": 5, "window": 5, "group": 2, "asof": 2, "interval": 1, "cascade": 1, "distinct": 1}
"""Kinds of views and how often each is made."""
FIX_ROUNDS = 8
_EVENT = {
    "int": ("i", "n", "g", "l", "big", "o"), "nat": ("g",), "dec": ("x", "w"), "dbl": ("d",), "ext": ("h",), "str": ("s", "k"),
    "uni": ("u",), "bool": ("b",), "date": ("dt",), "old": ("old",), "ts": ("seen", "ts"),
}
_TUMBLES = (
    ("1 second", None), ("10 minutes", None), ("1 hour", None), ("90 minutes", None), ("7 hours", None), ("1 day", None),
    ("7 days", "4 days"), ("7 days", None), ("1 hour", "15 minutes"),
)
_HOPS = (("1 hour", "15 minutes"), ("1 day", "1 hour"), ("10 minutes", "1 minute"), ("2 days", "1 day"), ("1 hour", "1 hour"))
_CUMULATES = (("1 day", "1 hour"), ("6 hours", "1 hour"), ("1 hour", "10 minutes"))
_GAPS = ("30 minutes", "10 minutes", "1 second", "2 hours")
_KEYS = (("k",), ("g",), ("k", "g"), ("b",), ())


@dataclass(frozen=True)
class View:
    """A generated view: SQL that the checker accepts. `used`: the templates in it, `fixed`: the rules that rewrote it."""

    number: int
    shape: str
    sql: str
    used: tuple[str, ...]
    fixed: tuple[str, ...]

    @property
    def streams(self) -> bool:
        """Whether its rows are only ever appended."""
        return self.shape not in ("group", "distinct")


@dataclass
class Source:
    """What a query reads: WITH clauses, one relation, its columns by kind, its event time (None: lost in a join)."""

    relation: str
    columns: Mapping[str, tuple[str, ...]]
    ctes: tuple[str, ...] = ()
    time: str | None = "ts"
    unique: bool = False

    def head(self) -> str:
        return f"with {', '.join(self.ctes)} " if self.ctes else ""


@dataclass
class Counts:
    """How often the checker refused a part of a query (rule -> times), and how many it accepted."""

    refused: Counter[str] = field(default_factory=Counter)
    accepted: int = 0


class Grammar:
    """Makes views over the relations of a dataset. The same seed gives the same views."""

    def __init__(
        self, seed: int, inputs: Mapping[str, Relation], shapes: Mapping[str, int] | None = None,
        focus: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.rng = random.Random(f"grammar {seed}")
        self.inputs = inputs
        self.shapes = dict(shapes or SHAPES)
        self.focus = dict(focus or {})
        self.counts = Counts()
        self._number = 0
        self._names = 0
        self._used: list[str] = []
        self._fixed: list[str] = []

    # -- the checker ---------------------------------------------------------------------------------------------------------

    def accepted(self, head: str, text: str, tail: str, stream: bool = True) -> str | None:
        """A part of a query, written out as the checker's findings propose, or None where it is refused."""
        rules: list[str] = []
        for _ in range(FIX_ROUNDS):
            sql = head + text + tail
            try:
                findings = analyse(sql, dialect="duckdb", inputs=self.inputs, stream=stream).findings
            except SkewlessError as error:
                raise AssertionError(f"{error}: {sql}") from error
            if not findings:
                self.counts.accepted += 1
                self._fixed += rules
                return text
            inside = range(len(head), len(sql) - len(tail) + 1)
            hopeless = next((f for f in findings if f.fix is None or f.start not in inside or f.end not in inside), None)
            if hopeless is not None:
                self.counts.refused[hopeless.rule.id] += 1
                return None
            last = max(findings, key=lambda f: f.start)   # from the end, so that the places of the others stay
            assert last.end is not None and last.fix is not None
            rules.append(last.rule.id)
            sql = sql[: last.start] + last.fix + sql[last.end:]
            text = sql[len(head): len(sql) - len(tail)]
        self.counts.refused["(fixes without an end)"] += 1
        return None

    def analysis(self, view: View) -> Analysis:
        """What the checker says of a view."""
        return analyse(view.sql, dialect="duckdb", inputs=self.inputs, stream=view.streams)

    # -- views ---------------------------------------------------------------------------------------------------------------

    def view(self) -> View:
        """The next view."""
        while True:
            self._used, self._fixed, self._names = [], [], 0
            shape = self.rng.choices(list(self.shapes), list(self.shapes.values()))[0]
            sql = getattr(self, f"_{shape}")()
            if sql is None:
                continue
            self._number += 1
            view = View(self._number, shape, sql, tuple(self._used), tuple(self._fixed))
            if not self.analysis(view).findings:
                return view
            self.counts.refused[self.analysis(view).findings[0].rule.id] += 1

    def _scalar(self) -> str | None:
        source = self._source(timed=False)
        columns = self._columns(source, lambda e: e.of("any", self.rng.choice((1, 2, 3))), self.rng.randrange(2, 8))
        where = self._condition(source)
        return f"{source.head()}select o, {', '.join(columns)} from {source.relation}{where}" if columns else None

    def _over(self) -> str | None:
        source = self._source()
        columns = self._columns(source, lambda e: self._windowed(e, source), self.rng.randrange(1, 7))
        if not columns:
            return None
        where = self._condition(source) if self.rng.random() < 0.5 else ""
        qualify = ""
        if source.unique and self.rng.random() < 0.3:
            qualify = f" qualify row_number() over (partition by k order by {source.time}) <= {self.rng.randrange(1, 4)}"
        inner = f"{source.head()}select o, k, {source.time} as at, {', '.join(columns)} from {source.relation}{where}{qualify}"
        if self.rng.random() < 0.3:
            return f"select * from ({inner}) as outer_query where c1 is not null"
        return inner

    def _window(self) -> str | None:
        source = self._source()
        relation = self._windows(source)
        keys = self.rng.choice((("k",), ("k", "g"), ("g",)))
        if "session" in relation:
            keys = ("k",)
        if self.rng.random() < 0.25:      # conditions one query further in
            relation = f"(select * from {relation}{self._condition(Source(relation, _EVENT))}) as z"
        return self._grouped(source, relation, keys, ("window_start", "window_end"), stream=True)

    def _group(self) -> str | None:
        source = self._source(timed=False)
        if self.rng.random() < 0.3:
            key = self._expressions(source).of(self.rng.choice(("int", "bool", "date", "str")), 1)
            made = self._checked(source, key, stream=False)
            return made and self._grouped(source, source.relation, (made,), (), stream=False)
        keys = self.rng.choice(_KEYS[:-1])
        return self._grouped(source, source.relation, keys, (), stream=False, sets=self.rng.random() < 0.15)

    def _grouped(
        self, source: Source, relation: str, keys: tuple[str, ...], edges: tuple[str, ...], *, stream: bool,
        sets: bool = False,
    ) -> str | None:
        group = f" group by {', '.join((*keys, *edges))}"
        if sets:
            group = f" group by grouping sets (({', '.join(keys)}), (dt))"
        named = [f"{key} as k{n}" for n, key in enumerate(keys, 1)]
        head, tail = f"{source.head()}select {', '.join((*named, *edges))}, ", f" from {relation}{group}"
        columns: list[str] = []
        for _ in range(self.rng.randrange(1, 7)):
            expressions = self._expressions(source)
            text = self._checked(source, self._aggregate(expressions, distinct=True), stream, head, tail)
            if text is not None:
                self._used += expressions.used
                columns.append(f"{text} as c{len(columns) + 1}")
        if not columns:
            return None
        where = self._condition(source) if self.rng.random() < 0.4 else ""
        having = f" having count(*) > {self.rng.randrange(3)}" if self.rng.random() < 0.2 else ""
        return f"{head}{', '.join(columns)} from {relation}{where}{group}{having}"

    def _cascade(self) -> str | None:
        """Windows of event time, then OVER by the end of the window."""
        source = self._source()
        inner = self._grouped(source, self._windows(source, ("tumble", "hop")), ("k",), ("window_end",), stream=True)
        if inner is None:
            return None
        span = self.rng.choice(("3 hour", "1 day", "7 day"))
        over = f"partition by k1 order by window_end range between interval {span} preceding and current row"
        with_ = f"with h as ({inner}) "
        columns: list[str] = []
        for text in (f"count(*) over ({over})", f"min(c1) over ({over})", f"sum(c1) over ({over})", f"count(c1) over ({over})"):
            made = self.accepted(with_ + "select ", text, " as v from h")
            if made is not None:
                columns.append(f"{made} as v{len(columns) + 1}")
        return f"{with_}select k1, window_end, {', '.join(columns)} from h" if columns else None

    def _asof(self) -> str | None:
        source = self._source()
        if not source.relation.isidentifier():
            return None
        inner = self.rng.random() < 0.4
        names = {"tier": "tier", "v": "v", "rate": "rate"}
        if self.rng.random() < 0.5:
            relation = call("duckdb", "as_of_join", source.relation, "dm", ["k"], "ts", names, inner=inner) + " as j"
        else:
            lead = "asof join" if inner else "asof left join"
            picked = f"select e.*, d.tier as tier, d.v as v, d.rate as rate from {source.relation} as e {lead} dm as d"
            relation = f"({picked} on e.k = d.k and e.ts >= d.ts) as j"
        texts, whole = (*source.columns["str"], "tier"), ("v", *source.columns["int"])
        added = {**source.columns, "str": texts, "int": whole, "dec": ("rate", "x")}
        joined = Source(relation, added, source.ctes, source.time, source.unique)
        if self.rng.random() < 0.4:
            columns = self._columns(joined, lambda e: e.of("any", 2), 4)
        else:
            columns = self._columns(joined, lambda e: self._windowed(e, joined), 4)
        return f"{joined.head()}select o, tier, {', '.join(columns)} from {relation}" if columns else None

    def _interval(self) -> str | None:
        span = self.rng.choice(("10 minute", "1 hour", "'90' second", "1 day"))
        side = self.rng.choice(("join", "left join"))
        low, high = (f"a.ts - interval {span}", "a.ts") if self.rng.random() < 0.7 else ("a.ts", f"a.ts + interval {span}")
        bounds = f"c.ts between {low} and {high}" if self.rng.random() < 0.7 else f"c.ts >= {low} and c.ts <= {high}"
        right = self.rng.choice(("eu", "ev", "(select * from ev where b)"))
        key = self.rng.choice(("a.k = c.k", "a.k = c.k", "a.k = c.k and a.d = c.d", "a.g = c.g and a.x = c.x", "a.d = c.x"))
        lead = f"{self.rng.choice(('ev', 'eu'))} as a {side} {right} as c on "
        condition = self.accepted(f"select a.o, c.o as o2 from {lead}", key, f" and {bounds}")
        if condition is None:
            return None
        relation = f"{lead}{condition} and {bounds}"
        columns = {kind: tuple(f"{t}.{name}" for name in names for t in "ac") for kind, names in _EVENT.items()}
        columns = {**columns, "nat": ("a.g",)}
        source = Source(relation, columns, time="a.ts")
        made = self._columns(source, lambda e: e.of("any", 2), 4)
        return f"select a.o, c.o as o2, {', '.join(made)} from {relation}{self._condition(source)}" if made else None

    def _distinct(self) -> str | None:
        source = self._source()
        windowed = self.rng.random() < 0.4
        columns = self._columns(source, lambda e: self._windowed(e, source) if windowed else e.of("any", 2), 3, stream=False)
        return f"{source.head()}select distinct k, {', '.join(columns)} from {source.relation}" if columns else None

    # -- parts ---------------------------------------------------------------------------------------------------------------

    def _expressions(self, source: Source) -> Expressions:
        return Expressions(self.rng, source.columns, self.focus)

    def _checked(
        self, source: Source, text: str, stream: bool = True, head: str = "", tail: str = ""
    ) -> str | None:
        head = head or f"{source.head()}select "
        return self.accepted(head, text, (" as v" + tail) if tail else f" as v from {source.relation}", stream)

    def _columns(self, source: Source, make: Callable[[Expressions], str], number: int, stream: bool = True) -> list[str]:
        out: list[str] = []
        for _ in range(number):
            for _ in range(3):
                expressions = self._expressions(source)
                text = self._checked(source, make(expressions), stream)
                if text is not None:
                    self._used += expressions.used
                    out.append(f"{text} as c{len(out) + 1}")
                    break
        return out

    def _condition(self, source: Source) -> str:
        if "where" not in self.focus and self.rng.random() < 0.5:
            return ""
        text = self._expressions(source).of("bool", 0 if "where" in self.focus else 2)
        made = self.accepted(f"{source.head()}select 1 as one from {source.relation} where (", text, ")")
        return f" where ({made})" if made is not None else ""

    def _source(self, timed: bool = True) -> Source:
        """A relation with the columns of an event table, and sometimes columns computed in a WITH."""
        rng = self.rng
        base = rng.choices(("ev", "eu", "lt", "none"), (5, 4, 3, 0.3))[0]
        source = Source(base, _EVENT, unique=base == "eu")
        if base == "lt":
            source = Source("counted", _EVENT, (f"counted as (select * from lt where {COUNTS})",))
        roll = rng.random()
        if roll < 0.2:
            return self._derived(source)
        if roll < 0.27:
            other = rng.choice(("ev", "eu"))
            both = f"both_rows as (select {_LIST} from {source.relation} union all select {_LIST} from {other})"
            return Source("both_rows", _EVENT, (*source.ctes, both))
        if roll < 0.33 and not timed:
            relation = f"(select e.*, s.f as f, s.label as label from {source.relation} as e join st as s on e.k = s.k) as joined"
            columns = {**_EVENT, "int": ("f", *_EVENT["int"]), "uni": ("label", "u")}
            return Source(relation, columns, source.ctes, None)
        if roll < 0.38:
            where = self._condition(source)
            if where:
                kept = f"kept as (select * from {source.relation}{where})"
                return Source("kept", _EVENT, (*source.ctes, kept), unique=source.unique)
        if roll < 0.42 and not timed:
            exists = f"kept as (select * from {source.relation} as e where exists (select 1 from st where st.k = e.k))"
            return Source("kept", _EVENT, (*source.ctes, exists), None)
        return source

    def _derived(self, source: Source) -> Source:
        """Columns computed in a WITH, one of them perhaps over a window."""
        kinds = self.rng.sample(("int", "dec", "dbl", "str", "bool"), 2)
        made, columns = [], dict(source.columns)
        for n, kind in enumerate(kinds, 1):
            expressions = self._expressions(source)
            text = self._checked(source, expressions.of(kind, 2))
            if text is not None:
                made.append(f"{text} as e{n}")
                columns[kind] = (f"e{n}", f"e{n}", *columns[kind])
        if self.rng.random() < 0.3:
            text = self._checked(source, self._windowed(self._expressions(source), source, "count(*){over}"))
            if text is not None:
                made.append(f"{text} as e9")
                columns["int"] = ("e9", *columns["int"])
        if not made:
            return source
        cte = f"derived as (select *, {', '.join(made)} from {source.relation})"
        return Source("derived", columns, (*source.ctes, cte), source.time, source.unique)

    def _windows(self, source: Source, kinds: tuple[str, ...] = ("tumble", "hop", "cumulate", "session")) -> str:
        pick, relation = self.rng.choice, source.relation
        kind = pick([k for k in kinds if k in self.focus.get("windows", kinds)] or kinds)
        if not relation.isidentifier():
            relation = f"(select * from {relation})"
        if kind == "tumble":
            size, offset = pick(_TUMBLES)
            text = call("duckdb", "tumble", relation, source.time, size, offset)
        elif kind == "hop":
            size, slide = pick(_HOPS)
            text = call("duckdb", "hop", relation, source.time, size, slide)
        elif kind == "cumulate":
            size, step = pick(_CUMULATES)
            text = call("duckdb", "cumulate", relation, source.time, size, step)
        else:
            text = call("duckdb", "session", relation, source.time, pick(_GAPS), ["k"])
        return text + " as w"

    def _windowed(self, e: Expressions, source: Source, template: str = "") -> str:
        """An expression with a window function, or sometimes the ratio of two."""
        if source.unique and not template and self.rng.random() < 0.3:
            return e.fill(self.rng.choice(POSITIONS), 1, w=f"({self._partition(e)}order by {source.time})")
        over = f" over ({self._partition(e)}order by {source.time}{self._frame(source)})"
        if template:
            return e.fill(template, 1, over=over)
        return self._aggregate(e, over=over)

    def _partition(self, e: Expressions) -> str:
        keys = self.rng.choice((*_KEYS, ("k",), ("k",)))
        if self.rng.random() < 0.1:
            keys = (e.of(self.rng.choice(("int", "str", "bool")), 1),)
        return f"partition by {', '.join(keys)} " if keys else ""

    def _frame(self, source: Source) -> str:
        roll, rng = self.rng.random(), self.rng
        if "frame" in self.focus:
            return rng.choice(self.focus["frame"])
        if source.unique and roll < 0.3:
            return rng.choice((
                f" rows between {rng.randrange(1, 5)} preceding and current row",
                " rows between unbounded preceding and current row",
                f" rows between {rng.randrange(2, 5)} preceding and 1 preceding",
            ))
        if roll < 0.1:
            return ""
        if roll < 0.2:
            return " range between unbounded preceding and current row"
        end = "interval '0.001' second preceding" if roll < 0.28 else "current row"
        return f" range between interval {rng.choice(SPANS)} preceding and {end}"

    def _aggregate(self, e: Expressions, over: str = "", distinct: bool = False) -> str:
        roll, depth = self.rng.random(), self.rng.choice((0, 1, 2))
        if "agg" in self.focus and roll < 0.7:
            return e.fill(self.rng.choice(self.focus["agg"]), depth, over=over)
        if roll < 0.1:
            depth = min(depth, 1)
            name, kind, more = self.rng.choice(EXACT)
            e.used.append(f"@{name}({kind})")
            where = e.of("bool", 1) if self.rng.random() < 0.3 else None
            return call("duckdb", name, e.of(kind, depth), *more, over=over.removeprefix(" over ") or None, where=where)
        if distinct and roll < 0.25:
            return e.fill(self.rng.choice(DISTINCT_AGGREGATES), depth)
        return e.fill(self.rng.choice(AGGREGATES), depth, over=over)


_LIST = "o, k, g, ts, i, n, l, big, x, w, d, h, s, u, b, dt, old, seen"

"""Relation macros: how tumble, hop, cumulate, session and as_of_join are recognised in compiled SQL, and what rows they yield.

A macro expands to a SELECT in parentheses whose WHERE holds a marker: the constant condition `'skw:hop;time=ts;…' <> ''`. What
else stands inside is the warehouse's way to compute it; the analysis and the printers of other engines read the marker only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlglot import exp

from skewless.sql.value import TIMESTAMP, Column, Relation, Value

PREFIX = "skw:"
SIZES = {   # kind -> parameters beside `time`; all in milliseconds
    "tumble": ("size_ms",), "hop": ("slide_ms", "size_ms"), "cumulate": ("step_ms", "size_ms"), "session": ("gap_ms",),
}


@dataclass(frozen=True)
class WindowRelation:
    """A windowed relation: each row of `input` with the window_start and window_end of every window that it is in."""

    kind: str
    time: str
    input: exp.Expr
    size_ms: int = 0
    slide_ms: int = 0
    step_ms: int = 0
    gap_ms: int = 0
    offset_ms: int = 0
    keys: tuple[str, ...] = ()

    def __deepcopy__(self, memo: dict[int, object]) -> WindowRelation:
        return self


@dataclass(frozen=True)
class AsOfJoin:
    """Each row of the left side with the newest row of the right side, by key, that is not later.

    `left` is None for a native ASOF JOIN, whose left side is what stands before it. `columns` are (name, name in the output).
    """

    left: exp.Expr | None
    right: exp.Expr
    keys: tuple[tuple[str, str], ...]
    left_time: str
    right_time: str
    outer: bool
    columns: tuple[tuple[str, str], ...] = ()

    def __deepcopy__(self, memo: dict[int, object]) -> AsOfJoin:
        return self


def marker_of(select: exp.Expr) -> str | None:
    """The marker of a SELECT, None for one that no macro wrote."""
    where = select.args.get("where") if isinstance(select, exp.Select) else None
    for condition in _conditions(where.this) if where is not None else ():
        if isinstance(condition, exp.NEQ) and isinstance(condition.this, exp.Literal) and condition.this.name.startswith(PREFIX):
            return str(condition.this.name)
    return None


def _conditions(node: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(node, exp.And):
        yield from _conditions(node.left)
        yield from _conditions(node.right)
    else:
        yield node.unnest()


def read_marker(select: exp.Select, marker: str) -> WindowRelation | AsOfJoin | None:
    """What a marker says, None for one that is malformed or whose inputs are absent."""
    kind, *parts = marker.removeprefix(PREFIX).split(";")
    options = dict(part.split("=", 1) for part in parts if "=" in part)
    try:
        return _as_of(select, options) if kind == "as_of_join" else _window(select, kind, options)
    except (KeyError, ValueError):
        return None


def _window(select: exp.Select, kind: str, options: dict[str, str]) -> WindowRelation | None:
    source = _aliased(select, "skw_in")
    if source is None or kind not in SIZES:
        return None
    sizes = {name: int(options[name]) for name in SIZES[kind]}
    keys = tuple(k for k in options.get("keys", "").split(",") if k)
    return WindowRelation(kind, options["time"], source, offset_ms=int(options.get("offset_ms", 0)), keys=keys, **sizes)


def _as_of(select: exp.Select, options: dict[str, str]) -> AsOfJoin | None:
    left, right = _aliased(select, "skw_left"), _aliased(select, "skw_right_in") or _aliased(select, "skw_right")
    if left is None or right is None:
        return None
    return AsOfJoin(left, right, _pairs(options["keys"]), options["left_time"], options["right_time"],
                    options.get("join", "left") == "left", _pairs(options["columns"]))


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((a, b or a) for a, _, b in (item.partition(":") for item in text.split(",") if item))


def _aliased(select: exp.Select, alias: str) -> exp.Expr | None:
    for node in select.find_all(exp.Table, exp.Subquery):
        if node.alias.lower() == alias:
            return node
    return None


def windowed(window: WindowRelation, source: Relation) -> Relation:
    """The rows of a windowed relation: the input's columns, window_start, window_end. The time is an event time no longer."""
    columns = [
        Column(c.name, replace(c.value, event_time=False))
        for c in source.columns
        if c.name.lower() not in ("window_start", "window_end")
    ]
    edge = Value(TIMESTAMP, nullable=False, event_time=True, cut=True)
    return Relation(
        (*columns, Column("window_start", edge), Column("window_end", edge)), (), False, source.rows, open=source.open
    )


def fault_of(window: WindowRelation, source: Relation) -> tuple[str, dict[str, str]] | None:
    """The rule that a window breaks and the names of its message, None for a window that is fine."""
    time = source.column(window.time)
    if time is None:
        return None if source.open else ("window.time", {"name": window.time, "why": "does not exist"})
    declared = any(c.value.event_time for c in source.columns)
    if time.value.known and time.value.type != TIMESTAMP:
        return "window.time", {"name": window.time, "why": f"is a {time.value.type}"}
    if (declared or source.mixed) and not time.value.event_time:
        return "window.time", {"name": window.time, "why": "is not the event time of its relation"}
    if time.value.nullable:
        return "window.time", {"name": window.time, "why": "may be NULL"}
    part = window.slide_ms or window.step_ms
    if min(window.size_ms or window.gap_ms, part or 1) <= 0 or part and window.size_ms % part:
        return "window.size", {"kind": window.kind}
    if window.kind == "session" and source.paced:
        return "window.session", {}
    floats = [c.name for k in window.keys if (c := source.column(k)) is not None and c.value.is_float]
    if floats:
        return "key.float", {"name": floats[0]}
    missing = [k for k in window.keys if source.column(k) is None and not source.open]
    return ("window.time", {"name": missing[0], "why": "does not exist"}) if missing else None


def joined(join: AsOfJoin, left: Relation, right: Relation) -> Relation:
    """The rows of an as-of join: the left side's, as many and as unique, with columns of the right side."""
    added = []
    for name, output in join.columns:
        column = right.column(name)
        if column is not None:
            value = replace(column.value, event_time=False, cut=False, nullable=column.value.nullable or join.outer)
            added.append(Column(output, value))
    return replace(left, columns=(*left.columns, *added), static=False, paced=True)

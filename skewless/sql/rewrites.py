"""The explicit form of what a rule of action `fix` met: rule.fix -> the expression to write instead.

The form gives the value that the warehouse gave before, except at the points that a rule's fact names (ties of rounding).
"""

from __future__ import annotations

from collections.abc import Callable

import sqlglot
from sqlglot import exp

from skewless.sql.inference import number
from skewless.sql.value import BOOL, INT32, INT_BITS, STRING, UNKNOWN_VALUE, Value
from skewless.types import Type

Rewrite = Callable[[exp.Expr, str], exp.Expr | None]
REWRITES: dict[str, Rewrite] = {}
_WRAPPERS = (exp.Filter, exp.Window, exp.IgnoreNulls, exp.RespectNulls)
_WHOLE_CALL = {"avg_exact", "bool_case", "variance_exact"}


def rewrites(name: str) -> Callable[[Rewrite], Rewrite]:
    """Registers the rewrite of that name."""

    def register(function: Rewrite) -> Rewrite:
        REWRITES[name] = function
        return function

    return register


def rewrite(name: str, node: exp.Expr, dialect: str) -> tuple[exp.Expr, exp.Expr] | None:
    """(the node to replace, what to put there), None where there is no form. The node may be the call with FILTER, OVER."""
    target = node
    if name in _WHOLE_CALL:
        while isinstance(target.parent, _WRAPPERS) and target.parent.this is target:
            target = target.parent
    replacement = REWRITES[name](node, dialect)
    return None if replacement is None else (target, replacement)


def form(template: str, **parts: exp.Expr | str) -> exp.Expr:
    """A template in DuckDB's dialect with `_x_` in place of parts; operands that need parentheses get them."""
    tree = sqlglot.parse_one(template, dialect="duckdb")
    for column in list(tree.find_all(exp.Column)):
        part = parts.get(column.name.strip("_")) if column.name.startswith("_") else None
        if part is None:
            continue
        node = sqlglot.parse_one(part, dialect="duckdb") if isinstance(part, str) else part.copy()
        inside = column.parent is not None and isinstance(column.parent, (exp.Binary, exp.Unary, exp.Is, exp.In, exp.Between))
        node = exp.paren(node, copy=False) if inside and isinstance(node, (exp.Binary, exp.Unary, exp.Case)) else node
        if column is tree:
            return node
        column.replace(node)
    return tree


def value_of(node: exp.Expr) -> Value:
    """What the analysis knew of a node."""
    known = node.meta.get("value")
    return known if isinstance(known, Value) else UNKNOWN_VALUE


def _sql_type(type_: Type) -> str:
    return "SMALLINT" if type_.name == "int16" else type_.world("duckdb")


def _over(node: exp.Expr, call: exp.Expr) -> exp.Expr:
    """A call with the FILTER and OVER that stand around a node."""
    wrapper = node
    while isinstance(wrapper.parent, _WRAPPERS) and wrapper.parent.this is wrapper:
        wrapper = wrapper.parent
        shell = wrapper.copy()
        shell.set("this", call)
        call = shell
    return call


@rewrites("widen")
def _widen(node: exp.Expr, dialect: str) -> exp.Expr:
    wide = node.meta.get("wide") or Type("int64")
    copy = node.copy()
    for name in ("this", "expression"):
        side = node.args.get(name)
        if isinstance(side, exp.Expr) and (not isinstance(side, exp.Literal) or not isinstance(node, exp.Binary)):
            copy.set(name, form(f"CAST(_x_ AS {_sql_type(wide)})", x=side.unnest()))
    if isinstance(node, exp.Binary) and all(isinstance(s.unnest(), exp.Literal) for s in (node.left, node.right)):
        copy.set("this", form(f"CAST(_x_ AS {_sql_type(wide)})", x=node.left))
    return copy


@rewrites("widen_product")
def _widen_product(node: exp.Expr, dialect: str) -> exp.Expr:
    type_ = value_of(node.this).type
    scale = type_.scale if type_.name == "decimal" else 0
    copy = node.copy()
    copy.set("this", form(f"CAST(_x_ AS DECIMAL(19, {scale}))", x=node.this.unnest()))
    return copy


@rewrites("divide_double")
def _divide_double(node: exp.Expr, dialect: str) -> exp.Expr:
    guarded = isinstance(node.expression.unnest(), exp.Nullif) or value_of(node.expression).never_zero()
    divisor = "CAST(_y_ AS DOUBLE)" if guarded else "NULLIF(CAST(_y_ AS DOUBLE), 0)"
    sides = {"x": node.this.unnest(), "y": node.expression.unnest()}
    return form(f"CAST(_x_ AS DOUBLE) / {divisor}", **sides)


@rewrites("guard_divisor")
def _guard_divisor(node: exp.Expr, dialect: str) -> exp.Expr:
    copy = node.copy()
    copy.set("expression", form("NULLIF(_y_, 0)", y=node.expression.unnest()))
    return copy


@rewrites("mod_double")
def _mod_double(node: exp.Expr, dialect: str) -> exp.Expr:
    x, y = node.this, node.expression
    text = "_x_ - _y_ * CASE WHEN _x_ / NULLIF(_y_, 0) < 0 THEN CEIL(_x_ / NULLIF(_y_, 0)) ELSE FLOOR(_x_ / NULLIF(_y_, 0)) END"
    return form(text, x=x, y=y)


@rewrites("typed_literal")
def _typed_literal(node: exp.Expr, dialect: str) -> exp.Expr:
    copy = node.copy()
    for name in ("this", "expression"):
        side = node.args[name]
        if isinstance(side, exp.Literal) and "e" in side.name.lower():
            copy.set(name, form("CAST(_x_ AS DOUBLE)", x=side))
    return copy


@rewrites("sqrt_double")
def _sqrt_double(node: exp.Expr, dialect: str) -> exp.Expr:
    return form("SQRT(CAST(_x_ AS DOUBLE))", x=node.this)


@rewrites("guard_root")
def _guard_root(node: exp.Expr, dialect: str) -> exp.Expr:
    return form("CASE WHEN _x_ >= 0 THEN SQRT(_x_) END", x=node.this)


@rewrites("round_floor")
def _round_floor(node: exp.Expr, dialect: str) -> exp.Expr | None:
    decimals = node.args.get("decimals")
    digits = number(decimals) if decimals is not None else 0
    if digits is None or not 0 <= digits <= 15:
        return None
    unit, half = f"CAST({10 ** int(digits)} AS DOUBLE)", "CAST(0.5 AS DOUBLE)"
    if digits == 0:
        return form(f"CASE WHEN _x_ < 0 THEN CEIL(_x_ - {half}) ELSE FLOOR(_x_ + {half}) END", x=node.this)
    text = f"CASE WHEN _x_ < 0 THEN CEIL(_x_ * {unit} - {half}) / {unit} ELSE FLOOR(_x_ * {unit} + {half}) / {unit} END"
    return form(text, x=node.this)


@rewrites("drop_call")
def _drop_call(node: exp.Expr, dialect: str) -> exp.Expr:
    return node.this.copy()


@rewrites("trunc_case")
def _trunc_case(node: exp.Expr, dialect: str) -> exp.Expr | None:
    return (
        form("CASE WHEN _x_ < 0 THEN CEIL(_x_) ELSE FLOOR(_x_) END", x=node.this) if node.args.get("decimals") is None else None
    )


def _to(node: exp.Expr, dialect: str) -> str:
    """The type that a CAST names, as text that `form` reads."""
    return node.args["to"].sql(dialect="duckdb")


@rewrites("cast_floor")
def _cast_floor(node: exp.Expr, dialect: str) -> exp.Expr:
    text = f"CAST(FLOOR(_x_ + CAST(0.5 AS DOUBLE)) AS {_to(node, dialect)})"
    text = f"CASE WHEN {_inside(node, '_x_')} THEN {text} END"
    x = form("CAST(_x_ AS DOUBLE)", x=node.this) if value_of(node.this).type.name == "float32" else node.this
    return form(text, x=x)


@rewrites("cast_round")
def _cast_round(node: exp.Expr, dialect: str) -> exp.Expr:
    return form(f"CAST(ROUND(_x_, 0) AS {_to(node, dialect)})", x=node.this)


@rewrites("decimal_double")
def _decimal_double(node: exp.Expr, dialect: str) -> exp.Expr | None:
    """With one digit after the point, where there is room for it."""
    bounds = value_of(node.this).bounds()
    digits = len(str(max(-int(bounds[0]), int(bounds[1])))) if bounds else 38
    return form("CAST(CAST(_x_ AS DECIMAL(38, 1)) AS DOUBLE)", x=node.this) if digits < 38 else None


@rewrites("as_double")
def _as_double(node: exp.Expr, dialect: str) -> exp.Expr | None:
    if isinstance(node, (exp.Query, exp.In)):
        return None
    bounds = value_of(node).bounds()
    digits = len(str(max(-int(bounds[0]), int(bounds[1])))) if bounds else 38
    return form("CAST(CAST(_x_ AS DECIMAL(38, 1)) AS DOUBLE)", x=node.unnest()) if digits < 38 else None


@rewrites("time_guard")
def _time_guard(node: exp.Expr, dialect: str) -> exp.Expr | None:
    """The shift, or the instant of an epoch, where its amount keeps it among the years that every engine has."""
    if isinstance(node, exp.UnixToTime):
        least, most = node.meta["range"]
        return form(f"CASE WHEN _n_ BETWEEN {least} AND {most} THEN _x_ END", n=node.this.unnest(), x=node)
    if "amount" not in node.meta:
        return None
    most = node.meta["range"][1]
    return form(f"CASE WHEN _n_ BETWEEN -{most} AND {most} THEN _x_ END", n=node.meta["amount"].unnest(), x=node)


@rewrites("cast_guard")
def _cast_guard(node: exp.Expr, dialect: str) -> exp.Expr:
    bits = INT_BITS.get(value_of(node).type.name, 31)
    inner = node.this
    if isinstance(inner, (exp.Floor, exp.Ceil)):
        return form(f"CASE WHEN {_inside(node, '_y_')} THEN CAST(_x_ AS {_to(node, dialect)}) END", x=inner, y=inner.this)
    return form(f"CASE WHEN _x_ BETWEEN {-(2 ** bits)} AND {2 ** bits - 1} THEN CAST(_x_ AS {_to(node, dialect)}) END", x=inner)


def _inside(node: exp.Expr, operand: str) -> str:
    """The condition under which a double fits the integer that a CAST names. Of 64 bits, the greatest double is 2^63 - 1024."""
    bits = INT_BITS.get(value_of(node).type.name, 63)
    if bits < 63:
        return f"{operand} >= {-(2 ** bits)} AND {operand} <= {2 ** bits - 1}"
    return f"{operand} >= CAST({-(2 ** 63)} AS DOUBLE) AND {operand} <= CAST({2 ** 63 - 1024} AS DOUBLE)"


@rewrites("cast_fixed")
def _cast_fixed(node: exp.Expr, dialect: str) -> exp.Expr | None:
    scale = value_of(node).type.scale
    if not 0 <= scale <= 9:
        return None
    most = f"CAST({9 * 10 ** (18 - scale)} AS DOUBLE)"
    scaled = f"_x_ * CAST({10 ** scale} AS DOUBLE)" if scale else "_x_"
    units = f"CASE WHEN _x_ BETWEEN -{most} AND {most} THEN CAST(FLOOR({scaled} + CAST(0.5 AS DOUBLE)) AS BIGINT) END"
    unit = f" * CAST({'0.' + '0' * (scale - 1) + '1'} AS DECIMAL({scale}, {scale}))" if scale else ""
    return form(f"CAST({units} AS DECIMAL(19, 0)){unit}", x=node.this)


@rewrites("bool_text")
def _bool_text(node: exp.Expr, dialect: str) -> exp.Expr:
    return form("CASE WHEN _x_ THEN 'true' WHEN NOT _x_ THEN 'false' END", x=node.this)


@rewrites("text_substring")
def _text_substring(node: exp.Expr, dialect: str) -> exp.Expr | None:
    length = node.meta.get("length")
    return form(f"SUBSTRING(_x_, 1, {length})", x=node.this) if length else None


@rewrites("guard_text_int")
def _guard_text_int(node: exp.Expr, dialect: str) -> exp.Expr:
    digits = 9 if value_of(node).type == INT32 else 18
    guard = f"TRANSLATE(_x_, '0123456789', '') = '' AND CHAR_LENGTH(_x_) BETWEEN 1 AND {digits}"
    return form(f"CASE WHEN {guard} THEN CAST(_x_ AS {_to(node, dialect)}) END", x=node.this)


@rewrites("decimal_explicit")
def _decimal_explicit(node: exp.Expr, dialect: str) -> exp.Expr | None:
    inner = value_of(node.this).type
    if dialect == "duckdb":
        return form("CAST(_x_ AS DECIMAL(18, 3))", x=node.this)
    return form(f"CAST(_x_ AS DECIMAL({inner.precision}, {inner.scale}))", x=node.this) if inner.name == "decimal" else (
        form("CAST(_x_ AS DECIMAL(20, 0))", x=node.this) if inner.name in INT_BITS else None)


@rewrites("cast_literal")
def _cast_literal(node: exp.Expr, dialect: str) -> exp.Expr | None:
    copy = node.copy()
    for name in ("this", "expression"):
        side, other = node.args.get(name), node.args.get("expression" if name == "this" else "this")
        if isinstance(side, exp.Literal) and side.is_string and isinstance(other, exp.Expr):
            type_ = value_of(other).type
            if number(side) is not None and type_.name in INT_BITS:
                copy.set(name, exp.Literal.number(side.name.strip()))
            elif type_.name in ("date", "timestamp", "float64", "decimal", "bool"):
                copy.set(name, form(f"CAST(_x_ AS {_sql_type(type_)})", x=side))
            else:
                return None
            return copy
    return None


@rewrites("cast_date")
def _cast_date(node: exp.Expr, dialect: str) -> exp.Expr:
    copy = node.copy()
    for name in ("this", "expression", "low", "high"):
        side = node.args.get(name)
        if isinstance(side, exp.Expr) and value_of(side).type.name == "date":
            copy.set(name, form("CAST(_x_ AS TIMESTAMP)", x=side))
    return copy


def _as_text(node: exp.Expr) -> exp.Expr:
    known = value_of(node)
    if known.type == BOOL:
        return form("CASE WHEN _x_ THEN 'true' WHEN NOT _x_ THEN 'false' END", x=node)
    return node.copy() if known.type in (STRING, UNKNOWN_VALUE.type) else form("CAST(_x_ AS VARCHAR)", x=node.unnest())


@rewrites("concat_pipes")
def _concat_pipes(node: exp.Expr, dialect: str) -> exp.Expr | None:
    if any(value_of(e).is_float for e in node.expressions):
        return None
    parts = [
        form("COALESCE(_x_, '')", x=_as_text(e)) if value_of(e).nullable else _as_text(e) for e in node.expressions
    ]
    out = parts[0]
    for part in parts[1:]:
        out = exp.DPipe(this=out, expression=part, safe=True)
    return out


@rewrites("pipe_casts")
def _pipe_casts(node: exp.Expr, dialect: str) -> exp.Expr | None:
    copy = node.copy()
    for name in ("this", "expression"):
        side = node.args[name]
        if value_of(side).is_float or value_of(side).type.name == "timestamp":
            return None
        copy.set(name, _as_text(side))
    return copy


@rewrites("substring_start")
def _substring_start(node: exp.Expr, dialect: str) -> exp.Expr | None:
    start, length = number(node.args["start"]), number(node.args["length"]) if node.args.get("length") is not None else None
    if start is None or length is None:
        return None
    return form(f"SUBSTRING(_x_, 1, {max(0, int(start + length - 1))})", x=node.this)


@rewrites("substring_right")
def _substring_right(node: exp.Expr, dialect: str) -> exp.Expr | None:
    start = number(node.args["start"])
    return form(f"RIGHT(_x_, {-int(start)})", x=node.this) if start is not None else None


@rewrites("trim_space")
def _trim_space(node: exp.Expr, dialect: str) -> exp.Expr:
    copy = node.copy()
    copy.set("expression", exp.Literal.string(" "))
    return copy


@rewrites("cast_to_date")
def _cast_to_date(node: exp.Expr, dialect: str) -> exp.Expr:
    return form("CAST(_x_ AS DATE)", x=node)


@rewrites("timestamp_text")
def _timestamp_text(node: exp.Expr, dialect: str) -> exp.Expr:
    return form("STRFTIME(_x_, '%Y-%m-%d %H:%M:%S.%f')", x=node.this)


@rewrites("trunc_precision")
def _trunc_precision(node: exp.Expr, dialect: str) -> exp.Expr | None:
    given = [int(p.name) for p in node.args["to"].expressions if p.name.isdigit()]
    digits = given[0] if given else {"TIMESTAMP_MS": 3, "TIMESTAMP_S": 0}.get(node.args["to"].this.name, 6)
    unit = {0: "second", 3: "milliseconds"}.get(digits)
    return form(f"DATE_TRUNC('{unit}', _x_)", x=node.this) if unit else None


@rewrites("extract_whole")
def _extract_whole(node: exp.Expr, dialect: str) -> exp.Expr | None:
    part, inner = (node.this.name.upper(), node.expression) if isinstance(node, exp.Extract) else ("SECOND", node.this)
    part = part.rstrip("S") if part != "MS" else "MILLISECOND"
    whole = "CAST(FLOOR(EXTRACT({} FROM _x_)) AS BIGINT)"
    if part in ("SECOND", "EPOCH"):
        return form(whole.format(part), x=inner)
    limit = {"MILLISECOND": 1000, "MICROSECOND": 1_000_000}.get(part)
    return form(f"{whole.format('SECOND')} * {limit} + {whole.format(part)} % {limit}", x=inner) if limit else None


@rewrites("date_add")
def _date_add(node: exp.Expr, dialect: str) -> exp.Expr:
    days = number(node.expression)
    sign = "-" if isinstance(node, exp.Sub) else "+"
    if days is not None and days >= 0:
        return form(f"CAST(_x_ {sign} INTERVAL '{int(days)}' DAY AS DATE)", x=node.this)
    return form(f"CAST(_x_ {sign} _y_ * INTERVAL '1' DAY AS DATE)", x=node.this, y=node.expression)


@rewrites("date_difference")
def _date_difference(node: exp.Expr, dialect: str) -> exp.Expr:
    if dialect == "postgres":
        return form("CAST(_x_ AS DATE) - CAST(_y_ AS DATE)", x=node.this, y=node.expression)
    return form("DATE_DIFF('day', _y_, _x_)", x=node.this, y=node.expression)


@rewrites("epoch_ms_double")
def _epoch_ms_double(node: exp.Expr, dialect: str) -> exp.Expr | None:
    if dialect == "postgres":
        return None
    text = "CAST(DATE_DIFF('millisecond', CAST('1970-01-01 00:00:00' AS TIMESTAMP), _x_) AS DOUBLE) / CAST(1000 AS DOUBLE)"
    return form(text, x=node.this)


@rewrites("sum_wide")
def _sum_wide(node: exp.Expr, dialect: str) -> exp.Expr:
    copy = node.copy()
    argument = copy.this.expressions[0] if isinstance(copy.this, exp.Distinct) else copy.this
    argument.replace(form("CAST(_x_ AS DECIMAL(20, 0))", x=argument))
    return copy


@rewrites("avg_exact")
def _avg_exact(node: exp.Expr, dialect: str) -> exp.Expr:
    argument = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    kind = value_of(argument).type
    wide = "_x_" if kind.name == "decimal" else "CAST(_x_ AS BIGINT)" if kind.name != "int64" else "CAST(_x_ AS DECIMAL(20, 1))"
    if kind.name == "decimal" and not kind.scale and kind.precision < 38:
        wide = f"CAST(_x_ AS DECIMAL({kind.precision + 1}, 1))"     # DuckDB makes a wrong double of a long sum without a fraction
    unique = "DISTINCT " if isinstance(node.this, exp.Distinct) else ""
    total = _over(node, form(f"SUM({unique}{wide})", x=argument))
    count = _over(node, form(f"COUNT({unique}_x_)", x=argument))
    return form("CAST(_a_ AS DOUBLE) / NULLIF(CAST(_b_ AS DOUBLE), CAST(0 AS DOUBLE))", a=total, b=count)


@rewrites("variance_exact")
def _variance_exact(node: exp.Expr, dialect: str) -> exp.Expr:
    x = node.this
    n = _over(node, form("COUNT(_x_)", x=x))
    squares = _over(node, form("SUM(CAST(CAST(_x_ AS BIGINT) * CAST(_x_ AS BIGINT) AS DECIMAL(20, 0)))", x=x))
    total = _over(node, form("SUM(CAST(_x_ AS BIGINT))", x=x))
    text = (
        "CAST(CAST(CAST(CAST(_n_ AS DECIMAL(10, 0)) * CAST(_q_ AS DECIMAL(28, 0)) AS DECIMAL(38, 0)) - "
        "CAST(CAST(_t_ AS DECIMAL(19, 0)) * CAST(_t_ AS DECIMAL(19, 0)) AS DECIMAL(38, 0)) AS DECIMAL(38, 1)) AS DOUBLE) / "
        "NULLIF(CAST(_n_ * _n_ AS DOUBLE), CAST(0 AS DOUBLE))"
    )
    exact = form(text, n=n, q=squares, t=total)
    return form("SQRT(_x_)", x=exact) if isinstance(node, exp.StddevPop) else exact


@rewrites("bool_case")
def _bool_case(node: exp.Expr, dialect: str) -> exp.Expr:
    least = isinstance(node, (exp.LogicalAnd, exp.Min))
    call = form(f"{'MIN' if least else 'MAX'}(CASE WHEN _x_ THEN 1 WHEN NOT _x_ THEN 0 END)", x=node.this)
    return form("_x_ = 1", x=_over(node, call))


@rewrites("plus_zero")
def _plus_zero(node: exp.Expr, dialect: str) -> exp.Expr:
    text = "CASE WHEN _x_ = 0 THEN 0 ELSE _x_ END"
    if not isinstance(node, exp.AggFunc):
        normal = form(text, x=node)
        return exp.alias_(normal, node.name) if isinstance(node.parent, exp.Select) and isinstance(node, exp.Column) else normal
    copy = node.copy()
    argument = copy.this.expressions[0] if isinstance(copy.this, exp.Distinct) else copy.this
    argument.replace(form(text, x=argument))
    return copy


@rewrites("count_pairs")
def _count_pairs(node: exp.Expr, dialect: str) -> exp.Expr | None:
    parts = [p for e in node.this.expressions for p in (e.expressions if isinstance(e, exp.Tuple) else [e])]
    if any(value_of(p).is_float or value_of(p).type.name == "timestamp" for p in parts):
        return None
    out = _as_text(parts[0])
    for part in parts[1:]:
        out = exp.DPipe(
            this=exp.DPipe(this=out, expression=exp.Literal.string("|"), safe=True), expression=_as_text(part), safe=True
        )
    return form("COUNT(DISTINCT _x_)", x=out)


@rewrites("count_if")
def _count_if(node: exp.Expr, dialect: str) -> exp.Expr:
    return form("COUNT(CASE WHEN _x_ THEN 1 END)", x=node.this)


@rewrites("lag_default")
def _lag_default(node: exp.Expr, dialect: str) -> exp.Expr:
    lag = node.this.copy()
    offset, default = lag.args.get("offset"), lag.args["default"]
    lag.set("default", None)
    plain, counted = node.copy(), node.copy()
    plain.set("this", lag)
    counted.set("this", exp.RowNumber())
    steps = "1" if offset is None else offset.sql(dialect="duckdb")
    return form(f"CASE WHEN _n_ > {steps} THEN _x_ ELSE _d_ END", n=counted, x=plain, d=default)


@rewrites("first_value_null")
def _first_value_null(node: exp.Expr, dialect: str) -> exp.Expr | None:
    inner = node.this.this
    type_ = value_of(inner).type
    nothing = "''" if type_ == STRING else "0" if type_.name in (*INT_BITS, "decimal", "float64") else None
    if nothing is None:
        return None
    flag, value = node.copy(), node.copy()
    flag.this.set("this", form("CASE WHEN _x_ IS NULL THEN 0 ELSE 1 END", x=inner))
    value.this.set("this", form(f"COALESCE(_x_, {nothing})", x=inner))
    return form("CASE WHEN _f_ = 1 THEN _v_ END", f=flag, v=value)

"""Text functions and patterns."""

from __future__ import annotations

from sqlglot import exp

from skewless.sql.value import INT32
from skewless.stream.lower.printer import Infix, Printer, no_form, prints, value


def _position(p: Printer, node: exp.Expr) -> str:
    """A position or length: a 32-bit integer in Postgres and Flink."""
    known, text = value(node), p.text(node)
    if p.duckdb or known.type == INT32 or known.type.name == "int16":
        return text
    bounds = known.bounds()
    if bounds and -(2**31) <= bounds[0] and bounds[1] < 2**31:
        return p.cast(text, INT32)
    return p.cast(f"CASE WHEN {text} > 2147483647 THEN 2147483647 ELSE {text} END", INT32)


@prints(exp.DPipe)
def pipe(p: Printer, node: exp.DPipe) -> str:
    left = p.text(node.left) if isinstance(node.left, exp.DPipe) else p.operand(node.left)
    return Infix(f"{left} || {p.operand(node.right)}")


@prints(exp.ConcatWs, args="expressions")
def concat_ws(p: Printer, node: exp.ConcatWs) -> str:
    return p.call("CONCAT_WS", *node.expressions)


@prints(exp.Length, args="this")
def length(p: Printer, node: exp.Length) -> str:
    return p.cast(p.call("CHAR_LENGTH" if not p.duckdb else "LENGTH", node.this), value(node).type)


@prints(exp.Substring, args="this start length")
def substring(p: Printer, node: exp.Substring) -> str:
    start, count = node.args.get("start"), node.args.get("length")
    places = [_position(p, n) for n in (start if start is not None else exp.Literal.number(1), count) if n is not None]
    return f"SUBSTRING({', '.join([p.text(node.this), *places])})"


@prints(exp.Left, exp.Right)
def left(p: Printer, node: exp.Func) -> str:
    return f"{node.sql_name()}({p.text(node.this)}, {_position(p, node.expression)})"


@prints(exp.Lower, exp.Upper, exp.MD5, args="this")
def function(p: Printer, node: exp.Func) -> str:
    return p.call(node.sql_name(), node.this)


@prints(exp.SHA2, args="this length")
def sha256(p: Printer, node: exp.SHA2) -> str:
    if node.args.get("length") is not None and node.args["length"].name != "256":
        raise no_form(p.engine, node)
    if p.postgres:
        return f"ENCODE(SHA256(CONVERT_TO({p.text(node.this)}, 'UTF8')), 'hex')"
    return p.call("SHA256", node.this)


@prints(exp.Anonymous, args="this expressions")
def base64(p: Printer, node: exp.Anonymous) -> str:
    """Of a text: BASE64(ENCODE(x)). Postgres breaks the lines of a long one."""
    inner = node.expressions[0] if node.expressions else node
    if node.name.lower() != "base64" or not isinstance(inner, exp.Encode):
        raise no_form(p.engine, node)
    text = p.text(inner.this)
    if p.postgres:
        return f"REPLACE(ENCODE(CONVERT_TO({text}, 'UTF8'), 'base64'), CHR(10), '')"
    return f"TO_BASE64({text})" if p.flink else f"BASE64(ENCODE({text}))"


@prints(exp.Trim, args="this expression position")
def trim(p: Printer, node: exp.Trim) -> str:
    """Without characters, spaces: DuckDB would strip other blanks of Unicode too."""
    place = node.args.get("position") or "BOTH"
    characters = node.args.get("expression")
    what = p.string(" ") if characters is None else p.text(characters)
    if p.duckdb or p.flink:
        name = {"BOTH": "TRIM" if p.duckdb else "BTRIM", "LEADING": "LTRIM", "TRAILING": "RTRIM"}[str(place).upper()]
        return f"{name}({p.text(node.this)}, {what})"
    return f"TRIM({place} {what} FROM {p.text(node.this)})"


@prints(exp.Like, args="this expression negate")
def like(p: Printer, node: exp.Like) -> str:
    no = "NOT " if node.args.get("negate") else ""
    return Infix(f"{p.operand(node.this)} {no}LIKE {p.operand(node.expression)}")


@prints(exp.Escape)
def escape(p: Printer, node: exp.Escape) -> str:
    return Infix(f"{p.text(node.this)} ESCAPE {p.text(node.expression)}")


@prints(exp.RegexpLike)
def regex_match(p: Printer, node: exp.RegexpLike) -> str:
    if p.postgres:
        return Infix(f"{p.operand(node.this)} ~ {p.operand(node.expression)}")
    return p.call("REGEXP" if p.flink else "REGEXP_MATCHES", node.this, node.expression)


@prints(exp.RegexpReplace, args="this expression replacement modifiers")
def regex_replace(p: Printer, node: exp.RegexpReplace) -> str:
    if node.args.get("modifiers") is None or node.args["modifiers"].name != "g":
        raise no_form(p.engine, node)
    parts = [node.this, node.expression, node.args["replacement"]]
    return p.call("REGEXP_REPLACE", *parts) if p.flink else f"REGEXP_REPLACE({p.items(parts)}, 'g')"


@prints(exp.SplitPart, args="this delimiter part_index")
def split_part(p: Printer, node: exp.SplitPart) -> str:
    """Flink counts from 0 and gives NULL past the end, where the others give an empty text."""
    if not p.flink:
        return p.call("SPLIT_PART", node.this, node.args["delimiter"], node.args["part_index"])
    text = p.text(node.this)
    part = f"COALESCE(SPLIT_INDEX({text}, {p.text(node.args['delimiter'])}, {int(node.args['part_index'].name) - 1}), '')"
    return f"CASE WHEN {text} IS NOT NULL THEN {part} END" if value(node.this).nullable else part


@prints(exp.Replace, args="this expression replacement")
def replace(p: Printer, node: exp.Replace) -> str:
    return p.call("REPLACE", node.this, node.expression, node.args["replacement"])


@prints(exp.Repeat, args="this times")
def repeat(p: Printer, node: exp.Repeat) -> str:
    return f"REPEAT({p.text(node.this)}, {_position(p, node.args['times'])})"


@prints(exp.Translate, args="this from_ to")
def translate(p: Printer, node: exp.Translate) -> str:
    return p.call("TRANSLATE", node.this, node.args["from_"], node.args["to"])


@prints(exp.StrPosition, args="this substr")
def position(p: Printer, node: exp.StrPosition) -> str:
    return p.cast(p.call("INSTR" if p.flink else "STRPOS", node.this, node.args["substr"]), value(node).type)


@prints(exp.StartsWith)
def starts_with(p: Printer, node: exp.StartsWith) -> str:
    return p.call("STARTSWITH" if p.flink else "STARTS_WITH", node.this, node.expression)


@prints(exp.Chr, args="expressions")
def chr_(p: Printer, node: exp.Chr) -> str:
    return f"CHR({_position(p, node.expressions[0])})" if len(node.expressions) == 1 else _refuse(p, node)


@prints(exp.Hex, args="this")
def hex_(p: Printer, node: exp.Hex) -> str:
    text = p.text(node.this)
    if not value(node.this).is_int:
        encoded = f"ENCODE(CONVERT_TO({text}, 'UTF8'), 'hex')" if p.postgres else f"HEX({text})"
        return encoded if p.flink else f"UPPER({encoded})"
    return f"HEX({text})" if p.flink else f"UPPER(TO_HEX({text}))"


def _refuse(p: Printer, node: exp.Expr) -> str:
    raise no_form(p.engine, node)

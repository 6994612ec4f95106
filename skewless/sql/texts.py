"""Values and rules of text functions and patterns."""

from __future__ import annotations

import re
from dataclasses import replace

from sqlglot import exp

from skewless.sql.inference import Typer, function_name, handles, number
from skewless.sql.parsing import written_name
from skewless.sql.value import BOOL, INT32, INT64, STRING, UNKNOWN_VALUE, Value

_REGEX = re.compile(r"\^?(?:(?:[A-Za-z0-9 _,;:@/#%&='\"<>~!-]|\\[.+*?^$()\[\]{}|\\-]|\[[^\\\[\]^&]+\])[?*+]?)*\$?")


def _text(t: Typer, node: exp.Expr, *nodes: exp.Expr) -> tuple[Value, ...]:
    values = tuple(t.value(n) for n in nodes)
    for value in values:
        if value.known and value.type not in (STRING, INT32, INT64) and value.type.name != "null":
            t.hit("type.operand", node, type=str(value.type))
    return values


@handles(exp.DPipe)
def pipe(t: Typer, node: exp.Expr) -> Value:
    left, right = t.value(node.this), t.value(node.expression)
    plain = all(v.type.name in ("string", "null") or not v.known for v in (left, right))
    t.hit("text.plain" if plain else "text.pipe_number", node)
    constant = left.constant + right.constant if isinstance(left.constant, str) and isinstance(right.constant, str) else None
    return Value(STRING, nullable=left.nullable or right.nullable, ascii=_ascii(left) and _ascii(right), constant=constant)


def _ascii(value: Value) -> bool:
    return value.ascii or value.known and value.type != STRING


@handles(exp.Concat)
def concat(t: Typer, node: exp.Expr) -> Value:
    values = [t.value(n) for n in node.expressions]
    t.hit("null.concat", node)
    return Value(STRING, nullable=False, ascii=all(_ascii(v) for v in values))


@handles(exp.ConcatWs)
def concat_ws(t: Typer, node: exp.Expr) -> Value:
    values = _text(t, node, *node.expressions)
    t.hit("text.plain", node)
    return Value(STRING, nullable=values[0].nullable, ascii=all(v.ascii for v in values))


@handles(exp.Length)
def length(t: Typer, node: exp.Expr) -> Value:
    inner, = _text(t, node, node.this)
    portable = written_name(t.reading.sql, node) in ("char_length", "character_length")
    t.hit("text.plain" if portable else "text.length", node)
    return Value(INT64, nullable=inner.nullable, lo=0, hi=2**31 - 1)


@handles(exp.Substring)
def substring(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this)
    start, count = node.args.get("start"), node.args.get("length")
    low = _least(t, start)
    if start is not None and number(start) is not None and low is not None and low < 1:
        t.hit("text.substring_zero" if count is not None and low == 0 else "text.substring_tail" if count is None and low < 0
              else "text.substring_variable", node)
    elif low is None or low < 1 or count is not None and (_least(t, count) is None or _least(t, count) < 0):  # type: ignore[operator]
        t.hit("text.substring_variable", node)
    else:
        t.hit("text.plain", node)
    return replace(inner, constant="" if number(count) == 0 else None) if count is not None else replace(inner, constant=None)


def _least(t: Typer, node: exp.Expr | None) -> int | None:
    if node is None:
        return 1
    value = t.value(node)
    bounds = value.bounds()
    return int(bounds[0]) if bounds else None


@handles(exp.Left, exp.Right)
def left_right(t: Typer, node: exp.Expr) -> Value:
    inner, low = t.value(node.this), _least(t, node.expression)
    t.hit("text.plain" if low is not None and low >= 0 else "text.substring_variable", node)
    return replace(inner, constant=None)


@handles(exp.Lower, exp.Upper)
def fold(t: Typer, node: exp.Expr) -> Value:
    inner, = _text(t, node, node.this)
    t.hit("text.plain" if inner.ascii else "text.case", node)
    return replace(inner, constant=None)


@handles(exp.Trim)
def trim(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this)
    characters = node.args.get("expression")
    if characters is not None:
        t.value(characters)
    t.hit("text.plain" if characters is not None or inner.ascii else "text.trim", node)
    return replace(inner, constant=None)


@handles(exp.Escape)
def escape(t: Typer, node: exp.Expr) -> Value:
    node.this.meta["escape"] = node.expression.name
    return t.value(node.this)


@handles(exp.Like)
def like(t: Typer, node: exp.Expr) -> Value:
    left, pattern = t.value(node.this), t.value(node.expression)
    text, mark = pattern.constant, node.meta.get("escape", "")
    if not isinstance(text, str):
        rule = "text.like_variable"
    elif "_" in (re.sub(re.escape(mark) + ".", "", text) if mark else text):
        rule = "text.like_underscore"
    else:
        rule = "text.like_backslash" if "\\" in text and not mark else "text.like"
    t.hit(rule, node)
    return Value(BOOL, nullable=left.nullable)


@handles(exp.ILike, exp.SimilarTo)
def pattern(t: Typer, node: exp.Expr) -> Value:
    t.value(node.this)
    t.hit("text.pattern", node, name="ILIKE" if isinstance(node, exp.ILike) else "SIMILAR TO")
    return Value(BOOL)


@handles(exp.RegexpLike)
def regex_match(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this)
    text = t.value(node.expression).constant
    t.hit(
        "text.regex" if isinstance(text, str) and not node.args.get("flag") and _REGEX.fullmatch(text) else "text.regex_other",
        node,
    )
    return Value(BOOL, nullable=inner.nullable)


@handles(exp.RegexpReplace)
def regex_replace(t: Typer, node: exp.Expr) -> Value:
    inner, regex = t.value(node.this), t.value(node.expression).constant
    replacement = node.args.get("replacement")
    modifiers = node.args.get("modifiers")
    every = modifiers is not None and modifiers.name == "g"
    plain = replacement is not None and isinstance(replacement, exp.Literal) and not re.search(r"[\\$]", replacement.name)
    rule = "text.regex"
    if not (every and plain and isinstance(regex, str) and _REGEX.fullmatch(regex)):
        rule = "text.regex_other"
    elif re.match(regex, ""):
        rule = "text.regex_empty"
    t.hit(rule, node)
    return replace(inner, constant=None, ascii=inner.ascii and plain and replacement.name.isascii())  # type: ignore[union-attr]


@handles(exp.RegexpExtract, exp.RegexpFullMatch)
def regex_other(t: Typer, node: exp.Expr) -> Value:
    t.value(node.this)
    t.hit("text.regex_other", node)
    return Value(BOOL if isinstance(node, exp.RegexpFullMatch) else STRING)


@handles(exp.SplitPart)
def split_part(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this)
    index, delimiter = number(node.args["part_index"]), node.args["delimiter"]
    constant = isinstance(delimiter, exp.Literal) and delimiter.name != ""
    t.hit("text.split" if index is not None and index >= 1 and constant else "text.split_negative", node)
    return replace(inner, constant=None)


@handles(exp.Replace)
def replace_(t: Typer, node: exp.Expr) -> Value:
    inner, what, by = _text(t, node, node.this, node.expression, node.args["replacement"])
    t.hit("text.plain" if isinstance(what.constant, str) and what.constant else "text.replace_empty", node)
    return replace(inner, constant=None, ascii=inner.ascii and by.ascii, nullable=inner.nullable or by.nullable)


@handles(exp.Repeat)
def repeat(t: Typer, node: exp.Expr) -> Value:
    inner, low = t.value(node.this), _least(t, node.args["times"])
    t.hit("text.plain" if low is not None and low >= 0 else "text.substring_variable", node)
    return replace(inner, constant=None)


@handles(exp.Translate)
def translate(t: Typer, node: exp.Expr) -> Value:
    inner, _, to = _text(t, node, node.this, node.args["from_"], node.args["to"])
    t.hit("text.plain", node)
    return replace(inner, constant=None, ascii=inner.ascii and to.ascii)


@handles(exp.StrPosition)
def position(t: Typer, node: exp.Expr) -> Value:
    if any(node.args.get(a) is not None for a in ("position", "occurrence")):
        t.hit("function.unknown", node, name="POSITION from an offset")
    values = _text(t, node, node.this, node.args["substr"])
    t.hit("text.plain", node)
    return Value(INT64, nullable=any(v.nullable for v in values), lo=0, hi=2**31 - 1)


@handles(exp.StartsWith)
def starts_with(t: Typer, node: exp.Expr) -> Value:
    values = _text(t, node, node.this, node.expression)
    t.hit("text.plain", node)
    return Value(BOOL, nullable=any(v.nullable for v in values))


@handles(exp.MD5, exp.SHA2, exp.Hex, exp.ToBase64, exp.Encode)
def digest(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this)
    t.hit("text.plain", node)
    return Value(STRING, nullable=inner.nullable, ascii=True)


@handles(exp.Chr)
def chr_(t: Typer, node: exp.Expr) -> Value:
    values = [t.value(n) for n in node.expressions]
    bounds = values[0].bounds()
    t.hit("text.plain", node)
    return Value(STRING, nullable=values[0].nullable, ascii=bounds is not None and 0 < bounds[0] and bounds[1] < 128)


@handles(exp.Pad, exp.Reverse, exp.Initcap, exp.Ascii, exp.Overlay)
def other(t: Typer, node: exp.Expr) -> Value:
    t.value(node.this)
    name = "LPAD/RPAD" if isinstance(node, exp.Pad) else function_name(node)
    t.hit("text.other", node, name=name)
    return Value(INT32 if isinstance(node, exp.Ascii) else STRING)


@handles(exp.JSONExtractScalar, exp.JSONExtract)
def json(t: Typer, node: exp.Expr) -> Value:
    t.value(node.this)
    t.hit("text.json", node)
    return Value(STRING)


_TEXT_NAMES = {"octet_length", "hash", "hashtext", "lpad", "rpad", "bit_length"}


@handles(exp.Anonymous)
def anonymous(t: Typer, node: exp.Expr) -> Value:
    """Functions that the parser has no class for, by name."""
    from skewless.sql.times import named_time_function

    name = node.name.lower()
    values = [t.value(n) for n in node.expressions]
    if name in _TEXT_NAMES:
        t.hit("text.other", node, name=name.upper())
    elif name == "base64" and len(values) == 1:
        t.hit("text.plain", node)
        return Value(STRING, nullable=values[0].nullable, ascii=True)
    else:
        found = named_time_function(t, node, name, values)
        if found is not None:
            return found
        t.hit("function.unknown", node, name=name.upper())
    return UNKNOWN_VALUE

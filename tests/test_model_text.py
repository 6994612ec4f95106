"""Compiled SQL back to the model file: exact where there is one possible place, and nowhere else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skewless.sql.model_text import ModelText, pieces_of

RAW = """{{ config(materialized='feature_view') }}
-- a comment
select
    k,
    {% for n in [1, 2] %}
    count(*) over w{{ n }} as c_{{ n }},
    {% endfor %}
    a / b as ratio
from {{ ref('events') }}
where {{ skewless.input_window('ts') }} and a > 0
"""
COMPILED = """
-- a comment
select
    k,
    
    count(*) over w1 as c_1,
    
    count(*) over w2 as c_2,
    
    a / b as ratio
from "dev"."main"."events"
where (ts >= timestamp '0001-01-01' and ts < timestamp '9999-01-01') and a > 0"""  # noqa: W293


def place(text: str) -> tuple[int, int]:
    at = COMPILED.index(text)
    return at, at + len(text)


def test_text_outside_jinja_has_its_place() -> None:
    model = ModelText(RAW, COMPILED)
    start, end = place("a / b")
    span = model.span(start, end)
    assert span is not None and RAW[span[0]:span[1]] == "a / b"
    assert model.line(start) == (8, 5, True)
    assert model.line(place("a > 0")[0]) == (10, 45, True)


def test_what_jinja_gave_has_the_line_where_it_begins() -> None:
    model = ModelText(RAW, COMPILED)
    assert model.span(*place("count(*) over w2")) is None
    assert model.line(place("count(*) over w2")[0]) == (5, 0, False)
    assert model.line(place("ts < timestamp")[0]) == (10, 0, False)
    assert model.span(place("a / b")[0], place("events")[1]) is None, "Jinja stands between"


def test_text_that_could_stand_in_two_places_has_none() -> None:
    model = ModelText("select {{ x }}, a, {{ y }}, b", "select a, a, a, a, b")
    assert model.span(10, 11) is None


def test_text_that_does_not_fit_has_no_place() -> None:
    assert ModelText("select a from {{ t }}", "select b from t").places == []


def test_white_space_that_a_dash_cuts_does_not_matter() -> None:
    model = ModelText("select a\n{{- ', b' }}\nfrom t", "select a, b\nfrom t")
    assert model.line(model.compiled.index("from")) == (3, 1, True)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "a b", "sum(x)"]), st.sampled_from(["1", "a", "b, a", ""])), max_size=6))
def test_a_place_is_never_a_wrong_one(parts: list[tuple[str, str]]) -> None:
    raw = "".join(f" {text} {{{{ x }}}}" for text, _ in parts)
    compiled = "".join(f" {text} {given_}" for text, given_ in parts)
    true, at = {}, 0
    for text, given_ in parts:
        true[at + 1] = text
        at += len(f" {text} {given_}")
    model = ModelText(raw, compiled)
    starts = sorted(true)
    for piece, place in model.places:
        index = [p.start for p in pieces_of(raw)].index(piece.start)
        assert place == starts[index]

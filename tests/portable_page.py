"""docs/portable-sql.md: the rule table as a page."""

from __future__ import annotations

from skewless.sql.rules import RULES, Rule

INTRO = """# Portable SQL

A view that streams, or whose block says `portable: true`, gives the same values, bit for bit, on DuckDB, Postgres and Flink, or
it is refused. `skewless check` reads the compiled SQL of the view and of the models beneath it, infers the type and range of
every expression, and holds each against the table below. What no row allows is refused.

| | what happens |
|---|---|
| **allowed** | the text means the same everywhere |
| **printed** | the text stays as it is; `skewless transpile` and streams spell it differently for an engine |
| **rewritten** | engines differ: the model's text has to change, and `skewless fix` changes it |
| **refused** | there is no form that agrees; the last column says what to write instead |

Other views get the same findings as advice; `skewless check --strict` counts them. `skewless transpile VIEW --to flink` prints
the SQL of an engine ([transpile](transpile.md)).

## What the checker has to be told

Types come from `data_type` of sources, seeds and models; a model without them is inferred from its SQL. The rest is declared
where the source or model is described, and is tested by dbt or taken for granted:

```yaml
sources:
  - name: shop
    tables:
      - name: orders
        config:
          meta:
            skewless:
              stream: {topic: orders, event_timestamp: ordered_at}   # rows come in the order of this column
              unique: [[customer_id, ordered_at]]                    # no two rows share these
        columns:
          - {name: customer_id, data_type: bigint, data_tests: [not_null]}
          - {name: ordered_at, data_type: timestamp, data_tests: [not_null]}
          - {name: items, data_type: integer, config: {meta: {skewless: {range: [0, 10000]}}}}
          - {name: status, data_type: varchar, config: {meta: {skewless: {ascii: true}}}}
```

- `range` keeps sums and products of integers inside their type; `ascii: true` allows `<`, MIN, MAX, UPPER and LOWER on text.
- NOT NULL comes from `not_null` tests and constraints, uniqueness also from `unique` and `unique_combination_of_columns` tests.
- The event time of a model is dbt's own `event_time`. Without one, a view that does not stream may order windows by any timestamp
  that is NOT NULL.
- `static: true`, and every seed: rows that never change.
- Timestamps are taken to be from 1970 on; `before_1970: true` on a column says otherwise.

## Windows and joins

{windows}
"""

WINDOWS = """`skewless.tumble`, `hop`, `cumulate` and `session` give a relation with `window_start` and `window_end`;
group by both, and let `window_end` be the event time of the row. `skewless.as_of_join` adds the newest row of another relation
that is not later.
Ranges over time, `range between interval '7' day preceding and current row`, need no macro ([macros](macros.md))."""

AREAS = {
    "name": "Names", "type": "Types", "function": "Functions that are on no list", "clause": "Clauses that are on no list",
    "arith": "Arithmetic", "round": "Rounding", "cast": "Casts", "compare": "Comparisons", "null": "NULL", "text": "Text",
    "time": "Dates and times", "agg": "Aggregates", "group": "GROUP BY", "over": "OVER", "query": "Clauses", "join": "Joins",
    "window": "Window relations", "stream": "Streams", "output": "Outputs",
}
ACTIONS = {"allow": "allowed", "lower": "printed", "fix": "rewritten", "refuse": "refused"}


def portable_page(note: str) -> str:
    """The page, `note` first."""
    out = [note, INTRO.replace("{windows}", WINDOWS), "## The table\n"]
    for area, title in AREAS.items():
        rules = sorted((r for r in RULES.values() if r.area == area), key=lambda r: list(ACTIONS).index(r.action))
        if rules:
            out += [f"### {title}\n", "| SQL | | code | why, and what to write |", "|---|---|---|---|"]
            out += [*(_row(r) for r in rules), ""]
    return "\n".join(out)


def _row(rule: Rule) -> str:
    return f"| {_cell(rule.construct)} | {ACTIONS[rule.action]} | {rule.code} | {_cell(_advice(rule))} |"


def _advice(rule: Rule) -> str:
    hint = rule.hint.replace(" {near}", "").replace("{near}", "").replace("{keys}", "key, time").strip()
    if "{fixed}" in hint:
        before, _, after = hint.partition("{fixed}")
        rest = after.strip(" .,()")
        hint = "`skewless fix` writes the explicit form." + (f" {rest[0].upper()}{rest[1:]}." if rest else "")
    return " ".join(part for part in (rule.fact, hint) if part)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

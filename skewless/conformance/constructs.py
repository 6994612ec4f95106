"""The constructs of the fuzz, as templates by the kind of value that they give.

A `{kind}` in a template stands for any expression of that kind, `{kind:leaf}` for a column or a literal of it. Kinds: int, nat
(an integer of 0 to 60), dec, dbl, ext (doubles near the limits: not for arithmetic), str (ASCII), uni (any text), bool, date, old
(dates before 1970 too), ts; num and any stand for several; the others (amount, field, trunc …) are parts of the text.
Forms that are not portable stand here too: the checker writes them out or refuses them, and both are counted.
"""

from __future__ import annotations

LITERALS: dict[str, tuple[str, ...]] = {
    "int": ("0", "1", "2", "3", "-1", "7", "100", "1000000", "cast(-5 as bigint)", "cast(null as integer)"),
    "nat": ("0", "1", "2", "3", "5"),
    "dec": ("0.5", "1.25", "-0.01", "cast('2.50' as decimal(10,2))", "cast(null as decimal(10,2))", "100.00"),
    "dbl": ("cast(1.5 as double)", "cast(0 as double)", "cast('1e10' as double)", "2.5e0", "cast(null as double)"),
    "ext": ("cast(0 as double)", "cast('1e300' as double)", "-cast(0 as double)"),
    "str": ("'a'", "''", "'x-y'", "'it''s'", "cast(null as varchar)"),
    "uni": ("'é'", "'日本'", "'😀'", "''", "'a'"),
    "bool": ("true", "false", "cast(null as boolean)"),
    "date": ("date '2024-02-29'", "date '2020-12-31'", "cast(null as date)"),
    "old": ("date '1969-12-31'", "date '2024-02-29'"),
    "ts": ("timestamp '2024-03-31 02:30:00'", "timestamp '2020-12-31 23:59:59.999'"),
    "amount": (
        "interval 1 day", "interval 90 minute", "interval '36' hour", "interval 1 month", "interval 13 month",
        "interval 1 year", "interval '100' day", "interval 2 week", "interval '1.5' second", "interval '250' millisecond",
        "interval 3 quarter",
    ),
    "trunc": ("year", "quarter", "month", "week", "day", "hour", "minute", "second", "milliseconds"),
    "field": (
        "year", "quarter", "month", "week", "day", "isodow", "dow", "doy", "isoyear", "hour", "minute", "century", "decade",
    ),
    "part": ("second", "millisecond", "epoch"),
    "diff": ("day", "hour", "minute", "second", "millisecond", "month", "year"),
    "regex": ("^[a-c]+", "[0-9]+$", "a?b*", "^$", "[A-Z]", "b,c", "-?[0-9]", "x.y"),
    "like": ("a%", "%c", "%b%", "", "%", "A%C", "_b%"),
    "few": ("1", "2", "3"),
    "digits": ("0", "1", "2", "4"),
    "bucket": ("15 minutes", "1 hour", "7 hours", "1 day", "5 seconds"),
    "format": ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%H:%M", "%d/%m/%Y", "%j", "%Y-%m-%d %H:%M:%S.%f"),
}

EXPRESSIONS: dict[str, tuple[str, ...]] = {
    "int": (
        "{int} + {int}", "{int} - {int}", "{int} * {int}", "-{int}", "abs({int})", "{int} // nullif({int}, 0)",
        "{int} % nullif({int}, 0)", "mod({int}, nullif({int:leaf}, 0))", "{int} // {int:leaf}", "{int} % {int:leaf}",
        "coalesce({int}, {int})", "nullif({int}, {int})", "greatest({int}, {int}, {int:leaf})", "least({int}, {int})",
        "case when {bool} then {int} else {int} end", "case when {bool} then {int} end",
        "case {dbl} when 0 then {int:leaf} when 1 then {int:leaf} end",
        "case {nat} when 1 then {int} when 2 then {int} else {int:leaf} end", "if({bool}, {int}, {int})", "ifnull({int}, 0)",
        "cast({int} as bigint)", "cast({int} as integer)", "cast({dec} as bigint)", "cast({dec} as integer)",
        "cast({dbl} as bigint)", "cast({dbl} as integer)", "cast({bool} as integer)",
        "cast(cast({int} as decimal(38,0)) as bigint)", "char_length({uni})", "length({str})", "strpos({uni}, {uni:leaf})",
        "position({uni:leaf} in {uni})", "sign({num})", "extract({field} from {ts})",
        "cast(extract({field} from {ts}) as bigint)", "extract({field} from {date})",
        "cast(floor(extract({part} from {ts})) as bigint)", "extract({part} from {ts})", "year({ts})", "hour({ts})",
        "dayofweek({date})", "date_diff('{diff}', {ts}, {ts})", "date_diff('day', {date}, {date})", "{date} - {date}",
        "date_diff('month', {date}, {ts})", "round({int}, -1)", "floor({int})", "cast({str} as integer)", "{nat}",
        "cast(floor({dbl}) as bigint)", "case when {str} = 'a' then {int} when {str} in ('abc', '12') then {int} end",
        "@bool_int({bool})", "@to_bigint({dbl})", "@days_between({ts}, {ts})", "@hours_between({ts}, {ts})",
        "@seconds_between({ts}, {ts})", "@milliseconds_between({ts}, {ts})", "@months_between({ts}, {ts})",
        "@int_divide({int}, {int})",
    ),
    "nat": (
        "{nat:leaf}", "{nat:leaf} + 1", "greatest(coalesce({nat:leaf}, 0), 1)", "cast(extract(hour from {ts:leaf}) as bigint)",
        "case when {bool} then 2 else {nat:leaf} end", "{nat:leaf} * 3", "least(char_length({uni:leaf}), 9)", "{int:leaf} % 7",
    ),
    "dec": (
        "{dec} + {dec}", "{dec} - {dec}", "-{dec}", "abs({dec})", "{dec} * {int:leaf}", "{dec} * {dec}",
        "cast({dec} as decimal(19,2)) * {dec}", "{dec} + {int}", "{dec} % nullif({dec}, 0)", "round({dec}, 1)", "round({dec})",
        "round({dec}, -1)", "trunc({dec}, 1)", "floor({dec})", "ceil({dec})", "coalesce({dec}, {dec})", "coalesce({dec}, 0)",
        "nullif({dec}, {dec})", "greatest({dec}, {dec}, {int:leaf})", "least({dec}, {dec})",
        "case when {bool} then {dec} else {dec} end", "case when {bool} then {dec} else {int:leaf} end",
        "cast({dec} / nullif({dec}, 0) as decimal(18,6))", "cast({dec} / nullif({int}, 0) as decimal(38,4))",
        "cast({int} as decimal(20,0))", "cast({int:leaf} as decimal(12,2))", "cast({dec} as decimal(30,1))",
        "cast({dec} as decimal(38,6))", "cast({dbl} as decimal(18,2))", "cast({dec} as decimal(20,0))", "@to_decimal({dbl}, 2)",
        "@to_decimal({dec}, 1)",
    ),
    "dbl": (
        "{dbl} + {dbl}", "{dbl} - {dbl}", "{dbl} * {dbl}", "{dbl} / nullif({dbl}, 0)", "-{dbl}", "abs({dbl})", "floor({dbl})",
        "ceil({dbl})", "case when {dbl} >= 0 then sqrt({dbl}) end", "sqrt(abs({dbl}))", "sqrt({dbl})", "cast({int} as double)",
        "cast({dec} as double)", "cast({int} as double) / nullif(cast({int} as double), 0)", "{int} / {int}", "{dec} / {dec}",
        "{dbl} / {int}", "{dbl} + {int}", "{dbl} * {dec}", "{dbl} % {dbl}", "round({dbl}, {digits})", "round({dbl})",
        "cast({int} as decimal(37,0)) * {dbl}", "trunc({dbl})", "coalesce({dbl}, {dbl})", "coalesce({dbl}, 0)",
        "nullif({dbl}, {dbl})", "greatest({dbl}, {dbl})",
        "least({dbl}, {dbl}, {int:leaf})", "case when {bool} then {dbl} else {dbl} end",
        "case when {bool} then {dbl} else {dec:leaf} end", "pi()", "case when {dbl} = 0 then 0 else {dbl} end",
        "@round_half_up({dbl}, 2)", "@ratio({num}, {num})", "@plus_zero({dbl})",
        "floor({dbl} * cast(100 as double) + cast(0.5 as double)) / cast(100 as double)", "epoch({ts:leaf})", "{dbl} / {dbl}",
        "coalesce({dbl}, 1.5e0) - cast(2 as double) / nullif(cast(3 as double), 0)",
    ),
    "ext": (
        "{ext:leaf}", "abs({ext:leaf})", "coalesce({ext:leaf}, {dbl:leaf})", "greatest({ext:leaf}, {dbl:leaf})", "-{ext:leaf}",
        "case when {bool} then {ext:leaf} else {dbl:leaf} end", "nullif({ext:leaf}, 0)", "least({ext:leaf}, {ext:leaf})",
    ),
    "str": (
        "{str} || {str}", "{str} || '-' || {int:leaf}", "concat({str}, {str})", "concat_ws('/', {str}, {str})", "upper({str})",
        "lower({str})", "substring({str}, {few}, {nat})", "substring({str}, 0, 2)", "substring({str}, -2)",
        "left({str}, {nat})", "right({str}, {nat})", "substring({str} from 2 for 2)", "trim({str})", "trim({str}, 'a ')",
        "ltrim({str}, ' ')", "rtrim({str}, 'c')", "replace({str}, 'a', {str:leaf})", "repeat({str:leaf}, {nat:leaf})",
        "translate({str}, 'abc', 'xyz')", "split_part({str}, ',', {few})", "regexp_replace({str}, '{regex}', '-', 'g')",
        "coalesce({str}, '')", "nullif({str}, '')", "greatest({str}, {str})", "least({str}, {str:leaf})",
        "case when {bool} then {str} else {str} end", "case when {bool} then 'long text' when {bool} then 's' end",
        "cast({int} as varchar)", "cast({dec} as varchar)", "cast({date} as varchar)", "cast({bool} as varchar)",
        "cast({str} as varchar(3))", "strftime({ts}, '{format}')", "md5({uni})", "sha256({uni:leaf})", "chr(65 + {nat:leaf})",
        "hex({nat:leaf})", "cast({ts:leaf} as varchar)", "@bool_text({bool})", "cast({dbl:leaf} as varchar)",
    ),
    "uni": (
        "{uni} || {uni}", "substring({uni}, {few}, {nat})", "substring({uni}, 2)", "left({uni}, {nat})", "right({uni}, {nat})",
        "{str}", "trim({uni}, ' ')", "trim({uni})", "ltrim({uni}, '😀 ')", "replace({uni}, {uni:leaf}, {uni:leaf})",
        "replace({uni}, 'b', '日')", "repeat({uni:leaf}, {nat:leaf})", "translate({uni}, 'aé', 'b')",
        "split_part({uni}, ' ', {few})", "coalesce({uni}, '')", "nullif({uni}, '')",
        "case when {bool} then {uni} else {uni} end", "upper({uni})", "regexp_replace({uni}, '[a-z]', '', 'g')",
        "concat_ws('·', {uni}, {uni})",
    ),
    "bool": (
        "{int} > {int}", "{int} = {int}", "{dec} <= {dec}", "{dec} <> {int}", "{dbl} < {dbl}", "{dbl} >= {dec}",
        "{dbl:leaf} = 0 or {dbl:leaf} is null", "{dbl} in (0, 1, 2)", "{dbl} not in (0, {int:leaf})", "{dbl} <> 0 and {dbl} <> 1",
        "{dbl} < cast({int} as decimal(30,0))", "{dbl} in (select d from eu)", "{dec} in (select x from ev)",
        "{ext} = {ext}", "{ext} > {dbl}", "{str} = {str}", "{str} < {str}", "{uni} = {uni}", "{uni} <> {uni:leaf}",
        "{date} >= {date}", "{old} < {old}", "{ts} > {ts}", "{date} < {ts}", "{bool} and {bool}", "{bool} or {bool}",
        "not {bool}", "{bool} is true", "{bool} is not false", "{bool} = {bool}", "{int} is null", "{uni} is not null",
        "{dbl} is null", "{int} in (1, 2, 7)", "{int} not in (1, 2)", "{str} in ('a', 'abc')", "{int} between {int} and {int}",
        "{dec} between 0 and {dec}", "{date} between date '2000-01-01' and {date}", "{int} is distinct from {int}",
        "{str} is not distinct from {str}", "{str} like '{like}'", "{str} not like '{like}'", "{uni} like '%é%'",
        "{str} like '%!%%' escape '!'", "starts_with({uni}, {uni:leaf})", "regexp_matches({str}, '{regex}')", "{str} = '12'",
        "{int} = '7'", "extract(isodow from {ts}) in (6, 7)", "{int} in ({int:leaf}, {int:leaf})",
        "case when {bool} then {bool} else {bool} end", "coalesce({bool}, false)", "cast({int} as boolean)", "{old} is null",
    ),
    "date": (
        "cast({ts} as date)", "cast(date_trunc('month', {date}) as date)", "date_trunc('month', {date})",
        "cast({date} + interval 3 day as date)", "{date} + interval 1 month", "{date} + 1", "last_day({date})",
        "coalesce({date}, {date})", "greatest({date}, {date})", "case when {bool} then {date} else {date} end",
        "cast({date} - interval 13 month as date)", "nullif({date}, {date})", "least({date}, {date})",
    ),
    "old": (
        "{old:leaf}", "coalesce({old:leaf}, {date})", "case when {bool} then {old:leaf} else {date} end",
        "greatest({old:leaf}, {old:leaf})",
    ),
    "ts": (
        "date_trunc('{trunc}', {ts})", "{ts} + {amount}", "{ts} - {amount}", "{ts} + {nat} * interval 1 day",
        "{ts} - {int} * interval 1 minute", "epoch_ms({int})",
        "{ts} + to_minutes({nat})", "coalesce({ts}, {ts})", "greatest({ts}, {ts})", "least({ts}, {ts}, {ts:leaf})",
        "case when {bool} then {ts} else {ts} end", "nullif({ts}, {ts})", "cast({date} as timestamp)",
        "time_bucket(interval '{bucket}', {ts}, timestamp '1970-01-01')", "cast({ts} as timestamp)",
        "epoch_ms({nat} * 100000007)", "@week_start({ts})", "cast({ts} as timestamp(3))",
        "{ts} + {int:leaf} % 50 * interval 1 hour", "strptime('2024-02-29 12:34', '%Y-%m-%d %H:%M') + {amount}",
    ),
    "num": ("{int}", "{dec}", "{dbl}"),
    "any": ("{int}", "{dec}", "{dbl}", "{str}", "{uni}", "{bool}", "{date}", "{ts}", "{ext}", "{old}"),
}

# Aggregates of a group, a window relation or (those without DISTINCT) of OVER; `{over}` follows the call.
AGGREGATES: tuple[str, ...] = (
    "count(*){over}", "count({any}){over}", "sum({int}){over}", "sum({dec}){over}", "sum({int:leaf}){over}", "min({int}){over}",
    "max({int}){over}", "min({dec}){over}", "max({dec:leaf}){over}", "max({ts}){over}", "min({date}){over}",
    "min({str:leaf}){over}", "max({str}){over}", "avg({int}){over}", "avg({dec}){over}",
    "sum(case when {bool} then 1 else 0 end){over}", "count(*) filter (where {bool}){over}",
    "sum({int:leaf}) filter (where {bool}){over}", "max({dec:leaf}) filter (where {bool}){over}", "max({dbl}){over}",
    "min({ext}){over}", "bool_or({bool}){over}", "bool_and({bool}){over}", "max({bool}){over}", "count_if({bool}){over}",
    "coalesce(sum({int:leaf}){over}, 0)",
    "cast(sum({dec}){over} as double) / nullif(cast(count({dec:leaf}){over} as double), 0)", "count({int:leaf}){over} * 2 + 1",
    "var_pop({int:leaf}){over}", "stddev_pop({int:leaf}){over}", "sum({dbl}){over}", "avg({dbl:leaf}){over}",
    "max({old}){over}", "max({ts}) filter (where {bool}){over}", "case when count({dbl}){over} > 1 then min({int}){over} end",
)
DISTINCT_AGGREGATES: tuple[str, ...] = (
    "count(distinct {int})", "count(distinct {str})", "count(distinct {uni})", "count(distinct {date})",
    "count(distinct {dbl})", "sum(distinct {int:leaf})", "count(distinct {int:leaf}) filter (where {bool})",
)
# Macros that aggregate: name, argument kind, further arguments.
EXACT: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("sum_fixed", "dbl", (2,)), ("sum_fixed", "dbl", (6,)), ("avg_fixed", "dbl", (2,)), ("avg_exact", "int", ()),
    ("avg_exact", "dec", ()), ("var_exact", "dbl", (2,)), ("stddev_exact", "dbl", (1,)), ("var_exact", "int", (0,)),
)
POSITIONS: tuple[str, ...] = (
    "lag({int}) over {w}", "lag({dec}, 2) over {w}", "lag({uni:leaf}) over {w}", "row_number() over {w}",
    "lag({int:leaf}, 1, 0) over {w}", "first_value({int}) over {w}", "lag({nat:leaf}, 1, 7) over {w}",
    "first_value({nat:leaf}) over {w}", "lag({ts:leaf}) over {w}", "date_diff('second', lag({ts:leaf}) over {w}, {ts:leaf})",
    "lag('😀') over {w}", "lag({bool}) over {w}", "lag({dbl}) over {w}",
)
SPANS: tuple[str, ...] = (
    "'0' second", "'0.5' second", "'1' second", "10 minute", "1 hour", "'25' hour", "1 day", "7 day", "100 day", "2 week",
)

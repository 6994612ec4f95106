"""A scalar of a JSON message, which Flink reads as text, in the type of its column."""

from __future__ import annotations

from skewless.errors import SkewlessError
from skewless.types import Type

_DIGITS = "^-?(0|[1-9][0-9]*)$"
_MONTH_DAY = "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
_LEAP_DAY = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29"
_DAY = f"(?!0000)([0-9]{{4}}-{_MONTH_DAY}|{_LEAP_DAY})"
"""A day that there is: Flink's cast reads 30 February as 28 February, and 24:00 as the next day."""
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_PLAIN_INSTANT = f"^(19|20)[0-9]{{2}}-{_MONTH_DAY}[T ]{_TIME}([.][0-9]{{3}})?Z?\\z"
"""What nearly all instants look like: no 29 February, milliseconds or none."""


def from_text(name: str, type_: Type, digits: int) -> str:
    """The expression for a column's value; NULL for a text that is none.

    `digits`: how many an instant may have after its second. Raises SK830 for a type that JSON has no scalar for.
    """
    if type_.name == "string":
        return name
    if type_.name == "bool":
        return f"CASE {name} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"
    if type_.name in ("int32", "int64"):
        return f"CASE WHEN REGEXP({name}, '{_DIGITS}') THEN TRY_CAST({name} AS {type_.world('flink')}) END"
    if type_.name == "timestamp":
        return _instant(name, digits)
    if type_.name == "date":
        return f"CASE WHEN REGEXP({name}, '^{_DAY}\\z') THEN TRY_CAST({name} AS DATE) END"
    if type_.name in ("float32", "float64", "decimal"):
        return f"TRY_CAST({name} AS {type_.world('flink')})"
    raise SkewlessError("SK830", f"a value of type {type_} is not read from JSON", hint="Use format: avro.")


def _instant(name: str, digits: int) -> str:
    """Flink's cast says what an instant means. It takes microseconds, so a plain one is read by its parts, to the same value."""
    regexp, plain, cast = f"REGEXP({name}, '{_PLAIN_INSTANT}')", _by_parts(name, digits), _by_cast(name, digits)
    return f"CASE WHEN {regexp} THEN {plain} ELSE {cast} END"


def _by_cast(name: str, digits: int) -> str:
    text = f"REPLACE(REPLACE({name}, 'T', ' '), 'Z', '')"
    regexp = f"REGEXP({name}, '^{_DAY}[T ]{_TIME}([.][0-9]{{1,{digits}}})?Z?\\z')"
    return f"CASE WHEN {regexp} THEN TRY_CAST({text} AS TIMESTAMP({digits})) END"


def _by_parts(name: str, digits: int) -> str:
    hour, minute, second = (f"CAST(SUBSTRING({name}, {at}, 2) AS INT)" for at in (12, 15, 18))
    # Where milliseconds are left out, nothing follows the 0.
    ms = f"CAST('0' || SUBSTRING({name}, 21, 3) AS INT)"
    midnight = f"CAST(CAST(SUBSTRING({name}, 1, 10) AS DATE) AS TIMESTAMP({digits}))"
    return f"{midnight} + ({hour} * 3600000 + {minute} * 60000 + {second} * 1000 + {ms}) * INTERVAL '0.001' SECOND"

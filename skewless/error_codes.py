"""The table of error codes: code -> what it means. One line each; docs/errors.md is generated from it."""

from __future__ import annotations

CODES: dict[str, str] = {
    # SK10x: usage and configuration
    "SK100": "no skewless.yml was found here or above",
    "SK101": "skewless.yml does not parse, or holds a key or value that is not known",
    "SK102": "an option or argument of a command does not fit",
    "SK103": "a duration, instant or type does not parse",
    "SK104": "a reference to a view or feature does not parse",
    "SK105": "two features of one result have the same name",
    # SK11x-SK14x: findings of `skewless check`
    # SK20x: SQL
    # SK25x: plan and apply
    "SK250": "a snapshot of the registry does not parse, or has another format",
    # SK3xx: values and bytes
    "SK301": "a value does not fit its declared type",
    # SK4xx: lookups
    "SK404": "a view, feature service or feature does not exist",
    # SK5xx: history
    # SK6xx: online store
    # SK7xx: training sets
    # SK9xx: environment
    "SK900": "an error inside skewless",
}

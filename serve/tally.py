"""What the lookups of this process came to, counted in plain integers: a lookup may cost a microsecond here, not ten.

`Metrics` takes the counts over into Prometheus' own metrics once a second, and when it is asked.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import cycle
from math import inf

from skewless.lookup import ViewPlan
from skewless.rows import HEADER_SIZE
from skewless.rows.row import LAYOUT
from skewless.serve.hooks import Seen

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
AGES_S = (1, 10, 60, 300, 900, 3_600, 4 * 3_600, 12 * 3_600, 86_400, 3 * 86_400, 7 * 86_400, 30 * 86_400)
AGES_US = tuple(s * 1_000_000 for s in AGES_S)
RESULTS = ("valid", "stale", "expired", "missing")
VALID, STALE, EXPIRED, MISSING = range(4)
Part = tuple[list[int], "Spread", Callable[[int, int], bool], float]        # results, ages, is_stale, ttl
unpack = LAYOUT.unpack_from


class Spread:
    """A histogram: counts by bound (one more for what is above all), and the sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.counts = [0] * (len(self.bounds) + 1)
        self.total: float = 0

    def add(self, value: float) -> None:
        """One observation; a bound belongs to its bucket."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add_all(self, values: Sequence[float]) -> None:
        """Many observations; quickest where all belong to one bucket."""
        if not values:
            return
        self.total += sum(values)
        bucket, n = bisect_left(self.bounds, min(values)), len(values)
        if bucket == len(self.bounds) or max(values) <= self.bounds[bucket]:
            self.counts[bucket] += n
            return
        values, at = sorted(values), 0
        while at < n:
            bucket = bisect_left(self.bounds, values[at])
            until = bisect_right(values, self.bounds[bucket], at) if bucket < len(self.bounds) else n
            self.counts[bucket] += until - at
            at = until


class ViewTally:
    """Rows of one view-version by what they were worth, and the ages of those that were there."""

    __slots__ = ("results", "ages")

    def __init__(self) -> None:
        self.results = [0] * len(RESULTS)
        self.ages = Spread(AGES_US)


class PlanTally:
    """What lookups of one plan are counted into: its views' parts, and the time of its requests until the next flush."""

    __slots__ = ("parts", "views", "seconds", "counted")

    def __init__(self, parts: tuple[Part, ...], views: tuple[str, ...]) -> None:
        self.parts, self.views, self.seconds, self.counted = parts, views, Spread(SECONDS), False


class Tally:
    """`observe` is the hook of the lookups."""

    def __init__(self) -> None:
        self.plans: list[PlanTally] = []        # those with requests since the last flush
        self.requests: dict[tuple[str, int, str], int] = {}
        self.seconds: dict[str, Spread] = {}
        self.views: dict[str, ViewTally] = {}

    def observe(self, seen: Seen) -> None:
        """Counts one request and every row that it read."""
        self.request(seen.route, seen.status, seen.code, seen.seconds)
        plan, rows = seen.plan, seen.rows
        if plan is None or not rows:
            return
        mine: PlanTally | None = plan.compiled.get("tally")
        if mine is None:
            mine = plan.compiled["tally"] = PlanTally(
                tuple(self._part(vp) for vp in plan.views), tuple(dict.fromkeys(vp.view.ref for vp in plan.views)))
        mine.seconds.add(seen.seconds)
        if not mine.counted:
            mine.counted = True
            self.plans.append(mine)
        parts = mine.parts
        if len(seen.ages) == len(rows):
            return self._valid(parts, seen.ages)
        now = seen.at_us
        for part, raw in zip(parts if len(rows) == len(parts) else cycle(parts), rows, strict=False):
            results, ages, is_stale, ttl = part
            if raw is None or len(raw) <= HEADER_SIZE:
                results[MISSING] += 1
                continue
            age = now - unpack(raw)[2]
            ages.counts[bisect_left(AGES_US, age)] += 1
            ages.total += age
            results[EXPIRED if age > ttl else STALE if is_stale(age, now) else VALID] += 1

    def _valid(self, parts: Sequence[Part], ages: Sequence[int]) -> None:
        """Counts rows that are all valid, by their ages: as many for each part."""
        if len(ages) == len(parts):
            for (results, spread, _, _), age in zip(parts, ages, strict=True):
                results[VALID] += 1
                spread.add(age)
            return
        each = len(ages) // len(parts)
        for i, (results, spread, _, _) in enumerate(parts):
            results[VALID] += each
            spread.add_all(ages[i * each : (i + 1) * each])

    def _part(self, vp: ViewPlan) -> Part:
        tally = self.views.setdefault(vp.view.ref, ViewTally())
        return tally.results, tally.ages, vp.is_stale, inf if vp.ttl_us is None else vp.ttl_us

    def request(self, route: str, status: int, code: str, seconds: float) -> None:
        """Counts one request."""
        key = (route, status, code)
        self.requests[key] = self.requests.get(key, 0) + 1
        spread = self.seconds.get(route)
        if spread is None:
            spread = self.seconds[route] = Spread(SECONDS)
        spread.add(seconds)

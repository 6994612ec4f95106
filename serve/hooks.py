"""Where other parts of the server take hold of a lookup. All empty: a lookup is what `hot` does alone.

`app.state.hooks` is read at every request, so a hook may be set before or after the application has started.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from skewless.lookup import Plan

Scope = Mapping[str, Any]
Rows = list[bytes | None]
VIEW_ROUTE = "/feature-views/{id}/online-features"
ONE_ROUTE = "/online-features"
BATCH_ROUTE = "/online-features/batch"


class Found(NamedTuple):
    """Rows in the order of the keys; `sources` names where each came from (l1, redis, offline); None: untold."""

    rows: Rows
    sources: list[str] | None = None


class Seen(NamedTuple):
    """One request, when its reply has been handed to the server. `plan` and `rows` are None for a refusal.

    `rows`: what the lookup read, one per view and entity, None where there was none. `seconds` counts from the request's head.
    """

    route: str
    status: int
    seconds: float
    plan: Plan | None
    rows: Sequence[bytes | None] | None
    code: str                       # of the refusal, else empty
    at_us: int = 0                  # the instant of the answer
    ages: Sequence[int] = ()        # of the rows in us, view by view, if all of them are valid; else shorter than `rows`


class Trip(Protocol):
    """One lookup's way through a cache."""

    @property
    def keys(self) -> list[bytes]:
        """What to ask the store for."""


class Reads(Protocol):
    """Stands between a lookup and the store: an L1 cache."""

    def __call__(self, plan: Plan, keys: Sequence[bytes | None], read: Callable[[Sequence[bytes]], Awaitable[Rows]]) -> (
            Awaitable[Found]):
        """One row per key, None for None. Key i belongs to `plan.views[i % len(plan.views)]`."""

    def wanted(self, plan: Plan) -> bool:
        """Whether it has to be asked for this plan; where not, a lookup may read Redis without it."""

    def trip(self, plan: Plan, keys: Sequence[bytes | None], *, wait: bool) -> Trip | None:
        """The same in steps: ask for `keys` of it, then call `came` or `lost`. None where the rows of another lookup would have
        to be waited for and `wait` is false."""

    def came(self, trip: Trip, rows: Rows) -> Found:
        """Ends a trip with the rows of its keys, in order."""

    def lost(self, trip: Trip, error: BaseException) -> None:
        """Ends a trip without rows."""


class Misses(Protocol):
    """Called with what was found when a view of the plan wants it (`wanted`): the cold path."""

    def wanted(self, plan: Plan) -> bool:
        """Whether `fill` is to be asked for this plan; called once for each plan, then kept with it."""

    def fill(self, plan: Plan, entities: Sequence[Mapping[str, Any]], keys: Sequence[bytes | None], found: Found) -> (
            Awaitable[Found]):
        """The same rows, with what the offline store gave for those that are not there.

        `entities[i // len(plan.views)]` has row i's join keys.
        """


@dataclass
class Hooks:
    """`authorise(scope)` raises a SkewlessError for a request that may not read; `observe(seen)` must not raise.

    `authorise` looks at the scope's method and headers only. `timed(seconds)` hears of reads of the store, one in a few.
    """

    authorise: Callable[[Scope], None] | None = None
    observe: Callable[[Seen], None] | None = None
    reads: Reads | None = None
    misses: Misses | None = None
    timed: Callable[[float], None] | None = None

"""Which windows a run evaluates: gaps of the ledger first, then the newest stretch with its overlap; cut into chunks."""

from __future__ import annotations

from skewless.warehouse.ledger import Interval, gaps

DAY_US = 86_400_000_000
CHUNK_US = 31 * DAY_US


def due(covered: list[Interval], *, begin: int, now: int, overlap_us: int) -> list[Interval]:
    """The windows that a plain run evaluates, in order of time: every gap since `begin`, then [newest end - overlap, now).

    Nothing lies after `now` (law 3). A table without coverage gives [begin, now).
    """
    inside = [(s, e) for s, e in covered if e > begin and s < now]
    if not inside:
        return [(begin, now)] if begin < now else []
    newest = min(inside[-1][1], now)
    start = max(begin, newest - overlap_us)
    out = [(s, min(e, start)) for s, e in gaps(inside, begin, newest) if s < start]
    return [w for w in [*out, (start, now)] if w[0] < w[1]]


def explicit(start: int, end: int, *, now: int) -> list[Interval]:
    """A window that was asked for, cut at `now`; nothing where it is empty or lies in the future."""
    end = min(end, now)
    return [(start, end)] if start < end else []


def chunks(windows: list[Interval], chunk_us: int = CHUNK_US, *, shift_us: int = 0) -> list[Interval]:
    """The windows in pieces of at most `chunk_us` that end at midnight UTC where they can. `shift_us` moves those ends."""
    out: list[Interval] = []
    for start, end in windows:
        at = start
        while at < end:
            day = (at - shift_us) // DAY_US * DAY_US + shift_us if chunk_us >= DAY_US else at
            stop = day + chunk_us
            out.append((at, min(stop, end)))
            at = stop
    return out

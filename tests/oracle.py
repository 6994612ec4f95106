"""A naive lake in dictionaries: what is current, what a stream has appended, and the newest row of each entity at every commit.

The rules are those of DESIGN §5 in their plainest form; the online store is tested against it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Slot = tuple[str, int]                  # entity, event_timestamp
Version = tuple[int, int]               # value, ingested_at
Row = tuple[int, int, int]              # event_timestamp, ingested_at, value


@dataclass(frozen=True)
class State:
    """One commit: its stamp, the stored slots, the stream's rows (slot, value, ingested_at), and complete_through."""

    stamp: int
    stored: dict[Slot, Version]
    pending: tuple[tuple[Slot, int, int], ...]
    through: int

    def visible(self) -> dict[Slot, Version]:
        """Every slot's winning version: stream rows count from `through` on."""
        seen: dict[Slot, list[Version]] = {slot: [version] for slot, version in self.stored.items()}
        for slot, value, ingested in self.pending:
            if slot[1] >= self.through:
                seen.setdefault(slot, []).append((value, ingested))
        return {slot: winner(versions) for slot, versions in seen.items()}

    def newest(self) -> dict[str, Row]:
        """Each entity's newest row."""
        out: dict[str, Row] = {}
        for (entity, at), (value, ingested) in self.visible().items():
            if entity not in out or out[entity][0] < at:
                out[entity] = (at, ingested, value)
        return out


def winner(versions: list[Version]) -> Version:
    """Law 2 in one slot: the greatest ingested_at, and the earliest one of its run of equal values."""
    ordered = sorted(versions, key=lambda v: (v[1], v[0]))
    at = len(ordered) - 1
    while at and ordered[at - 1][0] == ordered[at][0]:
        at -= 1
    return ordered[-1][0], ordered[at][1]


@dataclass
class Lake:
    """The commits of one view, oldest first."""

    states: list[State] = field(default_factory=lambda: [State(0, {}, (), 0)])
    flushed: int = 0                    # messages of the stream that are in the lake

    @property
    def now(self) -> State:
        return self.states[-1]

    def _stamp(self, clock: int) -> int:
        return max(clock, self.now.stamp + 1, *(p[2] + 1 for p in self.now.pending), 0)

    def run(self, clock: int, source: dict[Slot, int], start: int, end: int) -> None:
        """A batch run over [start, end): the source is the truth there; equal values keep their ingested_at."""
        before, stamp = self.now, self._stamp(clock)
        through = max(before.through, end) if start <= before.through else before.through
        stored = dict(before.stored)
        visible = before.visible()
        for slot in {*stored, *visible, *source}:
            if not start <= slot[1] < end:
                continue
            if slot not in source:
                stored.pop(slot, None)
            else:
                known = visible.get(slot)
                stored[slot] = known if known and known[0] == source[slot] else (source[slot], stamp)
        pending = tuple(p for p in before.pending if p[0][1] >= through)
        self.states.append(State(stamp, stored, pending, through))

    def flush(self, clock: int, messages: list[tuple[Slot, int, int]], upto: int) -> None:
        """A stream's rows up to message number `upto`, exactly once."""
        if upto <= self.flushed:
            return
        self.flushed = upto
        before = self.now
        stamp = max(self._stamp(clock), *(m[2] + 1 for m in messages), 0)
        self.states.append(State(stamp, before.stored, (*before.pending, *messages), before.through))

    def changes(self, since: int | None) -> tuple[list[tuple[str, Row]], list[tuple[str, Version, Row | None]]]:
        """From state number `since` (None: everything) to now: each entity's newest changed row, and the versions that are gone;
        of everything, those from complete_through on.

        A gone version is (entity, (event_timestamp, ingested_at), the entity's newest row or None).
        """
        newest = self.now.newest()
        if since is None:
            known = {(slot, version[1]) for state in self.states for slot, version in state.visible().items()}
            ahead = sorted((s, i) for s, i in known if s[1] >= self.now.through and s not in self.now.visible())
            return list(newest.items()), [(s[0], (s[1], i), newest.get(s[0])) for s, i in ahead]
        old, new = self.states[since].visible(), self.now.visible()
        changed: dict[str, Row] = {}
        for (entity, at), (value, ingested) in new.items():
            if old.get((entity, at)) != (value, ingested) and (entity not in changed or changed[entity][0] < at):
                changed[entity] = (at, ingested, value)
        gone = {(slot, version[1]) for state in self.states[since:] for slot, version in state.visible().items()}
        appended = {(slot, ingested) for state in self.states[since + 1 :] for slot, _, ingested in state.pending}
        gone |= {(slot, ingested) for slot, ingested in appended if slot[1] < self.now.through}
        left = sorted((s, i) for s, i in gone if new.get(s, (0, None))[1] != i)
        return list(changed.items()), [(s[0], (s[1], i), newest.get(s[0])) for s, i in left]

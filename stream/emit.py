"""The complete script of a view's stream: settings, tables, the models beneath the view, one statement set. It is one job."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from skewless import messages
from skewless.errors import SkewlessError
from skewless.registry.inputs import Inputs
from skewless.registry.model import View
from skewless.sql.analysis import Analysis
from skewless.stream.environment import FLINK_VERSION
from skewless.stream.lower.dag import lower_view
from skewless.stream.lower.printer import Printer
from skewless.stream.tables import (
    DEAD_LETTERS,
    FEATURES,
    Kafka,
    SourceTable,
    dead_letters_table,
    features_query,
    features_table,
)

_P = Printer("flink")
_SETTINGS = {
    "execution.runtime-mode": "streaming", "table.local-time-zone": "UTC", "pipeline.object-reuse": "true",
    "pipeline.auto-watermark-interval": "50 ms", "execution.buffer-timeout.interval": "10 ms",
    "execution.checkpointing.interval": "5 s", "execution.checkpointing.min-pause": "500 ms",
    "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    "table.optimizer.reuse-optimize-block-with-digest-enabled": "true",     # what two inserts read is computed once
}


@dataclass(frozen=True)
class StreamScript:
    """The script of one view. `setup` are its statements before `job`, the one that starts the job; none has a semicolon.

    `fingerprint`: 64 hex digits of everything that state depends on (SQL, columns, topics, Flink's version) and of nothing else.
    A job is resumed only into a script of the same fingerprint.
    """

    name: str
    fingerprint: str
    setup: tuple[str, ...]
    job: str

    def text(self) -> str:
        """The whole script, for sql-client and Flink's runner of scripts. Others take its statements one by one."""
        return "".join(f"{statement};\n\n" for statement in (*self.setup, self.job)).removesuffix("\n")


def emit(
    manifest: dict[str, Any], view: View, dialect: str, namespace: str, kafka: Kafka, *, inputs: Inputs | None = None,
    start_ms: int | None = None,
) -> StreamScript:
    """The script of a view that streams; without state its sources start with what arrived at `start_ms`, else with the earliest.

    Raises SK830 for a view that does not stream, or whose key may be NULL; see `lower_view` too.
    """
    if view.stream is None:
        raise SkewlessError("SK830", f'view "{view.ref}" does not stream', hint="Say stream: {enabled: true} in its block.")
    reader = inputs or Inputs(manifest, dialect, stream=True)
    _check_keys(view, reader.analysis(manifest["nodes"][view.unique_id]))
    lowered = lower_view(manifest, view, dialect, "flink", inputs=reader)
    streams = {s.unique_id: s for s in view.stream.sources}
    strange = [s.name for s in lowered.sources if s.unique_id not in streams]
    if strange:
        fact = f'view "{view.ref}" streams, and "{strange[0]}", which it reads, is no stream'
        raise SkewlessError("SK830", fact, hint="skewless check says what is wrong with its declaration.")

    def statements(brokers: Kafka, start: int | None = None) -> tuple[list[str], str]:
        group = messages.topic(namespace, view)
        tables = [SourceTable(streams[s.unique_id], s.relation, brokers, group, start) for s in lowered.sources]
        setup = [text for table in tables for text in table.statements()] + lowered.setup()
        setup += [features_table(view, namespace, brokers), dead_letters_table(view, namespace, brokers)]
        inserts = [f"INSERT INTO `{FEATURES}`\n{features_query(view, lowered.query)}"]
        inserts += [f"INSERT INTO `{DEAD_LETTERS}`\n{query}" for table in tables for query in table.dead_letters()]
        return setup, "EXECUTE STATEMENT SET\nBEGIN\n" + "".join(f"{text};\n" for text in inserts) + "END"

    bare, job = statements(Kafka("", {}))
    fingerprint = hashlib.sha256("\0".join((FLINK_VERSION, *bare, job)).encode()).hexdigest()
    name = f"{namespace}.{view.ref} {fingerprint[:12]}"
    idle_ms = max(s.idle_timeout_us for s in view.stream.sources) // 1000
    settings = {"pipeline.name": name, **_SETTINGS, "table.exec.source.idle-timeout": f"{idle_ms} ms"}
    setup, job = statements(kafka, start_ms)
    return StreamScript(name, fingerprint, (*(f"SET {_P.string(k)} = {_P.string(v)}" for k, v in settings.items()), *setup), job)


def _check_keys(view: View, analysis: Analysis | SkewlessError | None) -> None:
    """A row without a key would end the job."""
    if isinstance(analysis, Analysis):
        for key in view.key_names:
            column = analysis.output.column(key)
            if column is not None and column.value.nullable:
                raise SkewlessError(
                    "SK830", f'join key "{key}" of view "{view.ref}" may be NULL, and such a row would end the job',
                    hint=f"Leave such rows out in the SQL (where {key} is not null), or test the source's column not_null: "
                    "messages without it then are dead letters.",
                )

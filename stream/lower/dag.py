"""A view and the models beneath it, as one script of an engine: each model a temporary view, in order, then the view's query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skewless.errors import Findings, SkewlessError
from skewless.registry.inputs import Inputs
from skewless.registry.model import View
from skewless.sql.analysis import Analysis
from skewless.sql.value import Relation
from skewless.stream.lower import refuse_findings
from skewless.stream.lower.outputs import declared
from skewless.stream.lower.printer import Engine, Printer
from skewless.stream.lower.queries import query
from skewless.types import Type, parse_type


@dataclass(frozen=True)
class Source:
    """A relation that a script reads and does not make: a dbt source, a stored model, one with an event time of its own."""

    name: str
    unique_id: str
    relation: Relation

    @property
    def event_time(self) -> str | None:
        """The column in whose order its rows come."""
        return next((c.name for c in self.relation.columns if c.value.event_time), None)


@dataclass(frozen=True)
class Script:
    """What an engine runs: `sources` must be there, `views` (name, query) are made in order, `query` yields the feature rows."""

    engine: Engine
    sources: tuple[Source, ...]
    views: tuple[tuple[str, str], ...]
    query: str

    def setup(self) -> list[str]:
        """The CREATE TEMPORARY VIEW statements, in order, without semicolons."""
        printer = Printer(self.engine)
        return [f"CREATE TEMPORARY VIEW {printer.exact(name)} AS\n{text}" for name, text in self.views]

    def text(self) -> str:
        """The whole script, ready to paste."""
        return "".join(f"{statement};\n\n" for statement in self.setup()) + self.query + ";\n"


def lower_view(manifest: dict[str, Any], view: View, dialect: str, engine: Engine, *, inputs: Inputs | None = None) -> Script:
    """The script of a view from its compiled SQL. `inputs`: a reader of the same manifest, to share its work.

    Raises Findings with everything that is not portable in the view or beneath it, SK201 for SQL that does not parse, SK820 to
    SK822 for what has no form in the engine, SK823 where two relations share a name.
    """
    reader = inputs or Inputs(manifest, dialect, stream=view.streamed)
    node = manifest["nodes"][view.unique_id]
    upstream = [n for n in _ordered(reader.lowered(node)) if (n.get("config") or {}).get("materialized") != "ephemeral"]
    analyses = [_analysis(reader, n) for n in (*upstream, node)]
    _refuse(analyses)
    printer = Printer(engine, {key: _name(n) for model in (*upstream, node) for key, n in _named(reader, manifest, model)})
    views = []
    for model, analysis in zip(upstream, analyses, strict=False):
        printed = query(printer, analysis.query, carry=engine == "flink")
        printer.rowtimes[_name(model)] = printed.rowtimes
        views.append((_name(model), printed.text))
    final = analyses[-1]
    text = declared(printer, query(printer, final.query).text, final.output, columns_of(view))
    return Script(engine, _sources(reader, manifest, (*upstream, node)), tuple(views), text)


def columns_of(view: View) -> dict[str, Type]:
    """The declared columns of a view's rows: join keys, event_timestamp, features."""
    keys = {k.name: parse_type(k.type) for k in view.join_keys}
    return {**keys, "event_timestamp": Type("timestamp"), **{f.name: parse_type(f.type) for f in view.features}}


def _analysis(reader: Inputs, node: dict[str, Any]) -> Analysis:
    found = reader.analysis(node)
    if isinstance(found, SkewlessError):
        raise found
    if found is None:
        raise SkewlessError("SK134", f'the SQL of model "{node["name"]}" is not compiled', hint="Run: dbt compile")
    return found


def _refuse(analyses: list[Analysis]) -> None:
    found: list[SkewlessError] = []
    for analysis in analyses:
        try:
            refuse_findings(analysis)
        except Findings as error:
            found += error.findings
    if found:
        raise Findings(found)


def _ordered(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Models in the order in which they can be made."""
    left = {n["unique_id"]: n for n in nodes}
    out: list[dict[str, Any]] = []
    while left:
        ready = sorted(i for i, n in left.items() if not left.keys() & set(_parents(n)))
        assert ready, "dbt's graph has no cycles"
        out += [left.pop(i) for i in ready]
    return out


def _parents(node: dict[str, Any]) -> list[str]:
    return (node.get("depends_on") or {}).get("nodes") or []


def _name(node: dict[str, Any]) -> str:
    return str(node.get("alias") or node.get("identifier") or node["name"]).lower()


def _sources(reader: Inputs, manifest: dict[str, Any], nodes: tuple[dict[str, Any], ...]) -> tuple[Source, ...]:
    """What the models read and none of them makes. Raises SK823 for two of one name."""
    made = {n["unique_id"]: _name(n) for n in nodes}
    names = {name: i for i, name in made.items()}
    out: dict[str, Source] = {}
    for node in nodes:
        for unique_id in _parents(node):
            parent = manifest.get("nodes", {}).get(unique_id) or manifest.get("sources", {}).get(unique_id)
            if parent is None or unique_id in made or (parent.get("config") or {}).get("materialized") == "ephemeral":
                continue
            name = _name(parent)
            if names.setdefault(name, unique_id) != unique_id:
                raise SkewlessError("SK823", f'two relations are called "{name}"', detail=f"{names[name]} and {unique_id}.",
                                    hint="Give one of them an alias.")
            relation = next(iter(_relations(reader, node, unique_id)), None)
            if relation is not None:
                out[name] = Source(name, unique_id, relation)
    return tuple(out[name] for name in sorted(out))


def _named(reader: Inputs, manifest: dict[str, Any], node: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What the SQL of a model calls the relations that it reads, and which they are."""
    out = []
    for unique_id in _parents(node):
        parent = manifest.get("nodes", {}).get(unique_id) or manifest.get("sources", {}).get(unique_id)
        if parent is not None:
            out += [(key, parent) for key in reader.of({**node, "depends_on": {"nodes": [unique_id]}})]
    return out


def _relations(reader: Inputs, node: dict[str, Any], unique_id: str) -> list[Relation]:
    alone = {**node, "depends_on": {"nodes": [unique_id]}}
    return list(reader.of(alone).values())



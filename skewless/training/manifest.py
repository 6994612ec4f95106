"""The manifest of a training set: everything that is needed to know what it is and to make it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from skewless.errors import SkewlessError
from skewless.registry.model import View
from skewless.training.render import Statement

FORMAT = 1
METADATA_KEY = b"skewless"
BACKFILL_RULE = "rows that a late first load brought count as known at event_timestamp + availability_delay"


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """The label frame. `path` is relative to the manifest's folder; `hash` is of the file's bytes, or of the values."""

    source: str
    path: str
    hash: str
    rows: int
    columns: dict[str, str]
    min_us: int | None
    max_us: int | None


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One view: its definition then, and the position in its ledger that was read."""

    view: str
    fingerprint: str
    definition_hash: str
    table_id: str
    table_version: int
    r_us: int
    backfill_windows: int                   # mode known_at: late first loads among the commits read
    definition: View


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What one training set is made of. Instants are microseconds; `created_at` is RFC 3339."""

    format: int = FORMAT
    skewless: str
    project: str
    target: str
    created_at: str
    service: str | None
    features: tuple[str, ...]
    mode: str
    backfill: str = ""
    statuses: bool
    label_timestamp: str
    labels: Labels
    views: tuple[Source, ...]
    statements: tuple[Statement, ...]
    rows: int
    columns: dict[str, str]
    content_hash: str
    output: str = ""


def manifest_path(output: Path) -> Path:
    """`train.parquet` -> `train.manifest.json`, beside it."""
    return output.with_name(output.name.removesuffix(output.suffix) + ".manifest.json")


def to_json(manifest: Manifest) -> bytes:
    """The manifest's bytes, indented, keys in declared order."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def read_manifest(path: Path) -> Manifest:
    """The manifest of a file. Raises SK710 when it is not there, does not parse or has another format."""
    hint = "A manifest is the .manifest.json that skewless training-set writes beside the training set."
    try:
        raw: Any = msgspec.json.decode(path.read_bytes())
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise SkewlessError("SK710", f'"{path}" is not a manifest of format {FORMAT}', hint=hint)
        return msgspec.convert(raw, Manifest)
    except OSError as error:
        raise SkewlessError("SK710", f'manifest "{path}" cannot be read', detail=f"{error.strerror}.", hint=hint) from None
    except msgspec.MsgspecError as error:
        raise SkewlessError("SK710", f'"{path}" is not a manifest', detail=str(error), hint=hint) from None

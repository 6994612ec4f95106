"""A training set that was joined: read it as Arrow, pandas or polars, or write it with its manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from skewless.errors import SkewlessError
from skewless.training.content import ContentHash
from skewless.training.manifest import METADATA_KEY, Manifest, manifest_path, to_json
from skewless.warehouse.files import sync_to_disk

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from skewless.config import Config

BATCH_ROWS = 122_880
RESULT = "__result"


class TrainingSet:
    """Rows in the label frame's order: its columns, then features, then statuses. `close()` frees the joined tables."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, manifest: Manifest, config: Config | None = None,
        cleanup: Callable[[], None] | None = None,
    ) -> None:
        self._con, self._manifest, self._config, self._cleanup = con, manifest, config, cleanup
        self._table: pa.Table | None = None
        self._expected: str | None = None

    def __len__(self) -> int:
        return self._manifest.rows

    def __enter__(self) -> TrainingSet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def manifest(self) -> Manifest:
        """The manifest, content hash included; hashing reads the rows once."""
        if not self._manifest.content_hash:
            reader = self._reader()
            hashed = ContentHash(reader.schema)
            for batch in reader:
                hashed.update(batch)
            self._manifest = msgspec.structs.replace(self._manifest, content_hash=hashed.digest())
        return self._manifest

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        if self._table is None:
            self._table = self._con.sql(f"select * from {RESULT}").to_arrow_table()
        return self._table

    def pandas(self) -> Any:
        """The rows as a pandas frame."""
        return self.arrow().to_pandas()

    def polars(self) -> Any:
        """The rows as a polars frame."""
        import polars as pl

        return pl.from_arrow(self.arrow())

    def to_parquet(self, path: str | Path, *, record: bool = True) -> Manifest:
        """Writes the rows (Parquet, zstd) and, beside them, the manifest; both appear whole or not at all.

        `record` enters the training set in the registry. Raises SK707 when it cannot be written there, SK712 when a rebuild
        did not give the rows of the original; then nothing is written.
        """
        path = Path(path)
        check_output(path)
        with _whole(path) as temporary:
            manifest = self._write(temporary, path)
            if self._expected is not None and manifest.content_hash != self._expected:
                raise SkewlessError(
                    "SK712", "the rebuilt training set differs from the original",
                    detail=f"Its content hash is {manifest.content_hash}, the manifest says {self._expected}.",
                    hint="Nothing was written. Was the lake or the label frame restored from elsewhere?",
                )
        with _whole(manifest_path(path)) as temporary:
            temporary.write_bytes(to_json(manifest))
        self._manifest = manifest
        if record and self._config:
            _record(self._config, manifest, path)
        return manifest

    def expect(self, digest: str) -> None:
        """From now on only rows of this content hash are written; `to_parquet` raises SK712 for others."""
        self._expected = digest

    def close(self) -> None:
        """Frees the connection and its files. Tables that were read stay valid."""
        cleanup, self._cleanup = self._cleanup, None
        self._con.close()
        if cleanup:
            cleanup()

    def _write(self, temporary: Path, path: Path) -> Manifest:
        import pyarrow.parquet as pq

        reader = self._reader()
        hashed = ContentHash(reader.schema)
        with pq.ParquetWriter(temporary, reader.schema, compression="zstd") as writer:
            for batch in reader:
                hashed.update(batch)
                writer.write_batch(batch, row_group_size=BATCH_ROWS)
            manifest = self._placed(path, hashed.digest())
            writer.add_key_value_metadata({METADATA_KEY: msgspec.json.encode(manifest)})
        return manifest

    def _placed(self, path: Path, digest: str) -> Manifest:
        labels = self._manifest.labels
        if labels.source == "file":
            where = os.path.relpath(Path(labels.path).absolute(), path.absolute().parent)
            labels = msgspec.structs.replace(labels, path=where)
        return msgspec.structs.replace(self._manifest, labels=labels, content_hash=digest, output=path.name)

    def _reader(self) -> Any:
        if self._table is not None:
            return self._table.to_reader(BATCH_ROWS)
        return self._con.sql(f"select * from {RESULT}").to_arrow_reader(BATCH_ROWS)


def check_output(path: Path) -> None:
    """Raises SK707 for a place where no training set can be written."""
    if path.suffix != ".parquet":
        raise SkewlessError("SK707", f'a training set is a .parquet file, not "{path.name}"')
    if not path.parent.is_dir():
        raise SkewlessError("SK707", f'the folder "{path.parent}" does not exist', hint=f"mkdir -p {path.parent}")
    if path.is_dir():
        raise SkewlessError("SK707", f'"{path}" is a folder')


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A temporary neighbour of the file, renamed to it once it is on disk; nothing is left of it otherwise."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        sync_to_disk(temporary)
        os.replace(temporary, path)
        sync_to_disk(path.parent)
    except OSError as error:
        raise SkewlessError("SK707", f'"{path}" cannot be written', detail=f"{error.strerror or error}.") from None
    finally:
        temporary.unlink(missing_ok=True)


def _record(config: Config, manifest: Manifest, path: Path) -> None:
    from skewless.registry.store import Store

    Store(config).record_dataset(
        path.stem, output_path=str(path.absolute()), manifest=msgspec.to_builtins(manifest), row_count=manifest.rows,
        content_hash=manifest.content_hash,
    )

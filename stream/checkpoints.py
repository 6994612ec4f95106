"""Checkpoints and savepoints as files: what a job can resume from, and the removal of what nobody needs.

Flink writes `<checkpoints>/<job id>/chk-<n>`; savepoints go to `<savepoints>/<job id>/savepoint-<name>`. Either is complete once
it holds `_metadata`. Only folders of this machine (file:///…) can be looked at and removed.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from skewless.errors import SkewlessError
from skewless.registry.stream_jobs import StreamJob

_METADATA = "_metadata"


def local(uri: str) -> Path | None:
    """The folder of a URI; None when it is not one of this machine."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" or uri.startswith("/") else None


def newest(folder: str) -> str:
    """The newest complete checkpoint or savepoint in the folder of a job, as a URI; "" when there is none, or it is far away."""
    where = local(folder) if folder else None
    if where is None or not where.is_dir():
        return ""
    complete = [p for p in (*where.glob("chk-*"), *where.glob("savepoint-*")) if (p / _METADATA).is_file()]
    latest = max(complete, key=lambda p: (p / _METADATA).stat().st_mtime_ns, default=None)
    return f"file://{latest}" if latest else ""


def resume_path(stream: StreamJob, savepoints: str, known: str = "") -> str:
    """What the job of a stream goes on from: the newest complete of its savepoints and checkpoints, else what it had resumed from
    itself; "" when it never had state, so that it starts where its sources began.

    `known`: what the JobManager says is the newest, for folders that cannot be looked at. Raises SK846 when the state that the
    job had is not there any more.
    """
    if stream.savepoint:
        found = stream.savepoint
    else:
        found = max((newest(stream.checkpoint_dir), newest(f"{savepoints}/{stream.job_id}" if savepoints else "")), key=_age)
        found = found or known or stream.checkpoint or stream.restored_from
    where = local(found) if found else None
    if where is not None and not (where / _METADATA).is_file() and not where.is_file():
        raise SkewlessError(
            "SK846", f"the state of view {stream.ref} is not there any more: {found}",
            hint=f"Start it afresh from its topics: skewless stream upgrade {stream.ref} --reset",
        )
    return found


def remove(folders: Sequence[str]) -> list[str]:
    """Deletes the folders of checkpoints that can be; those that are gone afterwards."""
    gone = []
    for folder in folders:
        where = local(folder)
        if where is not None:
            shutil.rmtree(where, ignore_errors=True)
            if not where.exists():
                gone.append(folder)
    return gone


def _age(uri: str) -> int:
    where = local(uri) if uri else None
    return (where / _METADATA).stat().st_mtime_ns if where is not None else 0

"""`skewless training-set`: join features to a label frame, as of each label."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from skewless.cli.output import AsJson, Progress, ProjectDir, Target, print_json, say
from skewless.config import read_config
from skewless.errors import SkewlessError

app = typer.Typer(add_completion=False)


@app.command(
    help="Join features to a label frame, as of each label; or rebuild a training set from its manifest.\n\n"
    "Example: skewless training-set --labels labels.parquet --service late_flights --out train.parquet"
)
def training_set(
    labels: Annotated[str, typer.Option(help="Label frame: .parquet or .csv file, or ref:<dbt model>.")] = "",
    service: Annotated[str, typer.Option(help="Feature service whose features to join.")] = "",
    features: Annotated[list[str] | None, typer.Option(help="Feature references, comma-separated or repeated.")] = None,
    out: Annotated[str, typer.Option(help="Parquet file to write; its manifest is written beside it.")] = "",
    label_timestamp: Annotated[str, typer.Option(help="The label frame's column of label times.")] = "label_timestamp",
    mode: Annotated[str, typer.Option(help="as_of (event time) or known_at (what one could have known).")] = "as_of",
    statuses: Annotated[bool, typer.Option("--statuses", help="Add one status column a view.")] = False,
    full_names: Annotated[bool, typer.Option("--full-names", help="Call features view__feature.")] = False,
    rebuild: Annotated[str, typer.Option(help="A manifest: make its training set again, with the same content.")] = "",
    as_json: AsJson = False,
    project_dir: ProjectDir = "",
    target: Target = "",
) -> None:
    """Prints the path of the training set on stdout; with --json its manifest. Progress goes to stderr."""
    from skewless.client import FeatureStore

    config = read_config(project_dir or None, target=target or None)
    store = FeatureStore(config.root, target=config.target)
    if rebuild:
        _only_rebuild(service, features, statuses, full_names, mode)
        path = Path(out) if out else _original(Path(rebuild))
        _written(as_json, path, lambda on_step: store.rebuild(rebuild, labels=labels or None, on_step=on_step))
        return
    if not labels or not out:
        raise SkewlessError("SK102", "a training set takes --labels and --out", hint="Or --rebuild with a manifest.")
    refs = [ref.strip() for text in features or [] for ref in text.split(",") if ref.strip()]
    _written(as_json, Path(out), lambda on_step: store.training_set(
        labels, service=service or None, features=refs or None, label_timestamp=label_timestamp, mode=mode,
        statuses=statuses, full_names=full_names, on_step=on_step,
    ))


def _written(as_json: bool, path: Path, make: Any) -> None:
    from skewless.training.manifest import manifest_path
    from skewless.training.result import check_output

    check_output(path)
    with Steps() as steps, make(steps) as made:
        manifest = made.to_parquet(path)
    say(f"{manifest.rows} rows, {len(manifest.columns)} columns, {manifest.content_hash}")
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(manifest) | {"path": str(path), "manifest": str(manifest_path(path))})
    else:
        print(path)


class Steps:
    """A callback that shows "view i of n", as a bar on a terminal."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def __call__(self, text: str, done: int, total: int) -> None:
        if self._progress is None:
            self._progress = Progress("training set", total).__enter__()
        self._progress.step(text)

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *error: object) -> None:
        if self._progress:
            self._progress.__exit__(*error)


def _original(manifest: Path) -> Path:
    """The training set that a manifest lies beside."""
    from skewless.training.manifest import read_manifest

    return manifest.parent / read_manifest(manifest).output


def _only_rebuild(service: str, features: list[str] | None, statuses: bool, full_names: bool, mode: str) -> None:
    if service or features or statuses or full_names or mode != "as_of":
        raise SkewlessError(
            "SK102", "--rebuild takes everything from the manifest", hint="Only --labels and --out go with it."
        )

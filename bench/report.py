"""Tables on stdout, JSON and plots in bench/out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent / "out"


def table(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print the rows under the first row's keys, and keep them as bench/out/<title>.json."""
    from rich.console import Console
    from rich.table import Table

    grid = Table(title=title)
    for name in rows[0]:
        grid.add_column(name, justify="left" if name == "what" else "right")
    for row in rows:
        grid.add_row(*(f"{v:,.2f}" if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else str(v) for v in row.values()))
    Console(width=140).print(grid)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{title}.json").write_text(json.dumps(list(rows), indent=2) + "\n")


def plot(title: str, x_label: str, y_label: str, series: dict[str, list[tuple[float, float]]]) -> Path:
    """A log-log line plot, one line a series, as bench/out/<title>.png."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), dpi=130)
    for name, points in series.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel=x_label, ylabel=y_label, title=title)
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.tight_layout()
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{title}.png"
    figure.savefig(path)
    plt.close(figure)
    return path

"""The peer's own environment: made on first use under .skewless/peers, since its pins clash with ours."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

FEAST = "feast[duckdb]>=0.66,<0.67"
HOME = Path(__file__).parents[1] / ".skewless" / "peers" / "feast"


@cache
def feast_python() -> str | None:
    """A Python that has Feast: BENCH_FEAST_PYTHON, else one of our making; None, and a line, where it does not install."""
    given = os.environ.get("BENCH_FEAST_PYTHON")
    if given:
        return given
    python = HOME / "bin" / "python"
    if not (HOME / "ready").exists():
        print(f"installing {FEAST} under {HOME} (once)", flush=True)
        for argv in ([sys.executable, "-m", "venv", str(HOME)], [str(python), "-m", "pip", "install", "--quiet", FEAST]):
            done = subprocess.run(argv, capture_output=True, text=True)
            if done.returncode:
                print(f"measured without Feast, which does not install here: {done.stderr.strip().splitlines()[-1:]}")
                return None
        (HOME / "ready").touch()
    return str(python)

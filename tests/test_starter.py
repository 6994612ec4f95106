"""What `skewless init` writes is portable as it stands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from skewless.cli.init import write_starter


def test_the_starter_is_portable(tmp_path: Path) -> None:
    write_starter(tmp_path / "shop", "shop")

    def skewless(*args: str) -> dict[str, object]:
        argv = [sys.executable, "-m", "skewless.cli", *args, "--json"]
        done = subprocess.run(argv, cwd=tmp_path / "shop", capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    assert skewless("check", "--strict")["findings"] == []
    (model,) = skewless("fix")["models"]
    assert (model["file"], model["changed"], model["left"], model["refused"]) == ("models/customer_orders.sql", False, [], 0)

"""`make demo-stream`, in less time: lookups follow the events, and nothing stays."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from skewless.stream.install import install
from tests.example import ROOT, Example, copy_project
from tests.test_dev import processes

TIME_OF_DAY = r"   [0-9]{2}:[0-9]{2}:[0-9]{2}  "


def test_lookups_follow_the_stream(tmp_path: Path) -> None:
    install(lambda step, text: None)
    project = copy_project(tmp_path)
    argv = [sys.executable, str(ROOT / "dbt_project" / "demo_stream.py"), "--project-dir", str(project)]
    argv += ["--catch-up", "20", "--live", "4"]
    done = subprocess.run(argv, cwd=tmp_path, env=Example(project, tmp_path, "").env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    said = {tuple(re.findall(r"[0-9]+ landed", line)) for line in done.stdout.splitlines() if re.match(TIME_OF_DAY, line)}
    assert len(said - {()}) >= 2, done.stdout
    assert re.search(TIME_OF_DAY + r".* landed.*, [0-9:]+ old", done.stdout), "each lookup says how old its values are"
    assert not processes(tmp_path) and not (project / ".skewless" / "dev").exists()

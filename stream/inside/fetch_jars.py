"""fetch_jars.py FOLDER COORDINATE…: download jars, without their dependencies, and print {"paths": […]} in the same order.

The repository is Maven Central, or the one whose URL SKEWLESS_MAVEN_REPOSITORY holds.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jgo.maven import MavenContext

TIMEOUT_SECONDS = 120
AT_ONCE = 4


def main(folder: str, *coordinates: str) -> None:
    mirror = os.environ.get("SKEWLESS_MAVEN_REPOSITORY")

    def fetch(coordinate: str) -> str:
        context = MavenContext(
            repo_cache=Path(folder), local_repos=[], remote_repos={"mirror": mirror} if mirror else None, timeout=TIMEOUT_SECONDS
        )
        group, artifact, version = coordinate.split(":")
        try:
            return str(context.project(group, artifact).at_version(version).artifact().resolve())
        except Exception as error:
            raise RuntimeError(f"{coordinate}: {type(error).__name__}: {error}") from None

    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            print(json.dumps({"paths": list(pool.map(fetch, coordinates))}))
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])

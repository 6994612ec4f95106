"""fetch_jars.py FOLDER COORDINATE…: download jars, without their dependencies, and print {"paths": […]} in the same order.

The repository is Maven Central, or the one whose URL SKEWLESS_MAVEN_REPOSITORY holds. The certificates trusted are those that
REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, PIP_CERT or SSL_CERT_FILE names, else the system's, else those of certifi.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jgo.maven import MavenContext

TIMEOUT_SECONDS = 120
AT_ONCE = 4


def trusted() -> str | None:
    """The file or folder of certificates; None: what requests brings along."""
    system = ssl.get_default_verify_paths()
    named = [os.environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "SSL_CERT_FILE")]
    return next((path for path in (*named, system.cafile, system.capath) if path and os.path.exists(path)), None)


def main(folder: str, *coordinates: str) -> None:
    if certificates := trusted():
        os.environ["REQUESTS_CA_BUNDLE"] = certificates
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

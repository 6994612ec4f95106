"""The Flink environment of this user: where it is and what is in it. `skewless.stream.install` makes it.

One folder for all projects, below `SKEWLESS_HOME` (default `~/.cache/skewless`), named after Flink's version and a hash of the
lock files, so that a version of skewless with other locks has a folder of its own. `ready.json` is
written last: a folder without it is not an environment.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from skewless.errors import SkewlessError

FLINK_VERSION = "2.3.0"
LOCKS = ("flink-requirements.lock", "java-requirements.lock", "jars.lock")
READY = "ready.json"
PYTHON_MIN = (3, 11)


@dataclass(frozen=True)
class Environment:
    """An installed environment; every path is absolute.

    `python` has py4j and runs the session's worker; `java` is 17 to 21; `flink_home` holds Flink's lib, opt and plugins;
    `jars` are the connectors and formats (Kafka, Avro, SQL gateway), to be put on the class path beside `flink_home`/lib.
    """

    folder: str
    python: str
    java: str
    java_version: int
    flink_home: str
    jars: tuple[str, ...]
    flink_version: str = FLINK_VERSION

    def class_path(self, *, with_jars: bool = True) -> str:
        """Flink's lib and the connector jars, for `java -cp`."""
        own = sorted(str(path) for path in (Path(self.flink_home) / "lib").glob("*.jar"))
        return os.pathsep.join(own + (list(self.jars) if with_jars else []))


def home() -> Path:
    """`SKEWLESS_HOME`, else `~/.cache/skewless`."""
    return Path(os.environ.get("SKEWLESS_HOME") or Path.home() / ".cache" / "skewless").expanduser().resolve()


def folder() -> Path:
    """The folder of this version's environment, installed or not."""
    return home() / f"flink-{FLINK_VERSION}-{fingerprint()[:12]}"


def fingerprint() -> str:
    """Hash of the three lock files, in hexadecimal."""
    digest = hashlib.sha256()
    for name in LOCKS:
        digest.update(name.encode() + b"\0" + lock_file(name).read_bytes() + b"\0")
    return digest.hexdigest()


def lock_file(name: str) -> Path:
    """One of `LOCKS`, as shipped in this package."""
    return Path(__file__).parent / name


def find() -> Environment | None:
    """The environment that is installed; None when there is none, or when one of its files is gone."""
    try:
        raw = json.loads((folder() / READY).read_text())
        found = Environment(**{**raw, "jars": tuple(raw["jars"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    files = (found.python, found.java, *found.jars)
    return found if all(os.path.exists(path) for path in files) and os.path.isdir(found.flink_home) else None


def locate() -> Environment:
    """The environment that is installed. Raises SK920 with the command that installs it."""
    found = find()
    if found is None:
        raise SkewlessError(
            "SK920", "Flink is not installed for skewless", detail=f"There is no finished environment in {folder()}.",
            hint="Install it (once per machine, about 400 MB) with: skewless stream install",
        )
    return found


def write_ready(environment: Environment) -> None:
    """Declares the environment finished, in one atomic step that survives a power cut."""
    path = Path(environment.folder) / READY
    draft = path.with_suffix(".draft")
    with open(draft, "w") as out:
        json.dump(asdict(environment), out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    os.replace(draft, path)

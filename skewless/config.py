"""`skewless.yml` at the dbt project's root; every key overridable by `SKEWLESS_<KEY>` (nested: `SKEWLESS_SERVE_PORT`).

Relative paths in it are relative to the file's folder, never to the working directory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from skewless.errors import SkewlessError

FILE_NAME = "skewless.yml"
ENV_PREFIX = "SKEWLESS_"


class Serve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the server listens, with how many processes (0: one for each processor), and whom it answers.

    `tls_cert` and `tls_key` are files; relative ones are relative to skewless.yml.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 0
    require_tokens: bool = False            # beyond loopback they always are, but with --insecure
    hosts: tuple[str, ...] = ()             # names of this server, beside localhost; who asks by another one needs a token
    allow_registration: bool = False        # POST /feature-views writes models into the project
    access_log: bool = False
    labels_root: str = "."                  # label frames that requests may name lie below this folder
    tls_cert: str = ""
    tls_key: str = ""


class Kafka(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the brokers are: `host:port,…`; "" for those of `skewless dev up`. `properties`: further ones of the clients."""

    bootstrap_servers: str = ""
    properties: dict[str, str] = {}


class Flink(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where streams run: `gateway` is the URL of a SQL Gateway, "" for that of `skewless dev up`; `jobmanager` the URL of the
    JobManager's REST, "" for what the gateway says of it. `flink: local` stands for {local: true}: in a process of our own.

    `checkpoints` and `savepoints` are URIs of folders that the cluster writes; "" for the cluster's own settings.
    """

    gateway: str = ""
    jobmanager: str = ""
    checkpoints: str = ""
    savepoints: str = ""
    local: bool = False


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one project. `root` is the absolute folder of skewless.yml; `target` the dbt target in force."""

    root: str = ""
    project: str
    target: str = "dev"
    online_store: str = "embedded"          # or redis://… rediss://… unix://… redis+sentinel://… redis+cluster://…
    registry: str = "sqlite"                # or a SQLAlchemy URL
    lake: str = "lake"
    profiles_dir: str = ""                  # default: the project's own folder if it holds profiles.yml
    serve: Serve = Serve()
    kafka: Kafka = Kafka()
    flink: Flink = Flink()

    @property
    def state(self) -> Path:
        """`.skewless/`: registry, embedded server, locks."""
        return Path(self.root) / ".skewless"

    @property
    def lake_root(self) -> Path:
        """The absolute folder of this target's lake: `<lake>/<target>`."""
        return (Path(self.root) / self.lake).resolve() / self.target

    @property
    def registry_url(self) -> str:
        """The SQLAlchemy URL of the registry."""
        return f"sqlite:///{self.state / 'registry.db'}" if self.registry == "sqlite" else self.registry

    @property
    def namespace(self) -> str:
        """`<project>.<target>`: the first part of every Redis key."""
        return f"{self.project}.{self.target}"


def find_root(start: str | Path | None = None) -> Path:
    """The nearest folder at or above `start` (default: SKEWLESS_PROJECT_DIR, else the working directory) with skewless.yml.

    Raises SK100.
    """
    here = Path(start or os.environ.get("SKEWLESS_PROJECT_DIR") or ".").resolve()
    for folder in (here, *here.parents):
        if (folder / FILE_NAME).is_file():
            return folder
    raise SkewlessError(
        "SK100", f"no {FILE_NAME} in {here} or above",
        hint="Run inside a dbt project that has one, pass --project-dir, or create one with: skewless init",
    )


def read_config(start: str | Path | None = None, *, target: str | None = None) -> Config:
    """The settings in force: file, then environment, then `target` (an explicit dbt target). Raises SK100, SK101."""
    import yaml

    root = find_root(start)
    path = root / FILE_NAME
    try:
        raw = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise SkewlessError("SK101", f"{FILE_NAME} does not parse", detail=f"{path}: {error}") from None
    if not isinstance(raw, dict):
        raise SkewlessError("SK101", f"{FILE_NAME} is not a mapping", detail=str(path))
    if raw.get("flink") == "local":
        raw["flink"] = {"local": True}
    _override(raw)
    raw["root"] = str(root)
    if target:
        raw["target"] = target
    try:
        return msgspec.convert(raw, Config, strict=False)
    except msgspec.ValidationError as error:
        keys = ", ".join(f.name for f in msgspec.structs.fields(Config) if f.name != "root")
        raise SkewlessError("SK101", f"{FILE_NAME}: {error}", detail=str(path), hint=f"Keys: {keys}.") from None


_NESTED: dict[str, Any] = {"serve": Serve, "kafka": Kafka, "flink": Flink}


def _override(raw: dict[str, Any]) -> None:
    for field in msgspec.structs.fields(Config):
        value = os.environ.get(ENV_PREFIX + field.name.upper())
        if field.name in _NESTED:
            nested = {
                f.name: os.environ[key]
                for f in msgspec.structs.fields(_NESTED[field.name])
                if (key := f"{ENV_PREFIX}{field.name}_{f.name}".upper()) in os.environ
            }
            if nested:
                raw[field.name] = {**(raw.get(field.name) or {}), **nested}
        elif value is not None and field.name != "root":
            raw[field.name] = value

"""URLs of several nodes: a Cluster, or the master that Sentinels name.

    redis+cluster://user:password@host:7000,host:7001
    redis+sentinel://user:password@host:26379,host:26379/mymaster/0

`rediss+…` speaks TLS.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from skewless.errors import SkewlessError

KINDS = ("cluster", "sentinel")


class Topology(NamedTuple):
    """`login` holds username and password where given; `master` and `db` are a Sentinel's."""

    kind: str
    nodes: list[tuple[str, int]]
    login: dict[str, Any]
    tls: bool
    master: str = ""
    db: int = 0


def topology(url: str) -> Topology | None:
    """What the URL names; None for a URL of one node. Raises SK601."""
    scheme, _, _ = url.strip().partition("://")
    name, _, kind = scheme.partition("+")
    if kind not in KINDS or name not in ("redis", "rediss"):
        return None
    try:
        return _read(url.strip(), kind, name == "rediss")
    except ValueError as error:
        raise SkewlessError(
            "SK601", "online_store is not understood", detail=f"{error}.",
            hint="Write it like redis+cluster://host:7000,host:7001 or redis+sentinel://host:26379/mymaster/0.",
        ) from None


def _read(url: str, kind: str, tls: bool) -> Topology:
    split = urlsplit(url)
    given, _, hosts = split.netloc.rpartition("@")
    user, _, password = given.partition(":")
    nodes = []
    for host in hosts.split(","):
        name, colon, port = host.rpartition(":")
        if not colon or not name or not port.isdecimal():
            raise ValueError(f'"{host}" is not host:port')
        nodes.append((name.strip("[]"), int(port)))
    login = {k: unquote(v) for k, v in (("username", user), ("password", password)) if v}
    path = [part for part in split.path.split("/") if part]
    if kind == "cluster":
        return Topology(kind, nodes, login, tls)
    if not 1 <= len(path) <= 2 or (len(path) == 2 and not path[1].isdecimal()):
        raise ValueError("the path is not /<name of the master>/<database>")
    return Topology(kind, nodes, login, tls, path[0], int(path[1]) if len(path) == 2 else 0)

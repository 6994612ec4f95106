"""Clients of the online store that skewless.yml names, and its failures as errors a user can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from skewless import embedded
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.online.topology import Topology, topology

if TYPE_CHECKING:
    import redis
    import redis.asyncio

SCHEMES = ("redis", "rediss", "unix")
CONNECT_SECONDS_MAX = 5.0


def store_url(config: Config) -> str:
    """The URL of the online store; starts or joins the embedded server. Raises SK601, SK602."""
    url = config.online_store.strip()
    if url == "embedded":
        return embedded.use(config)
    if url.partition("://")[0] not in SCHEMES or "://" not in url:
        raise SkewlessError(
            "SK601", f'online_store "{shown(url)}" is not understood',
            hint='Write "embedded", or a URL like redis://localhost:6379/0, rediss://user:password@host:6380/0 or unix:///path.sock.',
        )
    return url


def connect(config: Config) -> redis.Redis:
    """A client that has been answered once. Replies are bytes. Raises SK600, SK601, SK602."""
    import redis

    found = topology(config.online_store)
    if found is not None:
        return _connect_topology(config.online_store, found)
    url = store_url(config)
    with speaking(url):
        client = redis.Redis.from_url(url, **_options(redis))
        client.ping()
    return client


def _connect_topology(url: str, found: Topology) -> redis.Redis:
    """The master that the Sentinels name. Raises SK600, SK601 for a Cluster: rows are written to one node."""
    import redis
    from redis.sentinel import Sentinel

    if found.kind == "cluster":
        raise SkewlessError(
            "SK601", "a Redis Cluster is for skewless serve only", detail="Rows, definitions and tokens are written to one node.",
            hint="Name a single node or Sentinels (redis+sentinel://host:26379/mymaster/0) here.",
        )
    with speaking(url):
        sentinel = Sentinel(found.nodes, socket_connect_timeout=CONNECT_SECONDS_MAX, **found.login)
        client = sentinel.master_for(found.master, db=found.db, ssl=found.tls, **found.login, **_options(redis))
        client.ping()
    return client


def connect_async(config: Config) -> redis.asyncio.Redis:
    """An asyncio client; nothing is sent yet. Replies are bytes. Raises SK601, SK602."""
    import redis.asyncio

    url = store_url(config)
    with speaking(url):
        return redis.asyncio.Redis.from_url(url, decode_responses=False, socket_connect_timeout=CONNECT_SECONDS_MAX)


def _options(redis: Any) -> dict[str, Any]:
    from redis.backoff import ExponentialBackoff
    from redis.retry import Retry

    retry = Retry(ExponentialBackoff(cap=1.0, base=0.05), retries=3)
    return {"decode_responses": False, "socket_connect_timeout": CONNECT_SECONDS_MAX, "retry": retry}


@contextmanager
def speaking(url: str) -> Iterator[None]:
    """Failures of redis-py inside become SkewlessErrors: SK600 no answer, SK601 a bad URL, SK604 a refusal."""
    import redis

    try:
        yield
    except (redis.AuthenticationError, redis.exceptions.AuthorizationError) as error:
        fact = f"the online store {shown(url)} refuses the login"
        raise SkewlessError("SK600", fact, detail=_sentence(error), hint="Check user and password.") from None
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        fact = f"the online store {shown(url)} does not answer"
        raise SkewlessError("SK600", fact, detail=_sentence(error), hint=_HINT) from None
    except redis.ResponseError as error:
        raise SkewlessError("SK604", "the online store refused a command", detail=f"{shown(url)}: {_sentence(error)}") from None
    except ValueError as error:
        raise SkewlessError("SK601", f'online_store "{shown(url)}" is not understood', detail=_sentence(error)) from None


_HINT = "Start it, or correct online_store in skewless.yml. What was written stays; run the command again."


def _sentence(error: Exception) -> str:
    return str(error).rstrip(".") + "."


def shown(url: str) -> str:
    """The URL without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:…@", url)


def url_of(client: redis.Redis) -> str:
    """What a client is connected to, for messages."""
    settings = client.connection_pool.connection_kwargs
    if "path" in settings:
        return f"unix://{settings['path']}"
    return f"redis://{settings.get('host', 'localhost')}:{settings.get('port', 6379)}/{settings.get('db', 0)}"

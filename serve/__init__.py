"""The HTTP shim. It needs the registry snapshot and Redis, nothing else.

    create_app(config)   the ASGI application
    run(config, ...)     the process: sockets, signals, draining
"""

from skewless.serve.app import create_app
from skewless.serve.server import run

__all__ = ["create_app", "run"]

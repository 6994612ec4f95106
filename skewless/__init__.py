"""skewless: one SQL definition, the same bytes in training and in serving.

`FeatureStore` (offline) and, over HTTP, `Client` and `AsyncClient` load on first use, so `import skewless` stays light.
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "FeatureStore", "SkewlessError", "__version__"]

from skewless.errors import SkewlessError


def __getattr__(name: str) -> object:
    if name in ("FeatureStore", "Client", "AsyncClient"):
        from skewless import client

        return getattr(client, name)
    raise AttributeError(f"module 'skewless' has no attribute {name!r}")

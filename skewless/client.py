"""The Python entry points: `FeatureStore` inside a project (training sets, lookups), `Client` and `AsyncClient` over HTTP.

    FeatureStore("flights/").training_set("labels.parquet", service="late_flights").pandas()
    Client("http://127.0.0.1:8000").get("late_flights", {"carrier": "UA"})
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.config import Config, read_config
from skewless.remote import AsyncClient, Client, HTTPError

if TYPE_CHECKING:
    from skewless.lookup import Answer
    from skewless.registry.model import Registry
    from skewless.training.join import OnStep
    from skewless.training.result import TrainingSet

__all__ = ["AsyncClient", "Client", "FeatureStore", "HTTPError"]


class FeatureStore:
    """One project: the folder of skewless.yml (or a folder below it) and a dbt target. Opens nothing until it is used.

    Definitions are those that were applied. Use it as a context manager, or `close()` it, after lookups.
    """

    def __init__(self, path: str | Path | None = None, *, target: str | None = None) -> None:
        self.config: Config = read_config(path, target=target)

    @cached_property
    def registry(self) -> Registry:
        """The applied definitions, read once. Raises SK251 when nothing is applied."""
        from skewless.registry.store import Store

        return Store(self.config).require_applied()

    def training_set(
        self, labels: Any, *, service: str | None = None, features: Sequence[str] | None = None,
        label_timestamp: str = "label_timestamp", mode: str = "as_of", statuses: bool = False, full_names: bool = False,
        on_step: OnStep | None = None,
    ) -> TrainingSet:
        """Features as of each label: rows out = rows in, same order, duplicates kept.

        `labels`: path (.parquet, .csv), `ref:<dbt model>`, or an Arrow, pandas or polars table with the join keys and
        `label_timestamp`. Give a `service`, or `features` such as `["carrier_delays@1:carrier_landings_24h"]`. `statuses` adds
        `<view>__status` (ok, missing). `mode`: `as_of` (event time) or `known_at` (what one could have known). `on_step` gets
        (text, done, total). Raises SK404, SK105, SK70x; SK705 where history is not complete.
        """
        from skewless.training.join import training_set

        return training_set(
            self.config, self.registry, labels, service=service, features=features, label_timestamp=label_timestamp, mode=mode,
            statuses=statuses, full_names=full_names, on_step=on_step,
        )

    def rebuild(self, manifest: str | Path, *, labels: Any = None, on_step: OnStep | None = None) -> TrainingSet:
        """The training set of a manifest again, from the history as it was. Raises SK710, SK711; writing it raises SK712."""
        from skewless.training.join import rebuild

        return rebuild(self.config, manifest, labels=labels, on_step=on_step)

    def get(self, what: str | Sequence[str], entities: Mapping[str, Any]) -> Answer:
        """The newest values of a service's features, or of references, for one set of join keys, from the online store.

        `.features` maps names to values, `.status` to ok, null or missing. Raises SK402, SK404, SK422, SK600.
        """
        from skewless.clock import now_us
        from skewless.lookup import Lookups
        from skewless.online import newest

        fresh = newest.load(self._online, self.config.namespace, self.registry.views)
        lookups = Lookups(self.registry, self.config.namespace, newest=fresh)
        if isinstance(what, str) and what in {service.name for service in self.registry.services}:
            plan = lookups.service(what)
        else:
            plan = lookups.references((what,) if isinstance(what, str) else tuple(what))
        wanted = plan.keys(entities)
        asked = [key for key in wanted if key is not None]
        found = iter(self._online.mget(asked) if asked else [])
        return plan.answer([None if key is None else next(found) for key in wanted], now_us())

    @cached_property
    def _online(self) -> Any:
        from skewless.online import connect

        return connect(self.config)

    def close(self) -> None:
        """Ends the connection to the online store, if there is one."""
        if "_online" in self.__dict__:
            self.__dict__.pop("_online").close()

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

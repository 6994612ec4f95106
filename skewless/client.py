"""The Python entry points: `FeatureStore` inside a project (training sets, lookups), `Client` over HTTP.

    FeatureStore("flights/").training_set("labels.parquet", service="late_flights").pandas()
    Client("http://127.0.0.1:8000").get("late_flights", {"carrier": "UA"})
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.config import Config, read_config
from skewless.errors import SkewlessError

if TYPE_CHECKING:
    from skewless.lookup import Answer
    from skewless.registry.model import Registry
    from skewless.training.join import OnStep
    from skewless.training.result import TrainingSet


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

        lookups = Lookups(self.registry, self.config.namespace)
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


class HTTPError(SkewlessError):
    """A reply that says no: `status` is the HTTP status, `problem` the problem document (RFC 9457)."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status, self.problem = status, problem
        code = str(problem.get("code", ""))
        known = code.startswith("SK") and _known(code)
        super().__init__(
            code if known else "SK460", str(problem.get("detail") or problem.get("title") or f"the server answered {status}"),
            hint=str(problem.get("hint") or ""),
        )


class Client:
    """A server's lookups. One request a call; not a connection pool. `timeout_s` bounds each request."""

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 5.0) -> None:
        self.url, self._token, self._timeout_s = url.rstrip("/"), token, timeout_s

    def get(self, service: str, entities: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """`{features, metadata}` of one entity for a service. `options` are further fields of the request.

        Raises HTTPError for a reply that says no, SK461 when the server cannot be reached.
        """
        return self._post("/online-features", {"feature_service": service, "entities": dict(entities), **options})

    def get_features(self, features: Sequence[str], entities: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """The same for references such as `["carrier_delays@1:carrier_landings_24h"]`."""
        return self._post("/online-features", {"features": list(features), "entities": dict(entities), **options})

    def get_batch(self, service: str, entities: Sequence[Mapping[str, Any]], **options: Any) -> dict[str, Any]:
        """The same for several entities at once."""
        body = {"feature_service": service, "entities": [dict(e) for e in entities], **options}
        return self._post("/online-features/batch", body)

    def ready(self) -> bool:
        """True when the server can answer lookups."""
        try:
            self._call("GET", "/readyz", None)
            return True
        except HTTPError:
            return False

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._call("POST", path, json.dumps(body, default=str).encode())

    def _call(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self.url + path, data=body, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as reply:
                return _parsed(reply.read())
        except urllib.error.HTTPError as error:
            raise HTTPError(error.code, _parsed(error.read())) from None
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            raise SkewlessError(
                "SK461", f"no server answers at {self.url}", detail=str(getattr(error, "reason", error)), hint="skewless serve"
            ) from None


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw or b"{}")
    except ValueError:
        return {"title": raw[:200].decode(errors="replace")}
    return value if isinstance(value, dict) else {"value": value}


def _known(code: str) -> bool:
    from skewless.error_codes import CODES

    return code in CODES

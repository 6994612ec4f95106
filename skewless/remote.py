"""A server over HTTP: `Client`, and `AsyncClient` with the same methods. Both keep a pool of connections.

    with Client("https://features.example.com", token=TOKEN) as client:
        client.get("late_flights", {"carrier": "UA", "tailnum": "N14228", "origin": "EWR", "dest": "IAH"})["features"]

What a server refuses is a HTTPError of its kind: BadRequest, Unauthorised, NotFound, Conflict, Gone, Unprocessable, Unavailable.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from skewless.error_codes import CODES
from skewless.errors import SkewlessError

if TYPE_CHECKING:
    import httpx

CONNECTIONS_MAX = 100
POLL_S = 0.5
Json = dict[str, Any]
Keys = Mapping[str, Any]


class HTTPError(SkewlessError):
    """A reply that says no: `status` is the HTTP status, `problem` the problem document (RFC 9457)."""

    def __init__(self, status: int, problem: Json) -> None:
        self.status, self.problem = status, problem
        code = str(problem.get("code", ""))
        super().__init__(
            code if code in CODES else "SK460",
            str(problem.get("detail") or problem.get("title") or f"the server answered {status}"),
            hint=str(problem.get("hint") or ""),
        )


class BadRequest(HTTPError):
    """400, 413, 415: the request does not fit."""


class Unauthorised(HTTPError):
    """401, 403: no token, or not one for this."""


class NotFound(HTTPError):
    """404: no such view, service, feature, job or training set."""


class Conflict(HTTPError):
    """409: another job is in the way; `job_id` names it where there is one."""

    @property
    def job_id(self) -> str | None:
        return self.problem.get("job_id")


class Gone(HTTPError):
    """410: the version is past its sunset."""


class Unprocessable(HTTPError):
    """422: values are missing or stale whose view refuses that; `features` names them."""

    @property
    def features(self) -> list[str]:
        return list(self.problem.get("features", ()))


class Unavailable(HTTPError):
    """503: ask again in `retry_after_s`."""

    retry_after_s = 1.0


KINDS: dict[int, type[HTTPError]] = {
    400: BadRequest, 413: BadRequest, 415: BadRequest, 401: Unauthorised, 403: Unauthorised, 404: NotFound, 409: Conflict,
    410: Gone, 422: Unprocessable, 503: Unavailable,
}


class Call(NamedTuple):
    """One request."""

    method: str
    path: str
    body: Json | None = None
    query: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None


def lookup(path: str, what: Json, entities: Any, options: Json) -> Call:
    """POST of a lookup."""
    return Call("POST", path, {**what, "entities": entities, **options})


def one_view(view: str, entity: Any, options: Json) -> Call:
    """GET of one view; `entity` is the join key's value, or a mapping of several."""
    keys = entity if isinstance(entity, Mapping) else {"entity_id": entity}
    query = {name: _text(value) for name, value in {**keys, **options}.items()}
    return Call("GET", f"/feature-views/{_part(view)}/online-features", query=query)


def begin(path: str, body: Json, idempotency_key: str | None) -> Call:
    """POST that begins a job."""
    given = {name: _plain(value) for name, value in body.items() if value is not None}
    return Call("POST", path, given, headers={"Idempotency-Key": idempotency_key} if idempotency_key else None)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    plain = _plain(value)
    return json.dumps(plain) if isinstance(plain, bool) else str(plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _part(text: str) -> str:
    return quote(text, safe="@")


class _Base:
    """What both clients share: settings, requests and replies."""

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 5.0) -> None:
        self.url = url.rstrip("/")
        self._settings: Json = {"base_url": self.url, "timeout": timeout_s, "headers": {
            "Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}}

    def _options(self, call: Call) -> Json:
        options: Json = {"params": dict(call.query) if call.query else None, "headers": dict(call.headers or {})}
        if call.body is not None:
            options["content"] = json.dumps(call.body, default=_plain_or_fail).encode()
            options["headers"]["Content-Type"] = "application/json"
        return options

    def _result(self, reply: httpx.Response) -> Json:
        parsed = _parsed(reply.content)
        if reply.is_success:
            return parsed
        error = KINDS.get(reply.status_code, HTTPError)(reply.status_code, parsed)
        if isinstance(error, Unavailable):
            error.retry_after_s = float(reply.headers.get("retry-after", 1))
        raise error

    def _away(self, error: Exception) -> SkewlessError:
        detail = f"{error}." if str(error) else f"{type(error).__name__}."
        return SkewlessError("SK461", f"no server answers at {self.url}", detail=detail, hint="skewless serve")


class Client(_Base):
    """Synchronous, for one or several threads. `timeout_s` bounds each step of a request. Close it, or use `with`."""

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 5.0) -> None:
        super().__init__(url, token=token, timeout_s=timeout_s)
        module = _httpx()
        self._errors = module.TransportError
        self._http = module.Client(transport=module.HTTPTransport(limits=_limits(module), retries=1), **self._settings)

    def get(self, service: str, entities: Keys, **options: Any) -> Json:
        """`{features, metadata}` of one entity for a service. `options` are further fields of the request.

        Raises HTTPError for a reply that says no, SK461 when the server cannot be reached. So does every method.
        """
        return self._send(lookup("/online-features", {"feature_service": service}, dict(entities), options))

    def get_features(self, features: Sequence[str], entities: Keys, **options: Any) -> Json:
        """The same for references such as `["carrier_delays@1:carrier_landings_24h"]`."""
        return self._send(lookup("/online-features", {"features": list(features)}, dict(entities), options))

    def get_batch(self, service: str, entities: Sequence[Keys], **options: Any) -> Json:
        """`{results: [...]}` for several entities at once, in their order."""
        return self._send(lookup("/online-features/batch", {"feature_service": service}, [dict(e) for e in entities], options))

    def get_features_batch(self, features: Sequence[str], entities: Sequence[Keys], **options: Any) -> Json:
        """The same for references."""
        return self._send(lookup("/online-features/batch", {"features": list(features)}, [dict(e) for e in entities], options))

    def get_view(self, view: str, entity: Any, **options: Any) -> Json:
        """One view (name, name@version or UUID) for one entity: the join key's value, or a mapping of several."""
        return self._send(one_view(view, entity, options))

    def views(self) -> list[Json]:
        """The definitions of all feature views."""
        return list(self._send(Call("GET", "/feature-views"))["feature_views"])

    def view(self, view: str) -> Json:
        """One definition."""
        return self._send(Call("GET", f"/feature-views/{_part(view)}"))

    def materialize(
        self, view: str, *, start_date: Any = None, end_date: Any = None, target: str = "both", idempotency_key: str | None = None
    ) -> str:
        """Begins a job that computes and pushes a view; its id. Raises Conflict while another one of the view is active."""
        body = {"start_date": start_date, "end_date": end_date, "target": target}
        return str(self._send(begin(f"/feature-views/{_part(view)}/materialize", body, idempotency_key))["job_id"])

    def training_set(self, labels: str, *, idempotency_key: str | None = None, **request: Any) -> str:
        """Begins a training set (`feature_service` or `features`, and more fields of the request); its id, which is its job's."""
        return str(self._send(begin("/training-datasets", {"labels": labels, **request}, idempotency_key))["dataset_id"])

    def job(self, job_id: str) -> Json:
        """A job: status, progress, error, result."""
        return self._send(Call("GET", f"/jobs/{_part(job_id)}"))

    def cancel(self, job_id: str) -> Json:
        """Cancels a job that waits; tells one that runs to stop."""
        return self._send(Call("POST", f"/jobs/{_part(job_id)}/cancel", {}))

    def wait(self, job_id: str, *, timeout_s: float = 3600.0) -> Json:
        """The job when it has ended. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while (job := self.job(job_id))["status"] in ("submitted", "running"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"job {job_id} is {job['status']} after {timeout_s:g} s")
            time.sleep(POLL_S)
        return job

    def dataset(self, dataset_id: str) -> Json:
        """A training set: status, output_path, row_count, manifest."""
        return self._send(Call("GET", f"/training-datasets/{_part(dataset_id)}"))

    def datasets(self) -> list[Json]:
        """The newest training sets."""
        return list(self._send(Call("GET", "/training-datasets"))["training_datasets"])

    def ready(self) -> bool:
        """True when the server can answer lookups."""
        try:
            self._send(Call("GET", "/readyz"))
        except HTTPError:
            return False
        return True

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, call: Call) -> Json:
        try:
            reply = self._http.request(call.method, call.path, **self._options(call))
        except self._errors as error:
            raise self._away(error) from None
        return self._result(reply)


class AsyncClient(_Base):
    """The methods of Client, awaited. One event loop. Close it with `aclose`, or use `async with`."""

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 5.0) -> None:
        super().__init__(url, token=token, timeout_s=timeout_s)
        module = _httpx()
        self._errors = module.TransportError
        self._http = module.AsyncClient(transport=module.AsyncHTTPTransport(limits=_limits(module), retries=1), **self._settings)

    async def get(self, service: str, entities: Keys, **options: Any) -> Json:
        """See Client.get."""
        return await self._send(lookup("/online-features", {"feature_service": service}, dict(entities), options))

    async def get_features(self, features: Sequence[str], entities: Keys, **options: Any) -> Json:
        """See Client.get_features."""
        return await self._send(lookup("/online-features", {"features": list(features)}, dict(entities), options))

    async def get_batch(self, service: str, entities: Sequence[Keys], **options: Any) -> Json:
        """See Client.get_batch."""
        return await self._send(
            lookup("/online-features/batch", {"feature_service": service}, [dict(e) for e in entities], options))

    async def get_features_batch(self, features: Sequence[str], entities: Sequence[Keys], **options: Any) -> Json:
        """See Client.get_features_batch."""
        return await self._send(
            lookup("/online-features/batch", {"features": list(features)}, [dict(e) for e in entities], options))

    async def get_view(self, view: str, entity: Any, **options: Any) -> Json:
        """See Client.get_view."""
        return await self._send(one_view(view, entity, options))

    async def views(self) -> list[Json]:
        """See Client.views."""
        return list((await self._send(Call("GET", "/feature-views")))["feature_views"])

    async def view(self, view: str) -> Json:
        """See Client.view."""
        return await self._send(Call("GET", f"/feature-views/{_part(view)}"))

    async def materialize(
        self, view: str, *, start_date: Any = None, end_date: Any = None, target: str = "both", idempotency_key: str | None = None
    ) -> str:
        """See Client.materialize."""
        body = {"start_date": start_date, "end_date": end_date, "target": target}
        return str((await self._send(begin(f"/feature-views/{_part(view)}/materialize", body, idempotency_key)))["job_id"])

    async def training_set(self, labels: str, *, idempotency_key: str | None = None, **request: Any) -> str:
        """See Client.training_set."""
        return str((await self._send(begin("/training-datasets", {"labels": labels, **request}, idempotency_key)))["dataset_id"])

    async def job(self, job_id: str) -> Json:
        """See Client.job."""
        return await self._send(Call("GET", f"/jobs/{_part(job_id)}"))

    async def cancel(self, job_id: str) -> Json:
        """See Client.cancel."""
        return await self._send(Call("POST", f"/jobs/{_part(job_id)}/cancel", {}))

    async def wait(self, job_id: str, *, timeout_s: float = 3600.0) -> Json:
        """See Client.wait."""
        async with asyncio.timeout(timeout_s):
            while (job := await self.job(job_id))["status"] in ("submitted", "running"):
                await asyncio.sleep(POLL_S)
            return job

    async def dataset(self, dataset_id: str) -> Json:
        """See Client.dataset."""
        return await self._send(Call("GET", f"/training-datasets/{_part(dataset_id)}"))

    async def datasets(self) -> list[Json]:
        """See Client.datasets."""
        return list((await self._send(Call("GET", "/training-datasets")))["training_datasets"])

    async def ready(self) -> bool:
        """See Client.ready."""
        try:
            await self._send(Call("GET", "/readyz"))
        except HTTPError:
            return False
        return True

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _send(self, call: Call) -> Json:
        try:
            reply = await self._http.request(call.method, call.path, **self._options(call))
        except self._errors as error:
            raise self._away(error) from None
        return self._result(reply)


def _plain_or_fail(value: Any) -> Any:
    plain = _plain(value)
    if plain is value:
        raise TypeError(f"{type(value).__name__} is not a JSON value")
    return plain


def _parsed(raw: bytes) -> Json:
    try:
        value = json.loads(raw or b"{}")
    except ValueError:
        return {"title": raw[:200].decode(errors="replace")}
    return value if isinstance(value, dict) else {"value": value}


def _limits(module: Any) -> Any:
    return module.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX, keepalive_expiry=60.0)


def _httpx() -> Any:
    try:
        import httpx
    except ImportError:
        raise SkewlessError("SK468", "httpx is not installed here", hint="pip install 'skewless[client]'") from None
    return httpx

"""A SQL Gateway over REST: a session, statements one after the other, and Flink's reason where one is refused."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from types import TracebackType
from typing import Any

from skewless.errors import SkewlessError
from skewless.stream.fact import short, way_out

CALL_SECONDS_MAX = 60.0
STATEMENT_SECONDS_MAX = 300.0
_POLL_SECONDS = 0.05
_CAUSE = "Caused by: "


class Gateway:
    """One session of a gateway, at its base URL. Use it as a context; jobs that were started go on after it."""

    def __init__(self, url: str, properties: Mapping[str, str] | None = None) -> None:
        """Opens the session. Raises SK840 where no gateway answers."""
        self.url = url.rstrip("/")
        body = {"sessionName": "skewless", "properties": dict(properties or {})}
        self._session = str(self._call("POST", "/v1/sessions", body)["sessionHandle"])

    def run(self, statement: str) -> list[list[Any]]:
        """The rows of a statement; of one that starts a job, its id alone. Raises SK801 with Flink's reason, SK840."""
        return self._execute(statement)[0]

    def submit(self, statements: Sequence[str]) -> str:
        """Runs statements of which the last starts a job, and gives its id. Raises SK801, SK840."""
        for statement in statements[:-1]:
            self._execute(statement)
        rows, job = self._execute(statements[-1])
        return job or str(rows[0][0])

    def settings(self) -> dict[str, str]:
        """Flink's settings in force in this session, those of the cluster among them. Raises SK840."""
        return {str(k): str(v) for k, v in self._call("GET", f"/v1/sessions/{self._session}")["properties"].items()}

    def close(self) -> None:
        """Ends the session."""
        self._call("DELETE", f"/v1/sessions/{self._session}")

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(SkewlessError):       # a session that stays ends by itself; what was done in it is done
            self.close()

    def _execute(self, statement: str) -> tuple[list[list[Any]], str]:
        session = f"/v1/sessions/{self._session}"
        operation = self._call("POST", f"{session}/statements", {"statement": statement})["operationHandle"]
        path, rows, job = f"{session}/operations/{operation}/result/0?rowFormat=JSON", list[list[Any]](), ""
        deadline = time.monotonic() + STATEMENT_SECONDS_MAX
        while True:
            answer = self._call("GET", path, statement=statement)
            kind, job = answer.get("resultType"), str(answer.get("jobID") or job)
            if kind == "NOT_READY":
                if time.monotonic() > deadline:
                    raise SkewlessError("SK840", f"the SQL Gateway gave no result within {STATEMENT_SECONDS_MAX:.0f} s")
                time.sleep(_POLL_SECONDS)
                continue
            rows += [row["fields"] for row in (answer.get("results") or {}).get("data") or []]
            if kind == "EOS" or not answer.get("nextResultUri"):
                return rows, job
            path = str(answer["nextResultUri"])

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None, *, statement: str = "") -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=CALL_SECONDS_MAX) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise _refusal(error.read().decode(errors="replace"), statement) from None
        except (OSError, HTTPException, ValueError) as error:
            raise SkewlessError(
                "SK840", f"no SQL Gateway answers at {self.url}", detail=f"{error}.", hint="Start one with: skewless dev up flink"
            ) from None


def _refusal(text: str, statement: str) -> SkewlessError:
    """SK801 with the innermost cause that a gateway's answer names."""
    try:
        said = "\n".join(str(part) for part in json.loads(text)["errors"])
    except (ValueError, KeyError, TypeError):
        said = text
    causes = [line.partition(_CAUSE)[2] for line in said.splitlines() if line.startswith(_CAUSE)]
    first = " ".join(statement.split())[:120]
    reason = short("\n".join(causes) or said)
    return SkewlessError("SK801", f"Flink refuses a statement: {reason}", detail=first and f"{first}.", hint=way_out(reason))

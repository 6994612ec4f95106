"""A long-lived Flink session: one JVM with a mini cluster, for checks and tests, and for scripts over bounded tables.

The work is done by `inside/worker.py`, which runs in the Flink environment and speaks JSON lines. Nothing survives this process:
when it ends or is killed, its pipe to the worker closes, and the worker kills the JVM.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from skewless.errors import SkewlessError
from skewless.stream.environment import Environment, locate
from skewless.stream.fact import short, way_out
from skewless.stream.result import Column, Result, read_changes

WORKER = Path(__file__).parent / "inside" / "worker.py"
START_SECONDS_MAX = 180.0
ANSWER_SECONDS_MAX = 600.0
HEAP_MEGABYTES = 768
SLOTS = 4
QUERIES_A_JOB = 24      # a job of more takes more memory than it saves time


class Session:
    """An open session. Calls come one after the other. `close` it, or use it as a context; afterwards every call raises SK926."""

    def __init__(self, environment: Environment | None = None, *, heap_megabytes: int = HEAP_MEGABYTES) -> None:
        """Starts Flink; returns when it takes work, after some seconds. Raises SK920 (not installed), SK925 (does not start)."""
        found = environment or locate()
        self.folder = Path(tempfile.mkdtemp(prefix="skewless-flink-"))
        self._number = 0
        self._pending = b""
        settings = {
            "java": found.java, "class_path": found.class_path(), "heap_megabytes": heap_megabytes, "slots": SLOTS,
            "folder": str(self.folder),
        }
        with open(self.folder / "worker.err", "wb") as err:
            self._process = subprocess.Popen(
                [found.python, "-I", str(WORKER), json.dumps(settings)], cwd=self.folder, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=err, start_new_session=True,
            )
        try:
            ready = self._read(START_SECONDS_MAX)
            if "ready" not in ready:
                raise self._gone(str(ready.get("error", {}).get("message", "")))
        except SkewlessError as error:
            self.close()
            raise SkewlessError(
                "SK925", "the Flink session does not start", detail=error.detail,
                hint="Make the environment from nothing: skewless stream install --again",
            ) from None
        self.flink_version: str = ready["ready"]["flink"]
        self.java_version: str = ready["ready"]["java"]
        self.rest: str = ready["ready"]["rest"]
        self.jvm_pid: int = ready["ready"]["jvm_pid"]

    # -- calls ---------------------------------------------------------------------------------------------------------------

    def run(
        self, statements: Sequence[str], queries: Sequence[str], *, parallelism: int = 1, options: Mapping[str, str] | None = None
    ) -> list[Result | SkewlessError]:
        """What each query gives over bounded tables, in the order of `queries`.

        `statements` (CREATE TABLE, CREATE VIEW …) are executed first, in an environment of this call alone. Queries share jobs;
        one that has no plan (SK801) or whose job fails (SK802) is an error in its place and does not touch the others. Streaming
        mode, UTC. `options` are settings of Flink. Raises SK801 when a statement is refused, SK926.
        """
        out: list[Result | SkewlessError] = []
        for first in range(0, len(queries), QUERIES_A_JOB):
            out += self._run(statements, queries[first: first + QUERIES_A_JOB], parallelism, dict(options or {}))
        return out

    def explain(self, statements: Sequence[str], sql: str, *, options: Mapping[str, str] | None = None) -> str:
        """Flink's plans for one INSERT or SELECT, with the changelog mode of each operator. Raises SK801, SK926."""
        reply = self._call("explain", statements=list(statements), sql=sql, options=dict(options or {}))
        if "error" in reply:
            raise _refusal(reply["error"], sql if reply["error"]["kind"] != "statement" else _statement(statements, reply))
        return str(reply["plan"])

    def execute(self, statements: Sequence[str], *, options: Mapping[str, str] | None = None) -> None:
        """Executes statements one after the other and waits for the jobs of those that start one. Raises SK801, SK926."""
        reply = self._call("execute", statements=list(statements), options=dict(options or {}))
        if "error" in reply:
            raise _refusal(reply["error"], _statement(statements, reply))

    def submit(self, statements: Sequence[str], *, options: Mapping[str, str] | None = None) -> str:
        """Executes statements of which the last starts a job, and gives its id; the job runs on. Raises SK801, SK926."""
        reply = self._call("submit", statements=list(statements), options=dict(options or {}))
        if "error" in reply:
            raise _refusal(reply["error"], _statement(statements, reply))
        return str(reply["job"])

    def close(self) -> None:
        """Ends Flink and removes its files. Does nothing the second time."""
        if self._process.poll() is None:
            try:
                assert self._process.stdin is not None
                self._process.stdin.close()
                self._process.wait(10)
            except (OSError, subprocess.TimeoutExpired):
                self._process.kill()        # the JVM then sees its own stdin close
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- inside --------------------------------------------------------------------------------------------------------------

    def _run(
        self, statements: Sequence[str], queries: Sequence[str], parallelism: int, options: dict[str, str]
    ) -> list[Result | SkewlessError]:
        out = self.folder / f"out-{self._number}"
        reply = self._call(
            "run", statements=list(statements), queries=list(queries), parallelism=parallelism, options=options, out=str(out)
        )
        try:
            if "error" in reply:
                raise _refusal(reply["error"], _statement(statements, reply))
            return [_result(raw, sql) for raw, sql in zip(reply["results"], queries, strict=True)]
        finally:
            shutil.rmtree(out, ignore_errors=True)

    def _call(self, op: str, **body: Any) -> dict[str, Any]:
        self._number += 1
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"id": self._number, "op": op, **body}).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            raise self._gone() from None
        reply = self._read(ANSWER_SECONDS_MAX)
        assert reply["id"] == self._number, reply
        if reply.get("error", {}).get("kind") == "inside":      # the JVM is gone, or nobody knows in which state it is
            raise self._gone(short(reply["error"]["message"]))
        return reply

    def _read(self, seconds: float) -> dict[str, Any]:
        """The next answer. On none in time the session is closed. Raises SK926."""
        assert self._process.stdout is not None
        file = self._process.stdout.fileno()
        deadline = time.monotonic() + seconds
        while b"\n" not in self._pending:
            if not select.select([file], [], [], max(0.0, deadline - time.monotonic()))[0]:
                self.close()
                raise SkewlessError(
                    "SK926", f"Flink gave no answer within {seconds:.0f} s", hint="Give it fewer rows or queries at once."
                )
            chunk = os.read(file, 1 << 16)
            if not chunk:
                raise self._gone()
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _gone(self, said: str = "") -> SkewlessError:
        """SK926 with the last words of the worker or of the JVM."""
        for name in ("worker.err", "java.err", "flink.log"):
            path = self.folder / name
            said = said or (path.read_text(errors="replace")[-600:].strip() if path.exists() else "")
        self.close()
        return SkewlessError("SK926", "the Flink session has ended", detail=said, hint="Open another session.")


def _result(raw: dict[str, Any], sql: str) -> Result | SkewlessError:
    if "error" in raw:
        return _refusal(raw["error"], sql)
    columns = tuple(Column(name, kind, nullable) for name, kind, nullable in raw["columns"])
    return Result(columns, read_changes(Path(raw["path"]), columns))


def _refusal(error: dict[str, Any], sql: str) -> SkewlessError:
    code, what = ("SK802", "a job failed on Flink") if error["kind"] == "job" else ("SK801", "Flink refuses a statement")
    reason = short(error["message"])
    return SkewlessError(code, f"{what}: {reason}", detail=sql, hint=way_out(reason))


def _statement(statements: Sequence[str], reply: dict[str, Any]) -> str:
    index = reply["error"].get("index")
    return statements[index] if index is not None else ""

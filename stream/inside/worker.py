"""worker.py SETTINGS: one Flink (a JVM with a mini cluster), driven by JSON lines on stdin, answered by JSON lines on stdout.

SETTINGS is a JSON object: java, class_path, heap_megabytes, slots, folder (logs and rows go there; removed at the end).

Requests, each with an `id` that its answer repeats:
  {"op": "run", "statements": [SQL], "queries": [SQL], "parallelism": 1, "options": {}, "out": FOLDER}
      answer {"results": [one a query: {"columns": [[name, type, nullable]], "path": FOLDER} or {"error": {"kind", "message"}}]}
  {"op": "explain", "statements": [SQL], "sql": SQL, "options": {}}    answer {"plan": TEXT} or {"error": …}
  {"op": "execute", "statements": [SQL], "options": {}}                 answer {} or {"error": …}: statements alone, to their end
  {"op": "submit", "statements": [SQL], "options": {}}      answer {"job": ID}, which goes on, or {"error": …}
  {"op": "close"}
`kind` is `statement` with `index`, `query`, `job` or `inside`. Each request has a table environment of its own.

Nobody is left behind: when stdin closes, because the caller ended or was killed, the JVM is killed and this process ends, also
in the middle of a job; when this process is killed, the JVM sees its own stdin close, and exits.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

# What Flink's own configuration opens for Java 17 and newer.
OPENS = (
    "java.lang", "java.net", "java.io", "java.nio", "sun.nio.ch", "java.lang.reflect", "java.text", "java.time", "java.util",
    "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks",
)
CLUSTER = {
    "rest.address": "127.0.0.1", "rest.bind-address": "127.0.0.1", "rest.port": "0", "rest.bind-port": "0",
    "jobmanager.bind-host": "127.0.0.1", "taskmanager.bind-host": "127.0.0.1", "taskmanager.host": "127.0.0.1",
    "taskmanager.cpu.cores": "2", "taskmanager.memory.network.min": "64m", "taskmanager.memory.network.max": "64m",
    "web.submit.enable": "false", "web.refresh-interval": "500 ms",
}
MANAGED_MEGABYTES_A_SLOT = 64
JOB = {
    "execution.target": "remote", "execution.attached": "true", "table.local-time-zone": "UTC",
    "restart-strategy.type": "none",                # a job that fails says so at once
    "pipeline.auto-watermark-interval": "1 ms",     # a bounded source is read faster than the default of 200 ms ticks
    "table.exec.source.idle-timeout": "0 ms",
}
RUNS_ON = {"restart-strategy.type": "exponential-delay"}      # a job that nobody waits for comes back by itself
SET = re.compile(r"^\s*SET\s+'((?:[^']|'')+)'\s*=\s*'((?:[^']|'')*)'\s*$", re.IGNORECASE)
LOG4J = """rootLogger.level = WARN
rootLogger.appenderRef.file.ref = File
appender.file.name = File
appender.file.type = FILE
appender.file.fileName = {path}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %-5p %c - %m%n
"""
# Debezium's JSON can hold every kind of change, so one sink serves plans that only append and plans that take rows back.
SINK = (
    "'connector'='filesystem', 'path'='file://{path}', 'format'='debezium-json', "
    "'debezium-json.timestamp-format.standard'='SQL', 'debezium-json.encode.decimal-as-plain-number'='true'"
)


class Failure(Exception):
    """An answer of the kind `error`."""

    def __init__(self, kind: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.body = {"kind": kind, "message": message, **more}


class Flink:
    """One JVM with a mini cluster in it."""

    def __init__(self, settings: dict[str, Any], lifeline: Lifeline) -> None:
        self.folder = Path(settings["folder"])
        self.process, gateway = self._jvm(settings)
        lifeline.jvm = self.process
        self.gateway = gateway
        self.java = gateway.jvm
        self.flink = gateway.jvm.org.apache.flink
        cluster = self._cluster(settings["slots"])
        uri = cluster.getRestAddress().get()
        self.rest = f"http://{uri.getHost()}:{uri.getPort()}"
        self.job = {**JOB, "rest.address": uri.getHost(), "rest.port": str(uri.getPort())}

    def _jvm(self, settings: dict[str, Any]) -> tuple[Any, JavaGateway]:
        log4j = self.folder / "log4j.properties"
        log4j.write_text(LOG4J.format(path=self.folder / "flink.log"))
        heap = settings["heap_megabytes"]
        options = [
            f"-Xmx{heap}m", f"-XX:MaxDirectMemorySize={heap}m", "-XX:MaxMetaspaceSize=384m", "-XX:+ExitOnOutOfMemoryError",
            "-XX:+DisplayVMOutputToStderr",     # the bridge reads the port from stdout
            "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j.configurationFile=file:{log4j}",
            f"-Djava.io.tmpdir={self.folder}", "-Duser.timezone=UTC", "-Dfile.encoding=UTF-8",
            *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENS),
        ]
        with open(self.folder / "java.err", "wb") as err:
            port, token, process = launch_gateway(
                classpath=settings["class_path"], javaopts=options, java_path=settings["java"], cwd=str(self.folder),
                die_on_exit=True, enable_auth=True, return_proc=True, redirect_stderr=err,
            )
        return process, JavaGateway(gateway_parameters=GatewayParameters(port=port, auth_token=token, auto_convert=True))

    def configuration(self, values: dict[str, str]) -> Any:
        made = self.flink.configuration.Configuration()
        for key, value in values.items():
            made.setString(key, str(value))
        return made

    def _cluster(self, slots: int) -> Any:
        memory = {"taskmanager.memory.managed.size": f"{MANAGED_MEGABYTES_A_SLOT * slots}m", "io.tmp.dirs": str(self.folder)}
        room = self.flink.runtime.minicluster
        builder = room.MiniClusterConfiguration.Builder().setConfiguration(self.configuration({**CLUSTER, **memory}))
        cluster = room.MiniCluster(builder.setNumTaskManagers(1).setNumSlotsPerTaskManager(slots).build())
        cluster.start()
        return cluster

    def tables(self, options: dict[str, str], statements: list[str]) -> Any:
        """A table environment in streaming mode, after the statements. Raises Failure `statement`."""
        api = self.flink.table.api
        mode = api.EnvironmentSettings.newInstance().inStreamingMode()
        tables = api.TableEnvironment.create(mode.withConfiguration(self.configuration({**self.job, **options})).build())
        for index, statement in enumerate(statements):
            try:
                setting = SET.match(statement)
                if setting:         # SQL clients understand it, a table environment does not
                    tables.getConfig().set(setting[1].replace("''", "'"), setting[2].replace("''", "'"))
                else:
                    finished(tables.executeSql(statement))
            except Exception as error:
                raise Failure("statement", reason(error), index=index) from None
        return tables

    # -- run -----------------------------------------------------------------------------------------------------------------

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to `run`: queries share one job where that works, else each has its own."""
        options = {"parallelism.default": request["parallelism"], **request.get("options", {})}
        tables = self.tables(options, request["statements"])
        sinks: list[dict[str, Any]] = [self._sink(tables, n, sql, request) for n, sql in enumerate(request["queries"])]
        self._fill(tables, [s for s in sinks if "error" not in s])
        return {"results": [{k: v for k, v in s.items() if k in ("columns", "path", "error")} for s in sinks]}

    def _sink(self, tables: Any, number: int, sql: str, request: dict[str, Any]) -> dict[str, Any]:
        name, path = f"skewless_out_{number}", f"{request['out']}/{number}"
        try:
            columns = columns_of(tables.sqlQuery(sql))
            ddl = ", ".join(f"`{c.replace('`', '``')}` {kind}" for c, kind, _ in columns)
            tables.executeSql(f"CREATE TEMPORARY TABLE {name} ({ddl}) WITH ({SINK.format(path=path)})")
        except Exception as error:
            return {"error": {"kind": "query", "message": reason(error)}}
        return {"columns": columns, "path": path, "insert": f"INSERT INTO {name} {sql}"}

    def _fill(self, tables: Any, sinks: list[dict[str, Any]]) -> None:
        """Runs the inserts as one job; when that fails, finds the ones to blame by halves. Errors go into the sinks."""
        if not sinks:
            return
        try:
            together = tables.createStatementSet()
            for sink in sinks:
                together.addInsertSql(sink["insert"])
            job = together.execute()
        except Exception as error:
            kind, message = "query", reason(error)
        else:
            try:
                finished(job)
                return
            except Exception as error:
                kind, message = "job", reason(error)
        if len(sinks) == 1:
            sinks[0]["error"] = {"kind": kind, "message": message}
            return
        for part in (sinks[: len(sinks) // 2], sinks[len(sinks) // 2:]):
            for sink in part:
                empty(Path(sink["path"]))
            self._fill(tables, part)

    # -- explain, execute ----------------------------------------------------------------------------------------------------

    def explain(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to `explain`: the optimized plan with the changelog mode of each operator."""
        tables = self.tables(request.get("options", {}), request["statements"])
        sql = re.sub(r"^\s*EXECUTE\s+(?=STATEMENT\s+SET\b)", "", request["sql"], flags=re.IGNORECASE)
        try:
            return {"plan": tables.executeSql(f"EXPLAIN CHANGELOG_MODE {sql}").collect().next().getField(0)}
        except Exception as error:
            raise Failure("query", reason(error)) from None

    def execute(self, request: dict[str, Any]) -> dict[str, Any]:
        self.tables(request.get("options", {}), request["statements"])
        return {}

    def submit(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to `submit`."""
        *setup, job = request["statements"]
        tables = self.tables({**RUNS_ON, **request.get("options", {})}, setup)
        try:
            return {"job": tables.executeSql(job).getJobClient().get().getJobID().toString()}
        except Exception as error:
            raise Failure("statement", reason(error), index=len(setup)) from None


def finished(result: Any) -> None:
    """Waits for the job of a statement, if it has one."""
    client = result.getJobClient()
    if client.isPresent():
        client.get().getJobExecutionResult().get()


def columns_of(table: Any) -> list[list[Any]]:
    """(name, type in Flink's spelling without NOT NULL, nullable) of each column."""
    out = []
    for column in table.getResolvedSchema().getColumns():
        kind = column.getDataType().getLogicalType()
        out.append([column.getName(), spelled(kind.copy(True).asSerializableString()), kind.isNullable()])
    return out


def spelled(kind: str) -> str:
    """A type as people write it."""
    return kind.replace("VARCHAR(2147483647)", "STRING").replace("VARBINARY(2147483647)", "BYTES")


def reason(error: Exception) -> str:
    """What Flink says went wrong: the messages of an exception and its causes, outermost first, one a line, no stack."""
    cause = getattr(error, "java_exception", None)
    if cause is None:
        return f"{type(error).__name__}: {error}"
    lines: list[str] = []
    while cause is not None and len(lines) < 30:
        message = cause.getMessage()
        if message and message not in lines:
            lines.append(message)
        cause = cause.getCause()
    return "\n".join(lines) or str(error)


def empty(folder: Path) -> None:
    """Removes what a failed job wrote; its files may be in folders below."""
    for path in sorted(folder.rglob("*"), reverse=True) if folder.exists() else ():
        path.rmdir() if path.is_dir() else path.unlink()


def answer(body: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(body) + "\n")
    sys.stdout.flush()


def serve(flink: Flink, requests: queue.SimpleQueue[dict[str, Any]]) -> None:
    while True:
        request = requests.get()
        if request["op"] == "close":
            answer({"id": request["id"]})
            return
        handlers = {"run": flink.run, "explain": flink.explain, "execute": flink.execute, "submit": flink.submit}
        try:
            answer({"id": request["id"], **handlers[request["op"]](request)})
        except Failure as failure:
            answer({"id": request["id"], "error": failure.body})
        except Exception as error:
            answer({"id": request["id"], "error": {"kind": "inside", "message": reason(error)}})


class Lifeline:
    """Reads the requests; the end of stdin is the end of everything."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.jvm: Any = None
        self._ending = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            self.requests.put(json.loads(line))
        self.end(1)

    def end(self, code: int) -> None:
        """Kills the JVM, which holds nothing that anybody needs, removes the files, and leaves."""
        self._ending.acquire()      # the other thread may be here already; it leaves for both
        if self.jvm is not None:
            self.jvm.kill()
            self.jvm.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        os._exit(code)


def main(settings: dict[str, Any]) -> None:
    logging.disable(logging.CRITICAL)                 # py4j logs refused connections with their stack
    lifeline = Lifeline(settings["folder"])
    try:
        flink = Flink(settings, lifeline)
    except Exception as error:
        said = Path(settings["folder"], "java.err")
        text = said.read_text(errors="replace")[-2000:] if said.exists() else ""
        answer({"error": {"kind": "inside", "message": text.strip() or reason(error)}})
        lifeline.end(1)
        return
    version = flink.flink.runtime.util.EnvironmentInformation.getVersion()
    java = flink.java.System.getProperty("java.version")
    answer({"ready": {"flink": version, "java": java, "jvm_pid": flink.process.pid, "rest": flink.rest}})
    try:
        serve(flink, lifeline.requests)
    except BrokenPipeError:         # nobody listens any more
        lifeline.end(1)
    lifeline.end(0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

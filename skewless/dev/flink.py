"""A small Flink: JobManager, TaskManager and SQL Gateway, each a process of its own."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from skewless.dev.process import Server, free_ports
from skewless.stream.environment import Environment

SLOTS = 8
OPENS = (
    "java.lang", "java.lang.invoke", "java.net", "java.io", "java.nio", "java.text", "java.time", "java.util",
    "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks", "sun.nio.ch", "sun.net.util",
)
_LOG4J = """rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601}{UTC} %p %c{1}: %m%n
logger.kafka.name = org.apache.kafka
logger.kafka.level = WARN
"""


def servers(folder: Path, environment: Environment, ports: list[int] | None = None) -> tuple[list[Server], list[int]]:
    """The three processes, in the order of starting, and their ports: REST of the JobManager, its RPC, REST of the gateway."""
    conf = folder / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    rest, rpc, gateway = found = free_ports(3, ports)
    (conf / "config.yaml").write_text(_config(folder, rest, rpc))
    (conf / "log4j.properties").write_text(_LOG4J)
    java = [
        environment.java, "-XX:+UseSerialGC", "-Duser.timezone=UTC", "-Dfile.encoding=UTF-8",
        f"-Dlog4j.configurationFile=file:{conf / 'log4j.properties'}", "-XX:+ExitOnOutOfMemoryError",
        *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENS),
    ]
    brief = [*java, "-XX:TieredStopAtLevel=1"]      # ready sooner; the worker's events take a third less CPU with both compilers
    lib = environment.class_path(with_jars=False).split(":")
    connectors = [path for path in environment.jars if "sql-gateway" not in path]
    opt = sorted(str(path) for path in (Path(environment.flink_home) / "opt").glob("flink-python-*.jar"))
    own = [path for path in environment.jars if "sql-gateway" in path]
    path, wide = ":".join(lib + connectors), ":".join(lib + connectors + opt + own)
    runtime = "org.apache.flink.runtime"
    env = {"FLINK_CONF_DIR": str(conf)}
    manager = Server(
        "jobmanager", folder, [*brief, "-Xmx256m", "-XX:MaxMetaspaceSize=192m", "-cp", path,
                               f"{runtime}.entrypoint.StandaloneSessionClusterEntrypoint", "-c", str(conf)],
        lambda: _get(rest, "/overview") is not None, env,
    )
    worker = Server(
        "taskmanager", folder, [*java, "-Xmx320m", "-XX:MaxDirectMemorySize=160m", "-XX:MaxMetaspaceSize=192m", "-cp", path,
                                f"{runtime}.taskexecutor.TaskManagerRunner", "-c", str(conf)],
        lambda: ((_get(rest, "/overview") or {}).get("slots-total") or 0) >= SLOTS, env,
    )
    sql = Server(
        "gateway", folder, [*brief, "-Xmx256m", "-cp", wide, "org.apache.flink.table.gateway.SqlGateway",
                            "-Dsql-gateway.endpoint.rest.address=127.0.0.1", f"-Dsql-gateway.endpoint.rest.port={gateway}"],
        lambda: _get(gateway, "/v1/info") is not None, env,
    )
    return [manager, worker, sql], found


def _get(port: int, path: str) -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except (OSError, ValueError):
        return None


def _config(folder: Path, rest: int, rpc: int) -> str:
    """Sizes are the smallest that run 8 slots with windows; `rest.bind-port` is left out because the gateway would take it."""
    values = {
        "taskmanager.numberOfTaskSlots": SLOTS, "taskmanager.cpu.cores": "2.0", "taskmanager.memory.task.heap.size": "256m",
        "taskmanager.memory.task.off-heap.size": "0m", "taskmanager.memory.framework.heap.size": "64m",
        "taskmanager.memory.framework.off-heap.size": "64m", "taskmanager.memory.network.min": "64m",
        "taskmanager.memory.network.max": "64m", "taskmanager.memory.managed.size": "128m",
        "taskmanager.memory.jvm-metaspace.size": "192m", "taskmanager.memory.jvm-overhead.min": "64m",
        "taskmanager.memory.jvm-overhead.max": "64m", "cluster.registration.error-delay": "500 ms",
        "cluster.registration.initial-timeout": "200 ms", "web.refresh-interval": "500 ms",
        # two of these in vain, and a TaskManager that was killed is missed; one that is only slow has heartbeat.timeout, 50 s
        "heartbeat.interval": "2 s",
        "jobmanager.rpc.address": "127.0.0.1", "jobmanager.bind-host": "127.0.0.1", "jobmanager.rpc.port": rpc,
        "taskmanager.host": "127.0.0.1", "taskmanager.bind-host": "127.0.0.1", "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1", "rest.port": rest, "execution.checkpointing.interval": "5 s",
        "execution.checkpointing.dir": f"file://{folder / 'checkpoints'}",
        "execution.checkpointing.savepoint-dir": f"file://{folder / 'savepoints'}",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION", "table.local-time-zone": "UTC",
        "io.tmp.dirs": str(folder / "tmp"),
    }
    (folder / "tmp").mkdir(exist_ok=True)
    return "".join(f"{key}: {value}\n" for key, value in values.items())

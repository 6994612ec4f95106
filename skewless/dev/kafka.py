"""A Kafka broker that is its own controller (KRaft), from jars alone."""

from __future__ import annotations

import base64
import subprocess
import uuid
from pathlib import Path

from skewless.dev.process import Server, answers, free_ports, last_lines
from skewless.errors import SkewlessError
from skewless.stream.environment import Environment, home, lock_file
from skewless.stream.install import Report, add_jars, alone

VERSION = "4.3.0"
_LOCK = "kafka-jars.lock"
_HEAP = "-Xmx768m"
_FORMATTED, _STARTED = "meta.properties", b"Kafka Server started"
_LOG4J = """status = warn
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601}{UTC} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
logger.kafka.name = kafka
logger.kafka.level = info
"""


def jars(environment: Environment, report: Report) -> str:
    """The class path of a broker; downloads its jars (45 MB) the first time. Raises SK923."""
    import hashlib

    name = hashlib.sha256(lock_file(_LOCK).read_bytes()).hexdigest()[:12]
    with alone(report):
        paths = add_jars(_LOCK, home() / f"kafka-{VERSION}-{name}", environment.python, lambda text: report("Kafka", text))
    return ":".join(paths)


def server(folder: Path, environment: Environment, class_path: str, ports: list[int] | None = None) -> tuple[Server, list[int]]:
    """The broker whose data lies in `folder`, formatted the first time, and its two ports: for clients, and its own."""
    folder.mkdir(parents=True, exist_ok=True)
    found = free_ports(2, ports)
    (folder / "log4j2.properties").write_text(_LOG4J)
    properties = folder / "server.properties"
    properties.write_text(_properties(folder, *found))
    java = [environment.java, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Duser.timezone=UTC",
            f"-Dlog4j2.configurationFile=file:{folder / 'log4j2.properties'}", "-cp", class_path]
    if not (folder / "data" / _FORMATTED).exists():
        _format(folder, java, properties)
    argv = [*java[:1], _HEAP, *java[1:], "kafka.Kafka", str(properties)]
    log = folder / "kafka.log"
    seen = log.stat().st_size if log.exists() else 0
    return Server("kafka", folder, argv, lambda: answers(found[0]) and _STARTED in log.read_bytes()[seen:]), found


def _format(folder: Path, java: list[str], properties: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # one word: an id may begin with a "-"
    done = subprocess.run(
        [*java, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties)], cwd=folder,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )
    if done.returncode != 0:
        log = folder / "format.log"
        log.write_text(done.stdout + done.stderr)
        raise SkewlessError("SK930", "the folder of a Kafka broker cannot be made", detail=f"{log}: {last_lines(log)}")


def _properties(folder: Path, port: int, controller: int) -> str:
    # A replay writes records with the time of their event: by the broker's default they would be deleted as too old.
    return f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENT://127.0.0.1:{port}
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
log.dirs={folder / "data"}
num.partitions=2
auto.create.topics.enable=false
log.retention.ms=-1
group.initial.rebalance.delay.ms=0
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
min.insync.replicas=1
"""

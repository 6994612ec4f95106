"""What Flink means: the one useful sentence of its messages, which come outermost first, one a line, often said thrice."""

from __future__ import annotations

import re

_WRAPPERS = re.compile(
    r"^(?:[\w.$]+(?:Exception|Error): )+|^SQL validation failed\. |^SQL parse failed\. |^org\.apache\.[\w.$]+: "
)
# Sentences that only say that something below them failed.
_EMPTY = re.compile(
    r"^(Job execution failed|Could not (start|execute|complete|generate)\b|Unable to (create|execute)\b"
    r"|Failed to (execute|wait)\b"
    r"|Job client must be a CoordinationRequestGateway|Recovery is suppressed by|Asynchronous task checkpoint failed"
    r"|An error occurred while calling|Error while applying rule |TableException$|Exception while translating)"
)
_POSITION = re.compile(r"^From line \d+, column \d+ to line \d+, column \d+: ")
_WORD = re.compile(r"[A-Z][a-z]+\b")        # and no name, such as TaskManager
_CLASS = re.compile(r"(?:ClassNotFoundException|NoClassDefFoundError): (?!Could not)([\w.$/]+)")
_JARS = (
    "The jars of the connector or the format are not where this Flink looks. Put those that skewless stream install has fetched "
    "into the lib folder (FLINK_LIB_DIR) of SQL Gateway, JobManager and TaskManagers, and start these again"
)
_WAYS_OUT = (
    (re.compile(r"any factory for identifier '|^it has no class org\.apache\.(flink|kafka|avro)\."), _JARS),
    (re.compile(r"file system implementation for scheme '"), "Add Flink's plugin for that file system to JobManager and "
     "TaskManagers, or name another folder in skewless.yml: flink: {checkpoints: …, savepoints: …}"),
)
LENGTH_MAX = 300


def short(message: str) -> str:
    """The innermost sentence that says something, without class names; lower case at the start unless it is a name.

    >>> short("org.apache.flink.table.api.ValidationException: SQL validation failed. From line 1, column 8 to line 1, column 10:"
    ...       " Column 'nix' not found in any table")
    "column 'nix' not found in any table"
    >>> short("Could not execute SQL statement.\\njava.lang.ClassNotFoundException: org.apache.flink.connector.kafka.X")
    'it has no class org.apache.flink.connector.kafka.X'
    """
    sentences = [_bare(line) for line in message.splitlines() if _bare(line)]
    telling = [s for s in sentences if not _EMPTY.match(s)] or sentences or ["no reason given"]
    parser = [s for s in telling if s.startswith(("Encountered", "Lexical error", "Non-query expression", "Incorrect syntax"))]
    fact = (parser or telling[-1:])[0].rstrip(".")
    fact = fact if len(fact) <= LENGTH_MAX else fact[: LENGTH_MAX - 1] + "…"
    return fact[:1].lower() + fact[1:] if _WORD.match(fact) else fact


def way_out(fact: str) -> str:
    """What mends a fact that is about the cluster and not about the SQL; "" where that is not known.

    >>> way_out("it has no class org.apache.flink.connector.kafka.source.KafkaSource")[:47]
    'The jars of the connector or the format are not'
    """
    return next((hint for pattern, hint in _WAYS_OUT if pattern.search(fact)), "")


def _bare(line: str) -> str:
    text = line.strip()
    if missing := _CLASS.search(text):
        return f"it has no class {missing[1].replace('/', '.')}"
    if text.startswith(("at ", "Was expecting", "...", "\"")) or not text:
        return ""
    while True:
        stripped = _POSITION.sub("", _WRAPPERS.sub("", text))
        if stripped == text:
            return text
        text = stripped

"""How Python reaches Kafka's brokers: the properties of skewless.yml, which are those of Kafka's Java clients, for librdkafka."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from skewless.errors import SkewlessError

_LOGIN = re.compile(r'\b(username|password)\s*=\s*"((?:[^"\\]|\\.)*)"')
_PEM = {
    "ssl.truststore.location": "ssl.ca.location", "ssl.keystore.location": "ssl.certificate.location",
    "ssl.key.password": "ssl.key.password",
}
_JAVA_ONLY = ("ssl.truststore.type", "ssl.keystore.type")
JAAS = "sasl.jaas.config"


def client_settings(bootstrap_servers: str, properties: Mapping[str, str]) -> dict[str, Any]:
    """The settings of a client of confluent-kafka: user and password out of sasl.jaas.config, PEM files under their names there.

    Every other property goes as it is. Raises SK838 for a JAAS text without user and password, or a store that is no PEM file;
    SK848 for a property that librdkafka does not know, or not so.
    """
    out: dict[str, Any] = {"bootstrap.servers": bootstrap_servers, "log_level": 0}
    for name, value in properties.items():
        if name == JAAS:
            login = {key: re.sub(r"\\(.)", r"\1", text) for key, text in _LOGIN.findall(value)}
            if {*login} != {"username", "password"}:
                raise SkewlessError("SK838", f"{JAAS} has no username and password, and other logins are not known here")
            out |= {f"sasl.{key}": text for key, text in login.items()}
        elif name in _JAVA_ONLY:
            if value.upper() != "PEM":
                raise SkewlessError("SK838", f"{name} is {value}, which only Java reads", hint="Give certificates as PEM files.")
        else:
            out[_PEM.get(name, name)] = value
    _require_known(out)
    return out


def _require_known(settings: Mapping[str, Any]) -> None:
    """Makes a client that reaches nobody: what any other one would refuse, it does."""
    try:
        AdminClient({name: value for name, value in settings.items() if name != "bootstrap.servers"})
    except KafkaException as error:
        cause = error.args[0] if error.args else error
        said = cause.str() if isinstance(cause, KafkaError) else str(cause)
        raise SkewlessError(
            "SK848", f"a property of Kafka is refused: {said}",
            hint="Mend kafka: {properties: …} in skewless.yml. Flink's Java client and librdkafka both have to know it.",
        ) from None

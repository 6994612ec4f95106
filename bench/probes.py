"""Marked events, each of an entity of its own, that a server is asked for until they are there."""

from __future__ import annotations

import http.client
import json
import threading
import time

from confluent_kafka import Producer

from bench import events

VIEW = "user_hour"
_ASK_SECONDS, _SEND_SECONDS, _REPEAT = 0.004, 0.01, 10


class Probes:
    """Asks the server for the marked entities that are not there yet, and notes when each appears. A server that does not
    answer, or whose store does not, is asked again."""

    def __init__(self, port: int) -> None:
        self.port, self.sent, self.waits, self.done = port, dict[str, float](), list[float](), threading.Event()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self.done.is_set() or self.sent:
            users = list(self.sent)[:100]
            for user in self._served(users) if users else ():
                self.waits.append((time.time() - self.sent.pop(user)) * 1000 - events.LATENESS_MS)
            time.sleep(_ASK_SECONDS)

    def _served(self, users: list[str]) -> list[str]:
        body = {"features": [f"{VIEW}@1:events"], "format": "compact", "entities": [{"user_id": u} for u in users]}
        try:
            self._connection.request("POST", "/online-features/batch", json.dumps(body))
            answer = self._connection.getresponse()
            found = json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return []
        if answer.status != 200:
            return []
        return [user for user, one in zip(users, found["results"], strict=True) if one["status"][0] == "ok"]

    def end(self, seconds: float = 30.0) -> list[float]:
        """Milliseconds beyond the lateness of each, sorted; stops when all are there."""
        self.done.set()
        self._thread.join(seconds)
        left, self.sent = self.sent, {}
        assert not left, f"{len(left)} events are not served after {seconds} s"
        return sorted(self.waits)


def producer(brokers: str) -> Producer:
    return Producer({"bootstrap.servers": brokers, "linger.ms": 1, "reconnect.backoff.max.ms": 500, "log_level": 0})


def send(to: Producer, number: int, user: str = "", at: float = 0.0) -> None:
    """One event of that user, or of one of many, that happened at `at`, or now."""
    message = events.event(number, int((at or time.time()) * 1e6), user)
    to.produce(events.TOPIC, message, partition=number % events.PARTITIONS)
    to.poll(0)


def keep_going(to: Producer, probes: Probes, again: str = "") -> None:
    """The last rows wait for a watermark, which needs events. `again`: a user who is among them, since what waits for a broker
    for longer than the lateness does not count any more."""
    number = 0
    while probes.sent:
        send(to, number, again if again and number // events.PARTITIONS % _REPEAT == 0 else "")
        number += 1
        time.sleep(_SEND_SECONDS)
    to.flush(30)

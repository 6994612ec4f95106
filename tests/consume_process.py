"""A consumer in a process of its own, to be killed: `python -m tests.consume_process JSON`. Says `reads …` at first."""

from __future__ import annotations

import json
import signal
import sys

from skewless.config import Config
from skewless.sync.consume import Consumer, Options
from tests.feature_messages import streamed


def main(given: dict[str, object]) -> None:
    config = Config(root=str(given["root"]), project=str(given["project"]), online_store=str(given["online_store"]))
    options = Options(member=str(given["member"]), flush_rows=int(str(given["flush_rows"])), flush_seconds=0.1)
    brokers = {"bootstrap.servers": given["kafka"], "log_level": 0}
    consumer = Consumer(config, [streamed()], brokers, options, say=lambda text: print(text, flush=True))
    signal.signal(signal.SIGTERM, lambda *_: consumer.stop.set())
    consumer.run()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

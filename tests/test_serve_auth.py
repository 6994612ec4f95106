"""Tokens: every route by table, what is stored and logged of them, limits of requests, and servers beyond loopback."""

from __future__ import annotations

import base64
import http.client
import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import redis

from skewless.clock import format_instant
from skewless.config import Config, Serve
from skewless.errors import SkewlessError
from skewless.registry import snapshot
from skewless.registry.tokens import Tokens, hash_of
from skewless.serve.app import routes
from skewless.serve.auth import needed
from tests.certificate import write_certificate
from tests.test_serve import NOW_US, Served, flights

SCOPES = ("read", "write", "admin")
LOOKUP = {"features": ["delays"], "entities": {"carrier": "UA"}}


class Guarded(Served):
    """An application that asks for tokens."""

    def __init__(self, url: str, folder: Path) -> None:
        project = Config(root=str(folder), project="flights", target="guarded", online_store=url)
        self.tokens = Tokens(project)
        self.text = {scope: self.tokens.create(scope, scope)[1] for scope in SCOPES}
        serve = Serve(require_tokens=True, allow_registration=True)
        super().__init__(url, "flights.guarded", config=msgspec.structs.replace(project, serve=serve))
        self.reload()

    def reload(self) -> None:
        self.tokens.publish(self.redis)
        self.runner.run(self.app.state.gate.refresh(self.app.state.live.store, self.namespace))

    def ask(self, method: str, path: str, token: str = "", **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.call(method, path, headers={**headers, **options.pop("headers", {})}, **options)


@pytest.fixture(scope="module")
def guarded(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    os.environ["SKEWLESS_CLOCK"] = format_instant(NOW_US)
    guarded = Guarded(url, tmp_path_factory.mktemp("guarded"))
    guarded.publish(msgspec.structs.replace(flights(), target="guarded"))
    yield guarded
    guarded.close()
    del os.environ["SKEWLESS_CLOCK"]


def every_route() -> list[tuple[str, str]]:
    """(method, path) of all there are; a few that do not exist."""
    found = [(method, route.path) for route in routes() for method in sorted((route.methods or set()) - {"HEAD"})]
    return [*found, ("GET", "/nowhere"), ("POST", "/nowhere"), ("DELETE", "/feature-views"), ("PUT", "/online-features")]


def expected(method: str, path: str) -> str:
    """The least scope of a route, empty for none."""
    if path in ("/healthz", "/readyz"):
        return ""
    if (method, path) == ("POST", "/feature-views"):
        return "admin"
    reads = method == "GET" or method == "POST" and path in ("/online-features", "/online-features/batch", "/get-online-features")
    return "read" if reads else "write"


@pytest.mark.parametrize(("method", "path"), every_route())
def test_every_route_asks_for_its_scope(guarded: Guarded, method: str, path: str) -> None:
    least = expected(method, path)
    url = path.replace("{id}", "delays")
    body = {"json": {}} if method != "GET" else {}
    for given in ("", *SCOPES):
        reply = guarded.ask(method, url, guarded.text[given] if given else "", **body)
        if not least or given and SCOPES.index(given) >= SCOPES.index(least):
            assert reply.status_code not in (401, 403), (given, reply.text)
        else:
            assert reply.status_code == (403 if given else 401), (given, reply.text)
            assert reply.json()["code"] == ("SK403" if given else "SK401")
        if reply.status_code == 401:
            assert reply.headers["www-authenticate"].startswith("Bearer ")


def test_the_lookups_are_in_the_table() -> None:
    lookups = {("POST", "/online-features"), ("POST", "/online-features/batch"), ("GET", "/feature-views/{id}/online-features")}
    assert lookups <= set(every_route())
    assert needed("POST", "/feature-views") == 2 and needed("GET", "/x") == 0 and needed("POST", "/x") == 1


@pytest.mark.parametrize("token", [
    "x", "skw_", "skw__", "Bearer", "skw_ffffffffffff_" + "a" * 43, "ü" * 20, "a" * 10_000, "skw_" + "_" * 180, "\0",
])
def test_a_token_that_is_none_is_refused(guarded: Guarded, token: str) -> None:
    headers = {"Authorization": b"Bearer " + token.encode()}
    for method, path in (("GET", "/feature-views"), ("POST", "/online-features")):
        reply = guarded.call(method, path, headers=headers, json=LOOKUP)
        assert reply.status_code == 401 and reply.json()["code"] == "SK401"


def test_a_token_changed_in_one_place_is_refused(guarded: Guarded) -> None:
    good = guarded.text["read"]
    assert guarded.ask("GET", "/feature-views", good).status_code == 200
    for at in (0, 5, 17, len(good) - 1):
        bad = good[:at] + ("a" if good[at] != "a" else "b") + good[at + 1 :]
        assert guarded.ask("GET", "/feature-views", bad).status_code == 401
    for bad in (good + "a", good[:-1], good.upper()):
        assert guarded.ask("GET", "/feature-views", bad).status_code == 401


def test_a_browser_may_send_it_as_a_password_where_it_only_looks(guarded: Guarded) -> None:
    basic = {"Authorization": "Basic " + base64.b64encode(f"me:{guarded.text['admin']}".encode()).decode()}
    assert guarded.call("GET", "/", headers=basic).status_code == 200
    assert guarded.call("POST", "/online-features", headers=basic, json=LOOKUP).status_code == 401
    assert guarded.call("GET", "/", headers={"Authorization": "Basic %%%"}).status_code == 401


def test_expired_and_revoked_tokens_end(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = guarded.tokens.create("short", "read", expires_at_us=NOW_US + 1_000_000)
    guarded.reload()
    assert guarded.ask("GET", "/feature-views", text).status_code == 200
    monkeypatch.setenv("SKEWLESS_CLOCK", format_instant(NOW_US + 1_000_000))
    assert guarded.ask("GET", "/feature-views", text).json()["detail"] == "the token has expired"
    monkeypatch.setenv("SKEWLESS_CLOCK", format_instant(NOW_US))
    _, text = guarded.tokens.create("gone", "read")
    guarded.reload()
    assert guarded.ask("POST", "/online-features", text, json=LOOKUP).status_code == 200
    guarded.tokens.revoke("gone")
    guarded.reload()
    assert guarded.ask("POST", "/online-features", text, json=LOOKUP).status_code == 401
    with pytest.raises(SkewlessError, match="SK465"):
        guarded.tokens.revoke("gone")
    with pytest.raises(SkewlessError, match="SK465"):
        guarded.tokens.create("read", "read")


def test_only_hashes_are_kept(guarded: Guarded) -> None:
    database = b"".join(p.read_bytes() for p in Path(guarded.config.root).rglob("registry.db*"))
    published = guarded.redis.get("flights.guarded:tokens")
    for text in guarded.text.values():
        assert text.encode() not in database and text.encode() not in published
        assert hash_of(text).encode() in published


def test_tokens_that_do_not_parse_leave_the_others_in_force(guarded: Guarded) -> None:
    guarded.redis.set("flights.guarded:tokens", b"{")
    with pytest.raises(SkewlessError, match="SK250"):
        guarded.runner.run(guarded.app.state.gate.refresh(guarded.app.state.live.store, guarded.namespace))
    assert guarded.ask("GET", "/feature-views", guarded.text["read"]).status_code == 200
    guarded.redis.delete("flights.guarded:tokens")
    guarded.runner.run(guarded.app.state.gate.refresh(guarded.app.state.live.store, guarded.namespace))
    assert guarded.ask("GET", "/feature-views", guarded.text["read"]).status_code == 401
    guarded.reload()


def test_requests_carry_an_id(guarded: Guarded) -> None:
    own = guarded.ask("GET", "/healthz", headers={"X-Request-Id": "abc-1"})
    assert own.headers["x-request-id"] == "abc-1"
    assert guarded.ask("GET", "/nowhere", headers={"X-Request-Id": "abc-2"}).headers["x-request-id"] == "abc-2"
    assert guarded.ask("POST", "/online-features", headers={"X-Request-Id": "abc-3"}).headers["x-request-id"] == "abc-3"
    one, other = (guarded.ask("GET", "/healthz", headers={"X-Request-Id": "<a b>"}).headers["x-request-id"] for _ in range(2))
    assert one != other and len(one) == 16


# ---- processes ----

class Shop:
    """A project whose server listens where it is told."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        (folder / "skewless.yml").write_text(f"project: shop\nonline_store: {url}\n")
        snapshot.publish(redis.Redis.from_url(url), "shop.dev", msgspec.structs.replace(flights(), project="shop", target="dev"))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=60)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "skewless.cli", *arguments, "--project-dir", str(self.folder)]

    def serve(self, log: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(self.command("serve", "--port", "0", "--workers", "1", *arguments), stdout=subprocess.PIPE,
                                   stderr=log.open("w"), text=True)
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, log.read_text()
        return process, url


@pytest.fixture
def shop(tmp_path: Path, url: str) -> Shop:
    redis.Redis.from_url(url).delete("shop.dev:tokens")
    return Shop(tmp_path, url)


def test_beyond_loopback_only_with_tokens_and_they_are_never_logged(shop: Shop, tmp_path: Path) -> None:
    refused = shop.run("serve", "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 3 and "SK451" in refused.stderr and "skewless token create" in refused.stderr
    made = shop.run("token", "create", "--scope", "read", "--expires", "90d", "--name", "app", "--json")
    text = json.loads(made.stdout)["token"]
    assert json.loads(made.stdout)["expires_at"] and "app" in made.stderr and text not in made.stderr
    log = tmp_path / "log"
    process, url = shop.serve(log, "--host", "0.0.0.0", "--access-log")
    port = url.rsplit(":", 1)[1]
    try:
        base = f"http://127.0.0.1:{port}"
        secret = secrets.token_hex(8)
        good = {"Authorization": f"Bearer {text}", "X-Request-Id": "r-1"}
        assert httpx.get(f"{base}/feature-views", headers=good).status_code == 200
        bad = {"Authorization": f"Bearer {text[:-1]}"}
        assert httpx.get(f"{base}/feature-views?token={text}", headers=bad).status_code == 401
        assert httpx.post(f"{base}/online-features", headers=good, json=LOOKUP).status_code == 200
        assert httpx.post(f"{base}/online-features", headers=good, json={"entities": secret}).status_code == 400
        assert httpx.get(f"{base}/healthz").status_code == 200
        assert shop.run("token", "revoke", "app").returncode == 0
        deadline = time.monotonic() + 10
        while httpx.get(f"{base}/feature-views", headers=good).status_code != 401:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.terminate()
        assert process.wait(20) == 0
    said = log.read_text()
    assert text not in said and text.split("_", 2)[2] not in said and secret not in said
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert {(line["path"], line["status"]) for line in lines} >= {
        ("/feature-views", 200), ("/feature-views", 401), ("/online-features", 200), ("/online-features", 400), ("/healthz", 200)}
    assert next(line for line in lines if line["status"] == 200)["request_id"] == "r-1"
    assert {line["actor"] for line in lines if line["path"] == "/feature-views" and line["status"] == 200} == {"app"}
    listed = shop.run("token", "list")
    assert "app" in listed.stdout and "revoked" in listed.stdout and text not in listed.stdout + listed.stderr


def test_insecure_is_loud(shop: Shop, tmp_path: Path) -> None:
    process, url = shop.serve(tmp_path / "log", "--host", "0.0.0.0", "--insecure")
    try:
        assert httpx.get(url.replace("0.0.0.0", "127.0.0.1") + "/feature-views").status_code == 200
    finally:
        process.terminate()
        process.wait(20)
    assert "warning: --insecure" in (tmp_path / "log").read_text()


def test_other_names_of_a_server_without_tokens_are_refused(shop: Shop, tmp_path: Path) -> None:
    """A page of another site whose name leads here (DNS rebinding) sends its own name."""
    (shop.folder / "skewless.yml").write_text((shop.folder / "skewless.yml").read_text() + "serve: {hosts: [features.test]}\n")
    names = {"localhost": 200, "LOCALHOST:80": 200, "a.localhost.": 200, "127.0.0.1": 200, "[::1]:8000": 200,
             "features.test:1": 200,
             "evil.test": 421, "localhost.evil.test": 421, "xfeatures.test": 421, "1.2.3.4.evil.test": 421, "": 421}

    def asked(base: str) -> dict[str, int]:
        return {name: httpx.get(f"{base}/feature-views", headers={"Host": name}).status_code for name in names}

    for options, expected in (((), names), (("--require-tokens",), dict.fromkeys(names, 401)),
                              (("--insecure",), dict.fromkeys(names, 200))):
        process, url = shop.serve(tmp_path / "log", *options)
        try:
            assert asked(url) == expected, options
            if not options:
                refused = httpx.post(f"{url}/online-features", headers={"Host": "evil.test"}, json=LOOKUP)
                assert (refused.status_code, refused.json()["code"]) == (421, "SK421")
                assert httpx.post(f"{url}/online-features", json=LOOKUP).status_code == 200
        finally:
            process.terminate()
            process.wait(20)


def test_bounded_heads(shop: Shop, tmp_path: Path) -> None:
    process, url = shop.serve(tmp_path / "log")
    port = int(url.rsplit(":", 1)[1])
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/healthz", headers={"X-Long": "a" * 33_000})
        reply = connection.getresponse()
        assert reply.status == 431 and json.loads(reply.read())["code"] == "SK431"
        with socket.create_connection(("127.0.0.1", port)) as wire:      # a head that never ends
            wire.settimeout(10)
            wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
            answer = b""
            try:
                for _ in range(200):
                    wire.sendall(b"a" * 1000)
                answer = wire.recv(100)
            except OSError:
                answer = wire.recv(100) if not answer else answer
            assert answer.startswith(b"HTTP/1.1 431")
        with socket.create_connection(("127.0.0.1", port)) as wire:
            wire.sendall(b"NOT HTTP\r\n\r\n")
            assert b"SK400" in wire.recv(1000)
        big = b"POST /online-features HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + b"[" * 100_000
        with socket.create_connection(("127.0.0.1", port)) as wire:      # a large body is not a large head
            wire.sendall(big)
            assert wire.recv(100).startswith(b"HTTP/1.1 400")
        assert httpx.get(f"{url}/healthz").status_code == 200
    finally:
        process.terminate()
        process.wait(20)


def test_tls(shop: Shop, tmp_path: Path) -> None:
    cert, key = write_certificate(tmp_path)
    process, url = shop.serve(tmp_path / "log", "--tls-cert", str(cert), "--tls-key", str(key))
    try:
        assert url.startswith("https://")
        context = ssl.create_default_context(cafile=str(cert))
        assert httpx.get(f"{url}/healthz", verify=context).status_code == 200
    finally:
        process.terminate()
        process.wait(20)
    broken = shop.run("serve", "--port", "0", "--tls-cert", str(tmp_path / "none.pem"))
    assert broken.returncode == 2 and "SK101" in broken.stderr and "Traceback" not in broken.stderr


def test_a_lost_store_gets_snapshot_and_tokens_again(shop: Shop) -> None:
    made = shop.run("token", "create", "--name", "again")
    client = redis.Redis.from_url(shop.url)
    before = client.get("shop.dev:tokens")
    client.delete("shop.dev:tokens")
    assert shop.run("token", "publish").returncode == 0 and client.get("shop.dev:tokens") == before
    assert hash_of(made.stdout.strip()).encode() in before
    nothing = shop.run("serve", "--reload-snapshot")
    assert nothing.returncode == 3 and "SK251" in nothing.stderr

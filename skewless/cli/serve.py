"""`skewless serve`: features over HTTP, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlencode

import msgspec
import typer

from skewless.cli.output import ProjectDir, Target, say
from skewless.config import Config, read_config
from skewless.errors import SkewlessError
from skewless.registry.model import View
from skewless.rows import key_suffix

SCANS_MAX = 20
app = typer.Typer(add_completion=False)


@app.command(
    help="Serve features over HTTP, from the published snapshot and the online store.\n\n"
    "Example: skewless serve --port 8080"
)
def serve(
    host: Annotated[str, typer.Option("--host", help="Address; default: serve.host of skewless.yml, 127.0.0.1.")] = "",
    port: Annotated[int, typer.Option("--port", help="Port; 0 takes a free one; default: serve.port.", min=-1, max=65535)] = -1,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond loopback, without any token.")] = False,
    require_tokens: Annotated[bool, typer.Option("--require-tokens", help="Ask for a token on loopback too.")] = False,
    tls_cert: Annotated[str, typer.Option("--tls-cert", metavar="FILE", help="Certificate chain (PEM): serve HTTPS.")] = "",
    tls_key: Annotated[str, typer.Option("--tls-key", metavar="FILE", help="Its private key (PEM).")] = "",
    access_log: Annotated[bool, typer.Option("--access-log", help="One JSON line a request on stderr.")] = False,
    reload_snapshot: Annotated[bool, typer.Option(
        "--reload-snapshot", help="Start no server: publish what is applied, and the tokens, again, for those that run.",
    )] = False,
    workers: Annotated[int, typer.Option("--workers", help="Processes; default: serve.workers, else one for each processor, and "
                                         "one alone beside the embedded store.", min=0, max=256)] = 0,
    project_dir: ProjectDir = "",
    target: Target = "",
) -> None:
    """Prints the URL on stdout when requests are answered; everything else goes to stderr."""
    from skewless import serve as server

    config = read_config(project_dir or None, target=target or None)
    if reload_snapshot:
        publish_again(config)
        return
    cert, key = (str(Path(name).resolve()) if name else "" for name in (tls_cert, tls_key))
    given = {"tls_cert": cert, "tls_key": key, "require_tokens": require_tokens, "access_log": access_log}
    chosen = {name: value for name, value in given.items() if value}
    config = msgspec.structs.replace(config, serve=msgspec.structs.replace(config.serve, **chosen))
    if insecure:
        say("warning: --insecure: whoever reaches this address reads every feature, starts jobs, and is not asked who they are")

    def on_ready(url: str) -> None:
        print(url, flush=True)
        say(f"serving {config.namespace} on {url}; catalogue at {url}/; try:")
        for line in lines:
            say("  " + line.replace("URL", url))

    lines = try_these(config)
    server.run(config, host=host or None, port=None if port < 0 else port, insecure=insecure, workers=workers, on_ready=on_ready)
    say("stopped")


def publish_again(config: Config) -> None:
    """Snapshot and tokens as the registry has them. Raises SK251, SK600."""
    from skewless.online import connect, speaking
    from skewless.registry import snapshot
    from skewless.registry.store import Store
    from skewless.registry.tokens import Tokens

    registry = Store(config).require_applied()
    client = connect(config)
    with speaking(config.online_store):
        id_ = snapshot.publish(client, config.namespace, registry)
        tokens = Tokens(config).publish(client)
    say(f"published: snapshot {id_}, {len(registry.views)} feature view{'s' * (len(registry.views) != 1)}, "
        f"{tokens} token{'s' * (tokens != 1)}; running servers take them over within about a second")


def try_these(config: Config) -> list[str]:
    """Commands to try, with `URL` for the server's: readiness, one view, one service, for entities that are there.

    A server that has to wait for Redis or a snapshot says so and starts all the same. Raises SK601, SK602.
    """
    from skewless.online import connect
    from skewless.registry import snapshot

    lines = ["curl -s URL/readyz"]
    if config.online_store.partition("://")[0].endswith("+cluster"):
        return lines
    try:
        with connect(config) as client:
            registry = snapshot.load(client, config.namespace)
            found = {view.ref: some_entity(client, config.namespace, view) for view in registry.views if view.online}
    except SkewlessError as error:
        if error.code not in ("SK250", "SK251", "SK600"):
            raise
        say(f"not ready yet, waiting: {error}")
        return lines
    for ref, entity in list(found.items())[:1]:
        lines.append(f"curl -s 'URL/feature-views/{ref}/online-features?{urlencode(entity)}'")
    for service in registry.services[:1]:
        views = [registry.view(ref.view, ref.version) for ref in service.features]
        keys = {name: value for view in views for name, value in found.get(view.ref, {}).items()}
        body = json.dumps({"feature_service": service.name, "entities": keys}, ensure_ascii=False)
        lines.append(f"curl -s URL/online-features -d {shlex.quote(body)}")
    return lines


def some_entity(client: Any, namespace: str, view: View) -> dict[str, str]:
    """The join keys of some entity of the view in the online store; `…` for each where a short look finds none."""
    cursor, pattern = 0, f"{namespace}:{{*}}{key_suffix(view)}"
    for _ in range(SCANS_MAX):
        cursor, keys = client.scan(cursor, match=pattern, count=1_000)
        for key in keys:
            parts = key.decode().partition("{")[2].rpartition("}")[0].split("|")[1:]
            return dict(zip(view.key_names, map(unquote, parts), strict=True))
        if not cursor:
            break
    return dict.fromkeys(view.key_names, "…")

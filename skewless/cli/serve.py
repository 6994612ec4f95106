"""`skewless serve`: features over HTTP, until SIGTERM or Ctrl-C."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import typer

from skewless.cli.output import ProjectDir, Target, say
from skewless.config import Config, read_config
from skewless.errors import SkewlessError
from skewless.registry.model import Registry

app = typer.Typer(add_completion=False)


@app.command(help="Serve features over HTTP, from the published snapshot and the online store.")
def serve(
    host: Annotated[str, typer.Option("--host", help="Address; default: serve.host of skewless.yml, 127.0.0.1.")] = "",
    port: Annotated[int, typer.Option("--port", help="Port; 0 takes a free one; default: serve.port.", min=-1, max=65535)] = -1,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond loopback, without any token.")] = False,
    project_dir: ProjectDir = "",
    target: Target = "",
) -> None:
    """Prints the URL on stdout when requests are answered; everything else goes to stderr."""
    from skewless import serve as server

    config = read_config(project_dir or None, target=target or None)
    if insecure:
        say("warning: --insecure: whoever reaches this address reads every feature")

    def on_ready(url: str) -> None:
        print(url, flush=True)
        for line in try_these(config, registry, url):
            say(line)

    registry = published(config)
    server.run(config, host=host or None, port=None if port < 0 else port, insecure=insecure, on_ready=on_ready)
    say("stopped")


def published(config: Config) -> Registry | None:
    """What is being served; None, said on stderr, where the server has to wait for it. Raises SK601, SK602."""
    from skewless.online import connect
    from skewless.registry import snapshot

    try:
        with connect(config) as client:
            return snapshot.load(client, config.namespace)
    except SkewlessError as error:
        if error.code not in ("SK250", "SK251", "SK600"):
            raise
        say(f"not ready yet, waiting: {error}")
        return None


def try_these(config: Config, registry: Registry | None, url: str) -> list[str]:
    """Lines to try: readiness, one view, one service."""
    lines = [f"serving {config.namespace} on {url}; catalogue at {url}/; try:", f"  curl -s {url}/readyz"]
    if registry is None:
        return lines
    online = [view for view in registry.views if view.online]
    if online:
        keys = urlencode({key.name: "…" for key in online[0].join_keys}, safe="…")
        lines.append(f"  curl -s '{url}/feature-views/{online[0].name}/online-features?{keys}'")
    for service in registry.services[:1]:
        names = dict.fromkeys(k.name for ref in service.features for k in registry.view(ref.view, ref.version).join_keys)
        body = ", ".join(f'"{name}": "…"' for name in names)
        lines.append(
            f"  curl -s {url}/online-features -d '{{\"feature_service\": \"{service.name}\", \"entities\": {{{body}}}}}'"
        )
    return lines

"""`skewless token`: who may ask a server."""

from __future__ import annotations

from typing import Annotated

import typer

from skewless.cli.output import AsJson, ProjectDir, Target, print_json, say
from skewless.config import Config, read_config
from skewless.errors import SkewlessError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Tokens of the HTTP API. Example: skewless token create")


@app.command(
    help="Make a token and print it, once; it is kept as a hash only.\n\n"
    "Example: skewless token create --scope read --expires 90d"
)
def create(
    scope: Annotated[str, typer.Option(help="read: lookups and definitions; write: jobs too; admin: registration too.")] = "read",
    name: Annotated[str, typer.Option(help="What to call it; default: the scope and the day.")] = "",
    expires: Annotated[str, typer.Option(metavar="DURATION", help="Like 90d or 12h; `never` for none.")] = "90d",
    as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """The token alone on stdout."""
    from skewless.clock import format_instant, now_us, parse_duration
    from skewless.registry.tokens import Tokens

    config = read_config(project_dir or None, target=target or None)
    now = now_us()
    until = None if expires == "never" else now + parse_duration(expires)
    if until == now:
        raise SkewlessError("SK102", "--expires is zero", hint="Write it like 90d, or never.")
    token, text = Tokens(config).create(name or f"{scope}-{format_instant(now)[:10]}", scope, expires_at_us=until)
    shown = "never" if until is None else format_instant(until)
    if as_json:
        print_json({"token": text, "id": token.id, "name": token.name, "scope": token.scope,
                    "expires_at": None if until is None else shown})
    else:
        print(text)
    say(f'token "{token.name}" ({token.id}), scope {token.scope}, expires {shown}. It is not shown again.')
    _publish(config)


@app.command(name="list", help="The tokens there are, newest first.\n\nExample: skewless token list")
def list_(as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "") -> None:
    """A line a token: id, name, scope, state, until when."""
    from skewless.clock import format_instant, now_us
    from skewless.registry.tokens import Tokens

    config = read_config(project_dir or None, target=target or None)
    now = now_us()
    rows = [
        {"id": t.id, "name": t.name, "scope": t.scope, "state": t.state(now), "created_at": format_instant(t.created_at_us),
         "expires_at": None if t.expires_at_us is None else format_instant(t.expires_at_us)}
        for t in Tokens(config).all()
    ]
    if as_json:
        print_json({"tokens": rows})
        return
    for row in rows:
        print(f"{row['id']}  {row['name']:<24} {row['scope']:<6} {row['state']:<8} expires {row['expires_at'] or 'never'}")
    if not rows:
        say("There is none. Make one with: skewless token create")


@app.command(help="End a token; servers stop taking it within about a second.\n\nExample: skewless token revoke read-2026-11-21")
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name or id.")],
    project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """Nothing on stdout."""
    from skewless.registry.tokens import Tokens

    config = read_config(project_dir or None, target=target or None)
    token = Tokens(config).revoke(name)
    say(f'token "{token.name}" ({token.id}) is revoked')
    _publish(config)


@app.command(
    help="Tell servers again which tokens are in force, after the online store was lost.\n\nExample: skewless token publish"
)
def publish(project_dir: ProjectDir = "", target: Target = "") -> None:
    """Nothing on stdout."""
    _publish(read_config(project_dir or None, target=target or None))


def _publish(config: Config) -> None:
    from skewless.online import connect, speaking
    from skewless.registry.tokens import Tokens

    try:
        client = connect(config)
        with speaking(config.online_store):
            count = Tokens(config).publish(client)
    except SkewlessError as error:
        error.hint = "It is in the registry; servers hear of it by: skewless token publish"
        raise SkewlessError(error.code, error.fact, detail=error.detail, hint=error.hint) from None
    say(f"{count} token{'s' * (count != 1)} in force")

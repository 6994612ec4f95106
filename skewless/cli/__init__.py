"""The command line. Each command is one module of this package, loaded only when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from skewless import __version__
from skewless.errors import EXIT_USAGE, SkewlessError

# command -> (module, one line for --help), in the order in which a newcomer needs them. A module defines `app = typer.Typer()`.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("skewless.cli.init", "Start a feature project here: dbt project, profile, skewless.yml, one example view."),
    "adopt": ("skewless.cli.adopt", "Write the skewless block and a typed contract for an existing dbt model."),
    "check": ("skewless.cli.check", "Report everything that is wrong with the definitions, all at once."),
    "fix": ("skewless.cli.fix", "Write the SQL of views in the form that every engine answers alike."),
    "plan": ("skewless.cli.plan", "Show the difference between the dbt project and the registry."),
    "apply": ("skewless.cli.apply", "Apply exactly the plan that was shown, and publish the snapshot."),
    "materialize": ("skewless.cli.materialize", "Run dbt over a window, with progress, then push what it wrote."),
    "sync": ("skewless.cli.sync", "Push rows that changed since the last sync to the online store."),
    "training-set": ("skewless.cli.training_set", "Join features to a label frame, as of each label."),
    "get": ("skewless.cli.get", "Look features up in the online store."),
    "serve": ("skewless.cli.serve", "Serve features over HTTP."),
    "worker": ("skewless.cli.worker", "Do the jobs that the HTTP API is asked for."),
    "token": ("skewless.cli.token", "Tokens of the HTTP API: create, list, revoke."),
    "status": ("skewless.cli.status", "Views, rows, completeness, freshness and last sync on one screen."),
    "transpile": ("skewless.cli.transpile", "Print a view's SQL for Flink, Postgres or DuckDB."),
    "stream": ("skewless.cli.stream", "Streamed views: Flink, the jobs on it, and the consumer of their rows."),
    "conformance": ("skewless.cli.conformance", "Run random SQL on DuckDB, Postgres and Flink and compare every bit."),
    "dev": ("skewless.cli.dev", "Real servers on this machine: Kafka, Flink, Valkey, Postgres."),
    "audit": ("skewless.cli.audit", "Compare offline rows with online rows, byte for byte."),
    "compact": ("skewless.cli.compact", "Merge small files of the lake."),
    "vacuum": ("skewless.cli.vacuum", "Delete files of the lake that nothing refers to any more."),
}


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are called; --help reads only `COMMANDS`."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if "--help" in sys.argv[1:2] or len(sys.argv) == 1:
            return typer.main.get_command(_stub(cmd_name))
        command = typer.main.get_command(importlib.import_module(COMMANDS[cmd_name][0]).app)
        command.name = cmd_name
        return command


def _stub(name: str) -> typer.Typer:
    app = typer.Typer(add_completion=False)
    app.command(name=name, help=COMMANDS[name][1])(lambda: None)
    return app


app = typer.Typer(cls=LazyGroup, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


def _version(value: bool) -> None:
    if value:
        print(f"skewless {__version__}")
        raise typer.Exit


@app.callback(help="One SQL definition. The same bytes in training and in serving.")
def _root(version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version.")) -> None:
    pass


_INTERRUPTED = "interrupted; what was finished is kept, run the same command to go on"


def main() -> None:
    """The console script. A SkewlessError becomes its message on stderr and its exit code; Ctrl-C becomes exit 130."""
    from skewless.cli import output

    try:
        app()
    except SkewlessError as error:
        output.print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        output.say(_INTERRUPTED)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(EXIT_USAGE)
    except Exception as error:  # no traceback reaches a user; SKEWLESS_DEBUG=1 shows it
        import os

        if "Query interrupted" in str(error):       # DuckDB's form of Ctrl-C
            output.say(_INTERRUPTED)
            sys.exit(130)
        if os.environ.get("SKEWLESS_DEBUG"):
            raise
        output.print_error(
            SkewlessError("SK900", f"{type(error).__name__}: {error}", hint="Set SKEWLESS_DEBUG=1 to see where it happened.")
        )
        sys.exit(EXIT_USAGE)

"""Every command: its help, and that wrong input ends in a message with a code, never in a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from skewless import __version__
from skewless.cli import COMMANDS
from skewless.cli.init import write_starter

HEAVY = ("dbt", "duckdb", "pyarrow", "numpy", "sqlglot", "sqlalchemy", "deltalake", "redis", "starlette", "uvicorn", "yaml")


def skewless(*args: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("SKEWLESS_", "DBT_"))}
    return subprocess.run(
        [sys.executable, "-m", "skewless.cli", *args],
        cwd=cwd, env={**clean, **env, "COLUMNS": "100"}, capture_output=True, text=True,
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh starter project; nothing is built or applied in it."""
    folder = tmp_path_factory.mktemp("cli") / "shop"
    write_starter(folder, "shop")
    return folder


def test_help_lists_every_command(tmp_path: Path) -> None:
    done = skewless("--help", cwd=tmp_path)
    assert done.returncode == 0
    for name, (_, line) in COMMANDS.items():
        assert name in done.stdout
        assert line.split()[0] in done.stdout


def test_help_loads_no_command(tmp_path: Path) -> None:
    """What keeps it fast: neither a command nor what commands stand on is imported."""
    code = (
        "import sys, atexit; sys.argv = ['skewless', '--help']\n"
        "atexit.register(lambda: print(sorted({m.split('.')[0] for m in sys.modules} & set(HEAVY)), [m for m in sys.modules if "
        "m.startswith('skewless.cli.') and m != 'skewless.cli.output'], file=sys.stderr))\n"
        "from skewless.cli import main; main()"
    ).replace("HEAVY", repr(HEAVY))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == "[] []\n"


def test_version(tmp_path: Path) -> None:
    assert skewless("--version", cwd=tmp_path).stdout == f"skewless {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_explains_itself_outside_a_project_too(command: str, tmp_path: Path) -> None:
    done = skewless(command, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert "xample" in done.stdout, "the help shows no example"


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_refused(command: str, tmp_path: Path) -> None:
    done = skewless(command, "--no-such-option", cwd=tmp_path)
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr and "Traceback" not in done.stderr


ARGUMENTS = {  # the least that a command needs before it looks for the project
    "adopt": ["orders"], "apply": ["abc"], "get": ["churn", "customer_id=1"],
    "training-set": ["--labels", "labels.csv", "--service", "churn", "--out", "train.parquet"],
    "stream": ["emit", "churn"], "transpile": ["churn", "--to", "flink"], "token": ["list"], "dev": ["status"],
}


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("init", "conformance")])   # need no project
def test_outside_a_project_the_way_in_is_named(command: str, tmp_path: Path) -> None:
    done = skewless(command, *ARGUMENTS.get(command, []), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "error[SK100]" in done.stderr and "skewless init" in done.stderr
    assert "Traceback" not in done.stderr and not done.stdout


@pytest.mark.parametrize("command", ["status", "sync", "audit", "get", "training-set", "materialize"])
def test_before_apply_the_next_step_is_named(command: str, shop: Path) -> None:
    done = skewless(command, *ARGUMENTS.get(command, []), cwd=shop)
    if command == "status" and done.returncode == 0:
        assert "skewless plan" in done.stdout + done.stderr
        return
    assert done.returncode in (2, 3), done.stdout + done.stderr
    assert "error[SK" in done.stderr and "skewless plan" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "code"),
    [("project: [", "SK101"), ("project: x\nlak: y\n", "SK101"), ("- a\n", "SK101"), ("online_store: embedded\n", "SK101")],
)
def test_a_configuration_that_does_not_fit_names_the_file(text: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "skewless.yml").write_text(text)
    done = skewless("status", cwd=tmp_path)
    assert done.returncode == 2
    assert f"error[{code}]" in done.stderr and "skewless.yml" in done.stderr


def test_a_clock_that_does_not_parse_is_refused(shop: Path) -> None:
    done = skewless("materialize", "--from", "yesterday", "--to", "today", cwd=shop)
    assert done.returncode in (2, 3) and "Traceback" not in done.stderr and "error[SK" in done.stderr


def test_errors_are_json_for_a_program(tmp_path: Path) -> None:
    import json

    done = skewless("status", "--json", cwd=tmp_path)
    assert json.loads(done.stderr)["errors"][0]["code"] == "SK100"


@pytest.mark.parametrize("name", ["Shop", "1shop", "skewless", "my-shop"])
def test_init_refuses_a_name_that_dbt_would_refuse(name: str, tmp_path: Path) -> None:
    done = skewless("init", "--name", name, cwd=tmp_path)
    assert done.returncode == 2 and "error[SK107]" in done.stderr
    assert not list(tmp_path.iterdir())


def test_init_takes_the_name_from_the_folder(tmp_path: Path) -> None:
    done = skewless("init", "My Shop", cwd=tmp_path)
    assert done.returncode == 0
    assert "project: my_shop" in (tmp_path / "My Shop" / "skewless.yml").read_text()
    assert "Next (cd My Shop)" in done.stderr


def test_talk_stands_behind_the_data_that_were_printed_before_it(tmp_path: Path) -> None:
    """Also where both streams go to one file: stdout is buffered there, stderr is not."""
    code = "from skewless.cli.output import say; print('data'); say('talk')"
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with open(tmp_path / "both", "w") as both:
        subprocess.run([sys.executable, "-c", code], env=clean, stdout=both, stderr=both, check=True)
    assert (tmp_path / "both").read_text() == "data\ntalk\n"

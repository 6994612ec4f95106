"""What a user installs: a wheel built from this tree, in an environment where the tree itself is not importable."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "dbt_project.yml", "macros", "models", "skewless", "sync", "serve", "stream")
ROOMS = {  # folder of the repository -> its place in the wheel
    "macros": "skewless/dbt_package/macros",
    "models": "skewless/dbt_package/models",
    "sync": "skewless/sync",
    "serve": "skewless/serve",
    "stream": "skewless/stream",
    "skewless/starter": "skewless/starter",
    "skewless/registry": "skewless/registry",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without network from a copy of the tree (links kept)."""
    copy = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(copy / "dist"), str(copy)], cwd=copy)
    (built,) = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of a new environment that holds the wheel; its dependencies come from the environment of this test."""
    home = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], cwd=home)
    site = next((home / "lib").glob("python*/site-packages"))
    # A path named in a .pth file is searched, but its own .pth files are not read: the editable install stays out.
    (site / "dependencies.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}) + "\n")
    return python


def run(argv: list[str], *, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHONPATH", "SKEWLESS_", "DBT_"))}
    done = subprocess.run(argv, cwd=cwd, env={**clean, **(env or {})}, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout}\n{done.stderr}"
    return done


def test_skewless_is_the_only_top_level_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"skewless"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.parametrize("folder", ROOMS)
def test_every_file_of_a_room_is_in_the_wheel_with_its_content(wheel: Path, folder: str) -> None:
    archive = zipfile.ZipFile(wheel)
    files = [p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts and p.name != ".gitkeep"]
    missing = []
    for path in files:
        name = f"{ROOMS[folder]}/{path.relative_to(ROOT / folder).as_posix()}"
        if name not in archive.namelist() or archive.read(name) != path.read_bytes():
            missing.append(name)
    assert not missing


def test_the_dbt_project_file_of_the_package_is_the_real_one(wheel: Path) -> None:
    packed = zipfile.ZipFile(wheel).read("skewless/dbt_package/dbt_project.yml")
    assert packed == (ROOT / "dbt_project.yml").read_bytes()


def test_init_in_an_empty_folder_works_from_the_wheel_alone(installed: Path, tmp_path: Path) -> None:
    """init, dbt deps, dbt run: the history is there, and it is the wheel's code that wrote it."""
    where = run([str(installed), "-c", "import skewless; print(skewless.__file__)"], cwd=tmp_path).stdout
    assert str(installed.parent.parent) in where
    clock = {"SKEWLESS_CLOCK": "2026-03-02T00:00:00Z"}
    cli = [str(installed), "-m", "skewless.cli"]
    shop = tmp_path / "shop"
    shop.mkdir()
    written = run([*cli, "init"], cwd=shop).stdout.split()
    assert "dbt_project.yml" in written and "models/customer_orders.sql" in written
    dbt = [str(installed), "-m", "dbt.cli.main"]
    run([*dbt, "deps"], cwd=shop, env=clock)
    run([*dbt, "run"], cwd=shop, env=clock)
    rows = "import deltalake; print(deltalake.DeltaTable('lake/dev/customer/customer_orders/v1').count())"
    assert run([str(installed), "-c", rows], cwd=shop).stdout.strip() == "8"


def test_init_refuses_to_overwrite(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "skewless.yml").write_text("project: mine\n")
    done = subprocess.run(
        [str(installed), "-m", "skewless.cli", "init", "--name", "shop"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "SK106" in done.stderr and "skewless.yml" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["skewless.yml"]
    assert (tmp_path / "skewless.yml").read_text() == "project: mine\n"

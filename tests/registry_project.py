"""A small real dbt project for the registry's tests: YAML and SQL in, dbt's own manifest out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from skewless.config import Config, read_config
from skewless.warehouse.dbt import ensure_manifest

PROFILE = "shop: {target: dev, outputs: {dev: {type: duckdb, path: dev.duckdb, settings: {TimeZone: UTC}}}}\n"


def write_project(root: Path, yamls: dict[str, str], sqls: dict[str, str]) -> Config:
    """Writes a project with these files under models/; a model without SQL selects NULL for each of its columns."""
    models = root / "models"
    models.mkdir(parents=True, exist_ok=True)
    (root / "dbt_project.yml").write_text('name: shop\nversion: "1.0"\nprofile: shop\n')
    (root / "profiles.yml").write_text(PROFILE)
    if not (root / "skewless.yml").exists():
        (root / "skewless.yml").write_text("project: shop\n")
    for name, text in yamls.items():
        (models / name).write_text(text)
        for model in (yaml.safe_load(text) or {}).get("models") or []:
            if not (models / f"{model['name']}.sql").exists():
                (models / f"{model['name']}.sql").write_text(sqls.get(model["name"]) or plain_sql(model))
    for name, text in sqls.items():
        (models / f"{name}.sql").write_text(text)
    return read_config(root)


def plain_sql(model: dict[str, Any]) -> str:
    """A query with the model's columns, all from one table."""
    columns = ",\n".join(f'    "{c["name"]}"' for c in model.get("columns") or [{"name": "x"}])
    return f"select\n{columns}\nfrom main.events\n"


def compiled(config: Config) -> dict[str, Any]:
    """The manifest that dbt writes for it."""
    return ensure_manifest(config)

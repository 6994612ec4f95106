"""Names on a command line -> applied views, and their tables."""

from __future__ import annotations

from skewless.config import Config
from skewless.registry.model import View, parse_ref
from skewless.warehouse.lake import LakeTable


def applied_views(config: Config, names: list[str]) -> list[View]:
    """The applied views of these names (`view`: all its versions, `view@2`); every view without names.

    Raises SK251 when nothing is applied, SK404 for a name that does not exist, SK104 for one that does not parse.
    """
    from skewless.registry.store import Store

    registry = Store(config).require_applied()
    if not names:
        return list(registry.views)
    out: list[View] = []
    for name in names:
        ref = parse_ref(name)
        registry.view(ref.view, ref.version)
        out += [v for v in registry.views if v.name == ref.view and ref.version in (None, v.version) and v not in out]
    return out


def tables(config: Config, names: list[str]) -> list[LakeTable]:
    """The tables of these views that exist."""
    found = [LakeTable(config.lake_root, view) for view in applied_views(config, names)]
    return [table for table in found if table.exists()]

"""Where a definition stands: line numbers of keys inside the YAML files of a dbt project."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import yaml


class Source:
    """One YAML file. Reads it on first use; a file that is gone or does not parse has no lines."""

    def __init__(self, root: Path, file: str) -> None:
        self.root, self.file = root, file

    @cached_property
    def _tree(self) -> yaml.Node | None:
        try:
            return yaml.compose((self.root / self.file).read_text(), Loader=yaml.SafeLoader)
        except (OSError, yaml.YAMLError):
            return None

    def line(self, *path: Any) -> int:
        """The line, from 1, of the deepest part of `path` that exists; 0 when there is no such file.

        A text steps into a mapping; a pair ("name", value) steps to the list item with that entry; a number to that list item.
        """
        node = self._tree
        if node is None:
            return 0
        line = node.start_mark.line
        for part in path:
            found = _step(node, part)
            if found is None:
                break
            line, node = found
        return line + 1

    def has(self, *path: Any) -> bool:
        """Whether the whole of `path` exists."""
        node = self._tree
        for part in path:
            found = _step(node, part) if node is not None else None
            if found is None:
                return False
            node = found[1]
        return node is not None


def _step(node: yaml.Node, part: Any) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode) and isinstance(part, str):
        for key, value in node.value:
            if getattr(key, "value", None) == part:
                return key.start_mark.line, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line, node.value[part]
    if isinstance(node, yaml.SequenceNode) and isinstance(part, tuple):
        for item in node.value:
            found = _step(item, part[0])
            if found and getattr(found[1], "value", None) == str(part[1]):
                return item.start_mark.line, item
    return None

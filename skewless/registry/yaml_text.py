"""Adds keys and list items to a YAML text and leaves every other line, with its comments, as it is.

Block style gets new lines. A mapping or list in flow style (`{a: 1}`) is written again on its own lines' place, since it holds no
comments that could be kept apart.
"""

from __future__ import annotations

from typing import Any

import yaml

WIDTH = 110


class YamlText:
    """One YAML document as text. `path` steps into mappings by key and into lists by number."""

    def __init__(self, text: str) -> None:
        self.text = text if text.endswith("\n") or not text else text + "\n"

    def value(self, *path: Any) -> Any:
        """The value at `path`, None where there is none."""
        found = yaml.safe_load(self.text)
        for part in path:
            try:
                found = found[part]
            except (KeyError, IndexError, TypeError):
                return None
        return found

    def set(self, *path: Any, value: Any) -> None:
        """Put `value` at `path`; missing mappings on the way are made. Nothing changes when it is there already."""
        if self.value(*path) == value and value is not None:
            return
        depth = len(path)
        while depth and self.value(*path[:depth]) is None:
            depth -= 1
        for part in reversed(path[depth + 1 :]):
            value = {part: value}
        if depth == len(path):
            self._replace(self._node(path), value)
        else:
            self._add(path[:depth], path[depth], value)

    def append(self, *path: Any, value: Any) -> None:
        """Add an item to the list at `path`, which exists."""
        node = self._node(path)
        assert isinstance(node, yaml.SequenceNode)
        if node.flow_style or not node.value:
            self._replace(node, [*self.value(*path), value])
        else:
            indent = _dash(self.text, node.value[-1])
            self._insert(_last_line(self.text, node), _dump([value], indent))

    def _node(self, path: tuple[Any, ...]) -> yaml.Node:
        node = yaml.compose(self.text, Loader=yaml.SafeLoader)
        for part in path:
            if isinstance(part, int):
                node = node.value[part]
            else:
                node = next(v for k, v in node.value if k.value == part)
        assert node is not None
        return node

    def _add(self, path: tuple[Any, ...], key: str, value: Any) -> None:
        if not path and not self.text.strip():
            self.text += _dump({key: value}, 0)
            return
        node = self._node(path)
        if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
            indent = node.value[0][0].start_mark.column
            self._insert(_last_line(self.text, node), _dump({key: value}, indent))
        else:
            self._replace(node, {**(self.value(*path) or {}), key: value})

    def _replace(self, node: yaml.Node, value: Any) -> None:
        if not isinstance(node, yaml.ScalarNode) and not node.flow_style and node.value:
            raise ValueError("a mapping or list in block style is not replaced")
        flow = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
        flow = flow.removesuffix("...\n").strip()
        start, end = node.start_mark.index, node.end_mark.index
        space = " " if start and self.text[start - 1] not in " \n" else ""
        self.text = self.text[:start] + space + flow + self.text[end:]

    def _insert(self, after_line: int, block: str) -> None:
        lines = self.text.splitlines(keepends=True)
        self.text = "".join([*lines[: after_line + 1], block, *lines[after_line + 1 :]])


def _dash(text: str, item: yaml.Node) -> int:
    """The column of the dash of a list item."""
    line = text.splitlines()[item.start_mark.line]
    return line.index("-")


def _last_line(text: str, node: yaml.Node) -> int:
    """The last line, from 0, that holds content of the node: neither the comments nor the blank lines that follow it."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return max(_last_line(text, node.value[-1][1]), node.value[-1][0].start_mark.line)
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _last_line(text, node.value[-1])
    mark = node.end_mark
    if getattr(node, "style", None) not in ("|", ">"):
        return mark.line
    lines = text.splitlines()
    last = min(mark.line - (mark.column == 0), len(lines) - 1)
    while last > node.start_mark.line and not lines[last].strip():
        last -= 1
    return last


class _Blocks(yaml.SafeDumper):
    """Mappings of features and entities in flow style on one line, all else in blocks; lists indented below their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


class Flow(dict):   # type: ignore[type-arg]
    """A mapping that is written on one line."""


_Blocks.add_representer(Flow, lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True))
yaml.SafeDumper.add_representer(Flow, lambda dumper, data: dumper.represent_dict(dict(data)))


def _dump(value: Any, indent: int) -> str:
    text = yaml.dump(value, Dumper=_Blocks, default_flow_style=False, sort_keys=False, width=WIDTH, allow_unicode=True)
    return "".join(" " * indent + line for line in text.splitlines(keepends=True))

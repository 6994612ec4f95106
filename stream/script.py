"""A script of Flink SQL -> its statements."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
    (?P<comment>--[^\n]*|/\*.*?\*/)
  | (?P<quoted>'(?:[^']|'')*'|`(?:[^`]|``)*`|"(?:[^"]|"")*")
  | (?P<begin>\bSTATEMENT\s+SET\s+BEGIN\b)
  | (?P<end>\bEND\b)
  | (?P<semicolon>;)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def statements(script: str) -> list[str]:
    """The statements without their semicolons and without comments around them, in order; a statement set is one statement.

    >>> statements("SET 'a' = ';'; -- one; two\\nEXECUTE STATEMENT SET BEGIN INSERT INTO x SELECT 1; END;")
    ["SET 'a' = ';'", 'EXECUTE STATEMENT SET BEGIN INSERT INTO x SELECT 1; END']
    """
    out, start, depth, cases = [], 0, 0, 0
    for match in _TOKEN.finditer(script):
        if match["begin"]:
            depth = 1
            cases = _ends_of_cases(script[match.end():])
        elif match["end"] and depth:
            depth, cases = (depth, cases - 1) if cases else (0, 0)
        elif match["semicolon"] and not depth:
            out.append(script[start: match.start()])
            start = match.end()
    out.append(script[start:])
    return [bare for text in out if (bare := _bare(text))]


def _ends_of_cases(text: str) -> int:
    """How many END of the text that follows close a CASE: those before the last one of the set."""
    bare = _TOKEN.sub(lambda m: m.group() if m["semicolon"] or m["end"] else " ", text)
    closing = re.search(r";\s*END\b", bare, re.IGNORECASE)
    return len(re.findall(r"\bEND\b", bare[: closing.start()], re.IGNORECASE)) if closing else 0


def _bare(text: str) -> str:
    """Without comments at the start, and without white space around."""
    text = text.strip()
    while match := re.match(r"--[^\n]*(\n|$)|/\*.*?\*/", text, re.DOTALL):
        text = text[match.end():].strip()
    return text

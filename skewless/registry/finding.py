"""What `check` reports: an error, warning or advice, with the place in the user's files."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from skewless.errors import SkewlessError

LEVELS = ("error", "warning", "advice")


class Finding(SkewlessError):
    """One finding. `level` is one of LEVELS; `file` is relative to the project's root; `line` and `column`
    count from 1, 0 = none.

    `subject` names the view or service: `view "carrier_delays"`.
    """

    def __init__(
        self, code: str, fact: str, *, level: str = "error", file: str = "", line: int = 0, subject: str = "", hint: str = "",
        column: int = 0,
    ) -> None:
        assert level in LEVELS
        self.level, self.file, self.line, self.column, self.subject = level, file, line, column, subject
        place = f"{file}:{line}:{column}" if line and column else f"{file}:{line}" if line else file
        detail = ", ".join(part for part in (place, subject) if part)
        super().__init__(code, fact, detail=f"{detail}." if detail else "", hint=hint)

    def render(self) -> str:
        return f"{self.level}{super().render().removeprefix('error')}" if hasattr(self, "level") else super().render()

    def as_dict(self) -> dict[str, str]:
        """code, level, fact, file, line, column, subject, hint."""
        return {
            "code": self.code, "level": self.level, "fact": self.fact, "file": self.file, "line": self.line,  # type: ignore[dict-item]
            "column": self.column,  # type: ignore[dict-item]
            "subject": self.subject, "hint": self.hint,
        }


def errors_of(findings: Iterable[SkewlessError]) -> list[SkewlessError]:
    """The findings that forbid a plan: level error, or none."""
    return [f for f in findings if getattr(f, "level", "error") == "error"]


def did_you_mean(name: str, names: Iterable[str], what: str) -> str:
    """The nearest of `names` as a question, else all of them: `Keys: a, b.`"""
    options = sorted(set(names))
    near = difflib.get_close_matches(str(name), options, n=1)
    return f'Did you mean "{near[0]}"?' if near else f"{what}: {', '.join(options) or 'none'}."

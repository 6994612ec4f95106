"""Every error a user can meet: code, fact, detail, hint.

    SkewlessError
    └── Findings   several at once

Exit codes: 2 for SK1xx and SK9xx (usage, configuration, environment), 3 for the rest (refused by a rule).
Ranges: SK10x usage and configuration · SK11x-SK14x findings of `check` · SK20x SQL · SK25x plan and apply ·
SK3xx values and bytes · SK4xx lookups · SK5xx history · SK6xx online store · SK7xx training sets · SK8xx streams ·
SK9xx environment. The fact is lower case without a full stop; detail and hint are sentences. `CODES` is the one table;
docs/errors.md is generated from it.
"""

from __future__ import annotations

from skewless.error_codes import CODES

EXIT_FINE = 0
EXIT_FOUND = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3


class SkewlessError(Exception):
    """A refusal or failure that a user can act on.

    `code` is a key of `CODES`. `str(error)` is the message in the form that the command line prints.
    """

    exit_code = EXIT_REFUSED

    def __init__(self, code: str, fact: str, *, detail: str = "", hint: str = "") -> None:
        assert code in CODES, f"error code {code} is not in skewless.error_codes.CODES"
        self.code, self.fact, self.detail, self.hint = code, fact, detail, hint
        if code.startswith(("SK1", "SK9")):
            self.exit_code = EXIT_USAGE
        super().__init__(self.render())

    def render(self) -> str:
        """`error[SK101]: fact` and, indented below it, detail and hint where they are given."""
        lines = [f"error[{self.code}]: {self.fact}"]
        if self.detail:
            lines.append(f"  detail: {self.detail}")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, str]:
        """The JSON twin of `render`: code, fact, detail, hint."""
        return {"code": self.code, "fact": self.fact, "detail": self.detail, "hint": self.hint}


class Findings(SkewlessError):
    """Several findings at once, in the order found; raised by commands that collect before they stop."""

    def __init__(self, findings: list[SkewlessError]) -> None:
        assert findings
        self.findings = findings
        super().__init__(findings[0].code, findings[0].fact, detail=findings[0].detail, hint=findings[0].hint)
        self.exit_code = max(f.exit_code for f in findings)

    def render(self) -> str:
        return "\n".join(f.render() for f in self.findings)

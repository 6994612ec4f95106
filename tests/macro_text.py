"""The package's macros as text, for any adapter: what the conformance run renders its queries with."""

from __future__ import annotations

from skewless.conformance.macro_text import render

__all__ = ["render"]

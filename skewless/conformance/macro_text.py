"""The package's macros as text, for any adapter, without dbt's start-up; a test holds it to dbt's own rendering."""

from __future__ import annotations

import datetime
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2

MACROS = Path(__file__).parent.parent / "dbt_package" / "macros"


class _Return(Exception):
    """What `return(…)` in a macro raises."""


class _CompilerError(Exception):
    """What `exceptions.raise_compiler_error(…)` raises."""


def _return(value: Any) -> None:
    raise _Return(value)


def _fail(message: str) -> None:
    raise _CompilerError(message)


class _Package:
    """`skewless.<macro>` inside a template."""

    def __init__(self) -> None:
        self.module: Any = None

    def __getattr__(self, name: str) -> Any:
        macro = getattr(self.module, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return str(macro(*args, **kwargs))
            except _Return as result:
                return result.args[0]

        return call


@cache
def _package(adapter: str) -> tuple[jinja2.Environment, dict[str, Any]]:
    package = _Package()

    def dispatch(name: str, _namespace: str) -> Any:
        return getattr(package, f"{adapter}__{name}" if hasattr(package.module, f"{adapter}__{name}") else f"default__{name}")

    context = {
        "return": _return, "skewless": package, "adapter": SimpleNamespace(dispatch=dispatch),
        "modules": SimpleNamespace(re=re, datetime=datetime), "exceptions": SimpleNamespace(raise_compiler_error=_fail),
    }
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    # A name that starts with `_` is not exported by a template; every macro gets a second one.
    text = "".join(path.read_text() for path in sorted((MACROS / "portable").glob("*.sql")))
    text = re.sub(r"{%(-?)\s*macro (_)", r"{%\1 macro export\2", text)
    package.module = _Exported(environment.from_string(text, globals=context).module)
    return environment, context


class _Exported:
    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, f"export{name}" if name.startswith("_") else name)


def render(text: str, adapter: str) -> str:
    """A text with `{{ skewless.… }}` calls, as dbt renders it for that adapter. Raises ValueError with a macro's refusal."""
    environment, context = _package(adapter)
    try:
        return environment.from_string(text, globals=context).render()
    except _CompilerError as error:
        raise ValueError(str(error)) from None


def call(adapter: str, macro: str, *args: Any, **kwargs: Any) -> str:
    """What one macro of the package expands to. Raises ValueError with its refusal."""
    try:
        return str(getattr(_package(adapter)[1]["skewless"], macro)(*args, **kwargs)).strip()
    except _CompilerError as error:
        raise ValueError(str(error)) from None

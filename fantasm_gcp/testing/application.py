"""The Flask application that a harness makes where a test brings none of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

Builder = Callable[..., tuple[str, str]]


class LazyRule(Rule):
    """A rule that compiles what builds its URLs when a URL is first built of it.

    Most rules of a test's application never are, and compiling them is more than half of what a harness
    costs. Werkzeug has no public way to that; where it calls this by another name, nothing but time is lost.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Builder:
        built: Builder | None = None

        def build(rule: LazyRule, **values: Any) -> tuple[str, str]:
            nonlocal built
            if built is None:
                built = super()._compile_builder(append_unknown)
            return built(rule, **values)

        return build


class Application(Flask):
    """An application of nothing but the machines."""

    url_rule_class = LazyRule

    def __init__(self) -> None:
        super().__init__("harness")

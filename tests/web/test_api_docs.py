"""docs/api.md has every path of the HTTP API, and what it shows is what is answered."""

from __future__ import annotations

import re

from api_examples import PAGE, examples, with_examples
from flask import Flask
from operated import DEFINITIONS

from fantasm_gcp import Fantasm, Settings


def test_the_examples_are_what_the_api_answers():
    """`python tests/web/api_examples.py` writes them anew."""
    text = PAGE.read_text()
    assert with_examples(text) == text


def test_every_example_stands_in_the_page_once():
    """None is made for nothing."""
    assert sorted(examples()) == sorted(re.findall(r"<!-- example: (\w+) -->", PAGE.read_text()))


def test_every_path_of_the_api_has_a_heading():
    """With its method; and no heading is of a path that is not there."""
    app = Flask("rules")
    Fantasm(app, Settings(mode="local", definitions=str(DEFINITIONS)))
    served = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("fantasm.api_")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    headings = re.findall(r"^### `((?:GET|POST) /fantasm/api/.*)`$", PAGE.read_text(), re.MULTILINE)
    assert sorted(served) == sorted(headings)

"""What pages have around them: the name of what they show, and links to what is beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, request
from werkzeug.exceptions import HTTPException

from fantasm_gcp.local.pages.rendering import render


@dataclass(frozen=True, slots=True)
class Frame:
    """The bar of some pages.

    ``brand`` is what they are pages of and leads to the endpoint ``home``; ``links`` leads from words to
    endpoints.
    """

    brand: str
    home: str
    links: Mapping[str, str]

    def render(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page as an answer: one that stands still and says nothing of what was done, unless told to."""
        around = {
            "brand": self.brand,
            "links": self.links,
            "home": self.home,
            "here": request.script_root + request.path,
            "refresh": 0,
            "notice": "",
        }
        return render(template, around | values, status)

    def problem(self, error: HTTPException) -> Response:
        """An error as a page, with the headers that go with it."""
        answer = self.render(
            "problem.html", error.code or 500, title=error.name, message=error.description or ""
        )
        for name, value in error.get_headers():
            if name == "Allow":
                answer.headers[name] = value
        return answer

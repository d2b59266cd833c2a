"""From templates and values to an answer: the templates' environment and the headers of every answer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from flask import Response, url_for
from jinja2 import Environment, PackageLoader, StrictUndefined

from fantasm_gcp.core.moments import iso
from fantasm_gcp.local.datastore.entity.keys import is_reserved
from fantasm_gcp.local.pages import entity_words, names, wording

HEADERS: Final = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "style-src 'self'",
            "script-src 'self'",
            "connect-src 'self'",
            "img-src data:",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of everything that is answered here, the JSON too."""


def render(template: str, values: Mapping[str, Any], status: int = 200) -> Response:
    """A page as an answer. ``values`` must have every name that the template uses."""
    return Response(_environment().get_template(template).render(values), status, mimetype="text/html")


@cache
def _environment() -> Environment:
    """Its own, so that an application's filters and settings of Jinja cannot change these pages."""
    environment = Environment(
        loader=PackageLoader("fantasm_gcp.local.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["url_for"] = url_for
    environment.tests["reserved"] = is_reserved
    environment.filters.update(
        body=wording.body_of,
        cell=entity_words.cell_of,
        count="{:,}".format,
        distance=wording.words_of_distance,
        gql=entity_words.gql_of_key,
        headers=wording.headers_of,
        iso=iso,
        key=entity_words.words_of_key,
        location=names.location_of,
        key_token=entity_words.write_key,
        moment=wording.words_of_moment,
        queue=names.short_queue,
        result=wording.words_of_result,
        size=wording.words_of_size,
        span=wording.words_of_span,
        status=wording.words_of_status,
        target=wording.words_of_target,
        task=names.short_task,
        token=wording.words_of_token,
        type=entity_words.type_of,
        value=entity_words.text_of,
        visible=wording.visible,
    )
    return environment

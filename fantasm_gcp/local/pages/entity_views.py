"""The pages of the Datastore: its kinds, what a query finds, one entity. They only read."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from typing import Final

import grpc
from flask import Response, request
from werkzeug.exceptions import BadRequest, HTTPException, NotFound

from fantasm_gcp.local.pages import entity_words as words
from fantasm_gcp.local.pages.actions import explained
from fantasm_gcp.local.pages.entity_reading import (
    MOST_COUNTED,
    MOST_NAMESPACES,
    EntityReader,
    Found,
    Place,
)
from fantasm_gcp.local.pages.frame import Frame
from fantasm_gcp.local.rpc import RpcError

COLUMNS: Final = 12
"""Properties beside the key in a table; the page of an entity has all."""

_MOST_DIGITS = 18
_BAD_QUERY = 400


class EntityViews:
    """The views of the pages."""

    def __init__(self, reader: EntityReader, frame: Frame) -> None:
        self._reader = reader
        self._frame = frame

    def kinds(self) -> Response:
        """Databases, namespaces, and the kinds of one of them."""
        databases = list(self._reader.databases())
        place = self._place(databases)
        after = _read_cursor()
        with explained():
            kinds, following = self._reader.kinds(place, after)
            namespaces = self._reader.namespaces(place.project, place.database)
            # One of another database may be asked for, and the default one may be empty.
            if not kinds and namespaces and place.namespace not in namespaces:
                place = replace(place, namespace=namespaces[0])
                kinds, following = self._reader.kinds(place, b"")
        return self._frame.render(
            "kinds.html",
            place=place,
            databases=databases,
            namespaces=namespaces if place.namespace in namespaces else [*namespaces, place.namespace],
            most_namespaces=MOST_NAMESPACES,
            kinds=[(each, words.gql_of_kind(each.name)) for each in kinds],
            most=MOST_COUNTED,
            after=after,
            next=_write_cursor(following),
        )

    def query(self) -> Response:
        """What a query in GQL finds, page by page; a refusal stands beside the query, to be mended there."""
        place, gql = self._place(), request.args.get("gql", "").strip()
        seen = request.args.get("seen", "") or "0"
        if not (seen.isascii() and seen.isdecimal() and len(seen) <= _MOST_DIGITS):
            raise BadRequest("seen must be a number of results: leave it out to begin.")
        found, refusal, lacks_index = Found(), "", False
        try:
            if gql:
                found = self._reader.query(place, gql, _read_cursor(), int(seen))
        except RpcError as error:
            refusal, lacks_index = error.message, error.code is grpc.StatusCode.FAILED_PRECONDITION
        names = sorted({name for each in found.results for name in each.entity.properties})
        return self._frame.render(
            "query.html",
            _BAD_QUERY if refusal else 200,
            place=place,
            gql=gql,
            refusal=refusal,
            lacks_index=lacks_index,
            found=found,
            begin=int(seen) + 1,
            columns=names[:COLUMNS],
            hidden=len(names[COLUMNS:]),
            after=request.args.get("after", ""),
            next=_write_cursor(found.next),
        )

    def entity(self) -> Response:
        """One entity with all its properties."""
        try:
            key = words.read_key(request.args.get("key", ""))
        except ValueError as error:
            raise BadRequest(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
        named, given = key.partition_id, self._place()
        project, database = named.project_id or given.project, named.database_id or given.database
        with explained():
            result = self._reader.entity(project, database, key)
        if result is None:
            raise NotFound(f"There is no entity {words.words_of_key(key)} (any more).")
        parent = type(key)(partition_id=named, path=key.path[:-1]) if len(key.path) > 1 else None
        return self._frame.render(
            "entity.html",
            place=Place(project, database, named.namespace_id),
            key=result.entity.key,
            parent=parent,
            result=result,
            properties=sorted(result.entity.properties.items()),
            descendants=words.gql_of_descendants(key),
        )

    def answer_error(self, error: HTTPException) -> Response | HTTPException:
        """An error as a page; what is none, a redirect, as it is."""
        return error if error.code is None or error.code < _BAD_QUERY else self._frame.problem(error)

    def _place(self, databases: list[tuple[str, str]] | None = None) -> Place:
        """Where the address says, or the first database that there is."""
        project, database = request.args.get("project", ""), request.args.get("database", "")
        place = request.args.get("place")
        if place is not None:  # of the form, which chooses both at once
            project, _, database = place.partition("/")
        if not project:
            there = self._reader.databases() if databases is None else databases
            project, database = there[0] if there else ("local", "")
        return Place(project, database, request.args.get("namespace", ""))


def _read_cursor() -> bytes:
    """The request's ``after``: where the page before ended, nothing at the beginning."""
    try:
        return base64.b64decode(request.args.get("after", ""), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("after must be the cursor of a page: leave it out to begin.") from error


def _write_cursor(cursor: bytes) -> str:
    return base64.urlsafe_b64encode(cursor).decode()

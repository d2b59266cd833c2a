"""The locations that every Google API lists: those that queues are in, and any that is asked for."""

from __future__ import annotations

import re
from typing import Any

from google.cloud.location.locations_pb2 import (
    GetLocationRequest,
    ListLocationsRequest,
    ListLocationsResponse,
    Location,
)

from fantasm_gcp.local.rpc import Method, Service
from fantasm_gcp.local.tasks import refusals
from fantasm_gcp.local.tasks.methods.pages import parse_page_size, parse_token, render_token
from fantasm_gcp.local.tasks.names import check_location
from fantasm_gcp.local.tasks.scheduling.state import State

_MOST_LOCATIONS = 1000
_PROJECT = re.compile(r"projects/[A-Za-z0-9:.-]+")


class LocationMethods:
    """``google.cloud.location.Locations``, which the clients of Cloud Tasks call at the same address."""

    def __init__(self, state: State) -> None:
        self._state = state

    def service(self) -> Service:
        """The service, for where that of Cloud Tasks is served."""
        return Service(
            "google.cloud.location.Locations",
            {
                "GetLocation": Method(GetLocationRequest, Location, self.get_location),
                "ListLocations": Method(ListLocationsRequest, ListLocationsResponse, self.list_locations),
            },
        )

    def get_location(self, request: Any) -> Any:
        """A location by its name; whatever is well formed exists, as a queue may be created in it."""
        check_location(request.name)
        return _location(request.name)

    def list_locations(self, request: Any) -> Any:
        """The locations of a project in which there are queues, page by page."""
        if _PROJECT.fullmatch(request.name) is None:
            raise refusals.invalid(refusals.PARENT_FORMAT)
        size = parse_page_size(request.page_size, _MOST_LOCATIONS)
        prefix = f"{request.name}/locations/"
        with self._state.call() as now:
            last = parse_token(request.name, request.page_token, now)
            found = {name.partition("/queues/")[0] for name in self._state.queues if name.startswith(prefix)}
        names = sorted(name for name in found if name > last)
        token = render_token(request.name, names[size - 1], now) if len(names) > size else ""
        locations = [_location(name) for name in names[:size]]
        return ListLocationsResponse(locations=locations, next_page_token=token)


def _location(name: str) -> Any:
    region = name.rpartition("/")[2]
    return Location(name=name, location_id=region, labels={"cloud.googleapis.com/region": region})

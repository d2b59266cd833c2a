"""The paths of Datastore's HTTP API, version 1."""

from __future__ import annotations

from typing import Final

from fantasm_gcp.local.http.routes import Route

_METHODS = (
    "Lookup",
    "RunQuery",
    "RunAggregationQuery",
    "BeginTransaction",
    "Commit",
    "Rollback",
    "AllocateIds",
    "ReserveIds",
)

ROUTES: Final = tuple(
    Route("POST", f"/v1/projects/{{project_id}}:{name[0].lower()}{name[1:]}", name, "*") for name in _METHODS
)
"""As ``google/datastore/v1/datastore.proto`` annotates them."""

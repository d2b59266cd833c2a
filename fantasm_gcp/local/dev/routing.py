"""Where a delivery goes: into the application of this process, or over HTTP to another one."""

from __future__ import annotations

from urllib.parse import urlsplit

from fantasm_gcp.local.tasks import Deliver, Delivery, Response
from fantasm_gcp.local.tasks.configuration.service_map import ServiceMap


class Routing:
    """What is for this server goes to ``inside``: its URLs, and App Engine services that have none elsewhere.

    All else goes to ``outside``.
    """

    def __init__(self, address: str, services: ServiceMap, inside: Deliver, outside: Deliver) -> None:
        """``address`` is ``host:port`` of this server."""
        self._services = services
        host, _, port = address.rpartition(":")
        self._own = {(name, int(port)) for name in (host, "localhost")}
        self._inside = inside
        self._outside = outside

    def __call__(self, delivery: Delivery) -> Response | None:
        """Sends one delivery; raises what the way it takes raises."""
        return self._inside(delivery) if self._is_own(self._url(delivery)) else self._outside(delivery)

    def _url(self, delivery: Delivery) -> str:
        if delivery.service is None:
            return delivery.url
        return self._services.find(delivery.service, delivery.version, delivery.instance)

    def _is_own(self, url: str) -> bool:
        parts = urlsplit(url)
        try:
            return parts.scheme == "http" and (parts.hostname, parts.port or 80) in self._own
        except ValueError:  # a port that is none: whoever sends it says so
            return False

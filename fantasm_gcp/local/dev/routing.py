"""Where a delivery goes: into the application of this process, or over HTTP to another one."""

from __future__ import annotations

from urllib.parse import urlsplit

from fantasm_gcp.local.tasks import Deliver, Delivery, Response


class Routing:
    """App Engine targets and URLs of this server go to ``inside``, every other URL goes to ``outside``."""

    def __init__(self, address: str, inside: Deliver, outside: Deliver) -> None:
        """``address`` is ``host:port`` of this server."""
        host, _, port = address.rpartition(":")
        self._own = {(name, int(port)) for name in (host, "localhost")}
        self._inside = inside
        self._outside = outside

    def __call__(self, delivery: Delivery) -> Response | None:
        """Sends one delivery; raises what the way it takes raises."""
        ours = delivery.service is not None or self._is_own(delivery.url)
        return self._inside(delivery) if ours else self._outside(delivery)

    def _is_own(self, url: str) -> bool:
        parts = urlsplit(url)
        try:
            return parts.scheme == "http" and (parts.hostname, parts.port or 80) in self._own
        except ValueError:  # a port that is none: whoever sends it says so
            return False

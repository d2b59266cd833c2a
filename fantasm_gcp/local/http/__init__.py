"""The local servers over HTTP: as JSON, as binary protobuf, and beside gRPC at one port.

``routes`` says which request means which method, ``transcoding`` turns parameters and bodies into requests
and responses into bodies, ``statuses`` says how a refusal looks, ``bodies`` reads what was sent;
``application`` makes a WSGI application of these. ``door`` is a port at which gRPC and HTTP/1.1 both arrive:
it sends the one through a ``tunnel``, and serves the other over a ``connection``, which reads from
``streams`` and writes a ``response``.
"""

from fantasm_gcp.local.http.application import HttpService, Transcoder
from fantasm_gcp.local.http.connection import Patience
from fantasm_gcp.local.http.door import Door
from fantasm_gcp.local.http.routes import Route

__all__ = ["Door", "HttpService", "Patience", "Route", "Transcoder"]

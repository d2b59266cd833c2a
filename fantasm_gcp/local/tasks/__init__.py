"""The local Cloud Tasks: the real gRPC API over SQLite, and what delivers its tasks.

:class:`TasksServer` keeps queues and tasks and says which attempt may begin; :class:`Dispatcher` delivers
them in threads, :class:`HttpDelivery` over HTTP, :class:`WsgiDelivery` into an application of this process. A
test leaves the dispatcher out, gives the server a clock of its own, and leases and finishes attempts itself.
"""

from fantasm_gcp.local.tasks.dispatching.dispatch import Dispatcher
from fantasm_gcp.local.tasks.dispatching.http_delivery import HttpDelivery
from fantasm_gcp.local.tasks.dispatching.wsgi_delivery import WsgiDelivery
from fantasm_gcp.local.tasks.scheduling.deliveries import Attempt, Deliver, Delivery, Response
from fantasm_gcp.local.tasks.scheduling.schedule import Outcome
from fantasm_gcp.local.tasks.server import TasksServer

__all__ = [
    "Attempt",
    "Deliver",
    "Delivery",
    "Dispatcher",
    "HttpDelivery",
    "Outcome",
    "Response",
    "TasksServer",
    "WsgiDelivery",
]

"""Making Google's clients: for the cloud, for emulators, and over channels of this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import grpc
from google.auth.credentials import AnonymousCredentials
from google.cloud import datastore
from google.cloud.datastore_v1 import DatastoreClient
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcTransport
from google.cloud.tasks_v2 import CloudTasksClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from fantasm_gcp.settings import Settings

_UNBOUNDED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass(frozen=True, slots=True)
class Channels:
    """Where the clients speak to; None is the cloud, found by the application's credentials."""

    datastore: Callable[[], grpc.Channel] | None = None
    tasks: Callable[[], grpc.Channel] | None = None

    @classmethod
    def of(cls, settings: Settings) -> Channels:
        """The emulators that the settings name."""
        return cls(_insecure(settings.datastore_emulator_host), _insecure(settings.tasks_emulator_host))


def _insecure(host: str) -> Callable[[], grpc.Channel] | None:
    if not host:
        return None
    return lambda: grpc.insecure_channel(host, options=_UNBOUNDED)


def datastore_api(channels: Channels) -> DatastoreClient:
    """The low-level Datastore client. It knows of no emulator, so it is given its channel."""
    if channels.datastore is None:
        return DatastoreClient()
    return DatastoreClient(transport=DatastoreGrpcTransport(channel=channels.datastore()))


def datastore_users(channels: Channels, settings: Settings, api: DatastoreClient) -> datastore.Client:
    """The Datastore client that actions use: the public one, over the same connection as the engine's."""
    options = {
        "project": settings.project or None,
        "namespace": settings.namespace or None,
        "database": settings.database or None,
    }
    make = _in_the_cloud if channels.datastore is None else _without_credentials
    client = make(options)
    # The client has no public way to be given its connection. A test pins that this one is used.
    client._datastore_api_internal = api
    return client


def _in_the_cloud(options: Mapping[str, str | None]) -> datastore.Client:
    """A client with the application's credentials."""
    return datastore.Client(**options)  # type: ignore[no-untyped-call]  # the client is untyped


def _without_credentials(options: Mapping[str, str | None]) -> datastore.Client:
    """A client that asks for no credentials: it refuses any where the environment names an emulator."""
    anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth is untyped
    try:
        return datastore.Client(**options, credentials=anonymous)  # type: ignore[no-untyped-call]  # the client is untyped
    except ValueError:
        return _in_the_cloud(options)


def tasks_api(channels: Channels) -> CloudTasksClient:
    """The Cloud Tasks client; there is no variable by which it would find an emulator itself."""
    if channels.tasks is None:
        return CloudTasksClient()
    return CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channels.tasks()))

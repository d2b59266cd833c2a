"""The local mode: servers of the Cloud Tasks and Datastore gRPC APIs that need nothing but pip."""

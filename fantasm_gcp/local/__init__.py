"""The local mode: servers of the Cloud Tasks and Datastore APIs, over gRPC and HTTP, from pip alone."""

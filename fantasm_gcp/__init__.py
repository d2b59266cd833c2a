"""Workflows as finite state machines on Google Cloud Tasks and Datastore.

Importing this package loads no Google client; they are made when first needed, one for each process.
"""

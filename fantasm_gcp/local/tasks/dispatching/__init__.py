"""Carrying out attempts: over HTTP, or into an application of this process."""

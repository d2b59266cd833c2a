"""Queries: what they may ask, which index serves them, and the results."""

"""Commits: mutations applied as one, and the transactions that they end."""

"""The engine: loads a step, runs its action, asks the core what follows, commits that."""

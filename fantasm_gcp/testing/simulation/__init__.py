"""A deterministic simulation of the engine: random machines, whatever can happen to them, and what must hold.

One run is read from a tape of small integers, which a seed writes (``tape``). ``drawing`` makes machines of
it from the table in ``features``, ``oracle`` says what must have happened to them, ``course`` has it happen
with the faults of ``faults`` and the commands of ``deeds``, ``invariants`` compares. ``shrinking`` makes a
run that broke something small, ``report`` tells of it. The engine and the clients are the real ones, over the
local servers in memory. Nothing here is imported by ``fantasm_gcp.testing``.
"""

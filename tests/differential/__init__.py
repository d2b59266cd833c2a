"""Compares the local Datastore with Google's emulators: the same operations, generated, their answers side by side.

``operations`` are what is sent, ``generator`` makes sequences of them from a seed, ``execution`` sends one to a
backend, ``normal`` makes the answers comparable, ``comparison`` finds the first difference, ``shrinking`` drops
operations while a difference stays, and ``gaps`` names every known fault of an emulator with its reason.

A long run, from the folder ``tests``: ``PYTHONPATH=..:. python -m differential --seeds 1000 --from 0``.
"""

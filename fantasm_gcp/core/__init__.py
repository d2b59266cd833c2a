"""The pure core: definitions, names, steps and what follows from them. No clock, randomness or I/O."""

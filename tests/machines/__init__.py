"""Whole machines in the style of Fantasm's own samples: a definition, its actions, and its tests for each."""

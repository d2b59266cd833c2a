"""Entities, keys and values: what they may be, how they compare, what is made of them."""

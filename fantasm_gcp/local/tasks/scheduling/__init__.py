"""Which attempt may begin and when, what it delivers, and what becomes of the task."""

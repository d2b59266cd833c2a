"""The SQLite file: queues, tasks and names that stay taken."""

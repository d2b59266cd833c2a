"""The SQLite file: its tables, every statement on them, and the moments of its commits."""

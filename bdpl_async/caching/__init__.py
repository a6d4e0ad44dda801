"""The response cache: one SQLite file, its rows, and its care."""

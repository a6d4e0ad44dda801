"""Data: files and hubs in, rows that a task can use out."""

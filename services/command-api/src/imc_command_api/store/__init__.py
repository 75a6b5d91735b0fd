"""Writes the events of the logs as rows of the database. Order and repetition do not matter."""

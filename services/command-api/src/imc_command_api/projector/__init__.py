"""Copies the logs into the database: reads entries, applies them, acknowledges them."""
